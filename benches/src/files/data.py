"""Writes the files that are read, from TPC-H lineitem: data.py LINEITEM FOLDER."""

import gzip
import os
import shutil
import sys

import duckdb

lineitem, folder = sys.argv[1:3]
duckdb.sql("SET enable_progress_bar = false")
rows = f"read_parquet('{lineitem}')"
csv = "(FORMAT csv, HEADER)"
duckdb.sql(f"COPY (FROM {rows}) TO '{folder}/lineitem.csv' {csv}")
duckdb.sql(
    f"COPY (SELECT l_orderkey, l_extendedprice, l_shipdate, l_shipmode, l_comment FROM {rows} LIMIT 3000000) "
    f"TO '{folder}/lines.jsonl' (FORMAT json, ARRAY false)"
)
# Texts of two lines in quotes: about a gigabyte of them.
duckdb.sql(
    f"COPY (SELECT l_orderkey, l_shipdate, l_comment || chr(10) || l_shipinstruct || ', \"' || l_comment || '\"' AS l_comment, "
    f"  l_shipmode || chr(10) || l_comment || chr(10) || l_comment AS l_note FROM {rows}) "
    f"TO '{folder}/quoted.csv' {csv}"
)
# Events of thirteen kinds, each with an object that stays as it is.
duckdb.sql(
    f"COPY (SELECT row_number() OVER () AS id, 'kind-' || (l_partkey % 13) AS kind, "
    f"  strftime(l_shipdate, '%Y-%m-%dT12:00:00Z') AS at, l_shipinstruct AS actor, "
    f"  {{'before': {{'status': l_linestatus, 'text': l_comment, 'suppliers': [l_suppkey, l_partkey]}}, "
    f"    'after': {{'status': l_returnflag, 'text': l_shipmode || ' ' || l_comment, 'quantity': l_linenumber}}}} AS payload "
    f"  FROM {rows} LIMIT 2000000) TO '{folder}/events.jsonl' (FORMAT json, ARRAY false)"
)
with open(f"{folder}/events.jsonl", "rb") as plain, gzip.open(f"{folder}/events.jsonl.gz", "wb", compresslevel=6) as packed:
    shutil.copyfileobj(plain, packed, 1 << 20)
os.makedirs(f"{folder}/small")
names, every = "l_orderkey, l_extendedprice, l_shipdate, l_shipmode, l_comment", 200
few = duckdb.sql(f"SELECT {names} FROM {rows} LIMIT {3000 * every}").fetchall()
for number in range(3000):
    with open(f"{folder}/small/{number:04}.csv", "w") as file:
        file.write(names.replace(" ", "") + "\n")
        for row in few[number * every : (number + 1) * every]:
            file.write(",".join(str(value) for value in row[:4]) + f',"{row[4]}"\n')
