"""Prints rows and a digest of what was written: digest.py WORK TABLE. Equal output means equal rows."""

import sys

import duckdb

work, table = sys.argv[1:3]
# Otherwise a slow query of a script given by `-c` shows its progress among the output.
duckdb.sql("SET enable_progress_bar = false")
if work == "json_json":
    files = f"read_json('{table}/*.jsonl')"
else:
    files = f"read_parquet('{table}/**/*.parquet', hive_partitioning = true)"
names = sorted(row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM {files}").fetchall())


def plain(name):
    """The value in a type that does not depend on who wrote it."""
    number = name in ("id", "l_orderkey", "l_partkey", "l_suppkey", "l_linenumber", "year")
    money = name in ("l_quantity", "l_extendedprice", "l_discount", "l_tax")
    kind = "BIGINT" if number else "DECIMAL(15, 2)" if money else "DATE" if name.endswith("date") else "VARCHAR"
    return f'"{name}"::{kind}'


row = "hash(" + ", ".join(plain(name) for name in names) + ")"
print(*names)
print(*duckdb.sql(f"SELECT count(*), sum({row})::VARCHAR FROM {files}").fetchall())
