"""Writes a join as a table of year and month with one of the peers: peer.py ENGINE DATA OUTPUT [COLUMNS].

Prints one line of JSON: the seconds of the query and its write, without the start of Python, and the processor's.
"""

import json
import resource
import sys
import time

engine, data, output, columns = sys.argv[1:5]
lineitem, orders = f"{data}/lineitem.parquet", f"{data}/orders.parquet"

if engine == "duckdb":
    import duckdb

    chosen = {"lineitem": "l.*, o_orderdate", "all": "l.*, o.* EXCLUDE (o_orderkey)"}[columns]
    connection = duckdb.connect()
    # Otherwise a slow query of a script given by `-c` shows its progress among the output.
    connection.execute("SET enable_progress_bar = false")
    begun = time.monotonic()
    connection.execute(
        f"COPY (SELECT {chosen}, year(o_orderdate) AS year, month(o_orderdate) AS month "
        f"FROM '{lineitem}' l JOIN '{orders}' o ON l_orderkey = o_orderkey) "
        f"TO '{output}' (FORMAT parquet, PARTITION_BY (year, month), COMPRESSION snappy)"
    )
    version = duckdb.__version__
else:
    import polars as pl

    begun = time.monotonic()
    right = pl.scan_parquet(orders)
    if columns == "lineitem":
        right = right.select("o_orderkey", "o_orderdate")
    joined = pl.scan_parquet(lineitem).join(right, left_on="l_orderkey", right_on="o_orderkey")
    date = pl.col("o_orderdate").dt
    joined.with_columns(date.year().alias("year"), date.month().alias("month")).sink_parquet(
        pl.PartitionBy(output, key=["year", "month"], include_key=False), compression="snappy", mkdir=True
    )
    version = pl.__version__

seconds = time.monotonic() - begun
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"version": version, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}))
