"""Prints rows and a digest of each partition of a table: digest.py TABLE. Equal output means equal rows."""

import sys

import duckdb

# Otherwise a slow query of a script given by `-c` shows its progress among the output.
duckdb.sql("SET enable_progress_bar = false")
files = f"read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning = true)"
described = duckdb.sql(f"DESCRIBE SELECT * FROM {files}").fetchall()
names = sorted(row[0] for row in described if row[0] not in ("year", "month"))


def plain(name):
    """The value in a type that does not depend on who wrote it."""
    number = name in ("l_orderkey", "l_partkey", "l_suppkey", "l_linenumber", "o_custkey", "o_shippriority")
    money = name in ("l_quantity", "l_extendedprice", "l_discount", "l_tax", "o_totalprice")
    kind = "BIGINT" if number else "DECIMAL(15, 2)" if money else "DATE" if name.endswith("date") else "VARCHAR"
    return f'"{name}"::{kind}'


row = "hash(" + ", ".join(plain(name) for name in names) + ")"
for line in duckdb.sql(
    f"SELECT year::INT, month::INT, count(*), sum({row})::VARCHAR FROM {files} GROUP BY 1, 2 ORDER BY 1, 2"
).fetchall():
    print(*line)
