"""Reads files and writes a table with one of the peers: peer.py ENGINE WORK DATA OUTPUT.

Prints one line of JSON: the seconds of the query and its write, without the start of Python, and the processor's.
"""

import json
import os
import resource
import sys
import time

engine, work, data, output = sys.argv[1:5]
LINEITEM = [
    ("l_orderkey", "BIGINT"), ("l_partkey", "BIGINT"), ("l_suppkey", "BIGINT"), ("l_linenumber", "INTEGER"),
    ("l_quantity", "DECIMAL(15,2)"), ("l_extendedprice", "DECIMAL(15,2)"), ("l_discount", "DECIMAL(15,2)"),
    ("l_tax", "DECIMAL(15,2)"), ("l_returnflag", "VARCHAR"), ("l_linestatus", "VARCHAR"), ("l_shipdate", "DATE"),
    ("l_commitdate", "DATE"), ("l_receiptdate", "DATE"), ("l_shipinstruct", "VARCHAR"), ("l_shipmode", "VARCHAR"),
    ("l_comment", "VARCHAR"),
]  # fmt: skip


def with_duckdb():
    import duckdb

    connection = duckdb.connect()
    # Otherwise a slow query of a script given by `-c` shows its progress among the output.
    connection.execute("SET enable_progress_bar = false")
    declared = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in LINEITEM) + "}"
    by_year = "*, year(l_shipdate) AS year"
    kept = "columns = {'id': 'BIGINT', 'kind': 'VARCHAR', 'at': 'VARCHAR', 'actor': 'VARCHAR', 'payload': 'JSON'}"
    parquet = "FORMAT parquet, COMPRESSION snappy"
    query, target, options = {
        "csv_inferred": (f"SELECT {by_year} FROM read_csv('{data}/lineitem.csv')", output, f"{parquet}, PARTITION_BY (year)"),
        "csv_declared": (
            f"SELECT {by_year} FROM read_csv('{data}/lineitem.csv', header = true, columns = {declared})",
            output,
            f"{parquet}, PARTITION_BY (year)",
        ),
        "json": (f"SELECT {by_year} FROM read_json('{data}/lines.jsonl')", output, f"{parquet}, PARTITION_BY (year)"),
        "quoted": (f"SELECT {by_year} FROM read_csv('{data}/quoted.csv')", output, f"{parquet}, PARTITION_BY (year)"),
        "events": (f"FROM read_json('{data}/events.jsonl', {kept})", output, f"{parquet}, PARTITION_BY (kind)"),
        "events_gzip": (f"FROM read_json('{data}/events.jsonl.gz', {kept})", output, f"{parquet}, PARTITION_BY (kind)"),
        "json_json": (f"FROM read_json('{data}/lines.jsonl')", f"{output}/all.jsonl", "FORMAT json, ARRAY false"),
        "small": (f"FROM read_csv('{data}/small/*.csv')", f"{output}/all.parquet", parquet),
    }[work]
    if target != output:
        os.makedirs(output)
    begun = time.monotonic()
    connection.execute(f"COPY ({query}) TO '{target}' ({options})")
    return time.monotonic() - begun, duckdb.__version__


def with_polars():
    import polars as pl

    kinds = {
        "BIGINT": pl.Int64, "INTEGER": pl.Int32, "DECIMAL(15,2)": pl.Decimal(15, 2), "VARCHAR": pl.String, "DATE": pl.Date,
    }  # fmt: skip
    schema = {name: kinds[kind] for name, kind in LINEITEM}
    year = pl.col("l_shipdate").dt.year().alias("year")
    of_text = pl.col("l_shipdate").str.slice(0, 4).cast(pl.Int32).alias("year")
    payload = pl.col("payload").struct.json_encode()
    frame, key = {
        "csv_inferred": (lambda: pl.scan_csv(f"{data}/lineitem.csv", try_parse_dates=True).with_columns(year), "year"),
        "csv_declared": (lambda: pl.scan_csv(f"{data}/lineitem.csv", schema=schema).with_columns(year), "year"),
        "json": (lambda: pl.scan_ndjson(f"{data}/lines.jsonl").with_columns(of_text), "year"),
        "quoted": (lambda: pl.scan_csv(f"{data}/quoted.csv", try_parse_dates=True).with_columns(year), "year"),
        "events": (lambda: pl.scan_ndjson(f"{data}/events.jsonl").with_columns(payload), "kind"),
        "events_gzip": (lambda: pl.scan_ndjson(f"{data}/events.jsonl.gz").with_columns(payload), "kind"),
        "json_json": (lambda: pl.scan_ndjson(f"{data}/lines.jsonl"), None),
        "small": (lambda: pl.scan_csv(f"{data}/small/*.csv", try_parse_dates=True), None),
    }[work]
    begun = time.monotonic()
    rows = frame()
    if key is not None:
        target = pl.PartitionBy(output, key=[key], include_key=False)
        rows.sink_parquet(target, compression="snappy", mkdir=True)
    elif work == "json_json":
        rows.sink_ndjson(f"{output}/all.jsonl", mkdir=True)
    else:
        rows.sink_parquet(f"{output}/all.parquet", compression="snappy", mkdir=True)
    return time.monotonic() - begun, pl.__version__


seconds, version = {"duckdb": with_duckdb, "polars": with_polars}[engine]()
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"version": version, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}))
