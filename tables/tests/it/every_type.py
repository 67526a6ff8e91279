"""Reads a table with DuckDB, pyarrow and Polars and prints, as JSON, where their values differ from the expected ones:
{reader: {column: [[row, expected, found], ...]}}; a reader that fails is {reader: "its error"}.

Arguments: the table's folder, a JSON file with the expected values of each column in the order of `id`, and with the type
of the partition column `value` if there is one.
"""
import datetime
import decimal
import json
import sys

import duckdb
import polars
import pyarrow
import pyarrow.dataset

folder, expected = sys.argv[1], json.load(open(sys.argv[2]))
partition, columns = expected["partition"], expected["columns"]
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


def spelled(value):
    """One spelling for the Python objects of all readers; exact, so that equal text is an equal value."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, bytearray)):
        return "x" + value.hex()
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            return value.isoformat(timespec="microseconds")
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, datetime.time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: spelled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(item) for item in value]
    return f"{type(value).__name__}: {value}"


def pairs(value):
    """A map: pyarrow gives pairs, DuckDB a dictionary, Polars a list of structs."""
    if value is None:
        return None
    if isinstance(value, dict):
        value = list(value.items())
    return [list(item.values()) if isinstance(item, dict) else list(item) for item in value]


def from_arrow(table):
    """Values of a pyarrow table. Python's times end with the year 9999: zoned ones are told as instants."""
    rows = {}
    for name in table.column_names:
        column = table[name]
        if pyarrow.types.is_timestamp(column.type) and column.type.tz is not None:
            naive = column.cast(pyarrow.timestamp("us", "UTC")).cast(pyarrow.timestamp("us"))
            rows[name] = [None if v is None else spelled(v) + "Z" for v in naive.to_pylist()]
        else:
            rows[name] = column.to_pylist()
    return rows


ARROW = {"text": pyarrow.string(), "int64": pyarrow.int64(), "int8": pyarrow.int8(), "uint64": pyarrow.uint64(),
         "date": pyarrow.date32(), "boolean": pyarrow.bool_()}
DUCK = {"text": "VARCHAR", "int64": "BIGINT", "int8": "TINYINT", "uint64": "UBIGINT", "date": "DATE", "boolean": "BOOLEAN"}
POLARS = {"text": polars.String, "int64": polars.Int64, "int8": polars.Int8, "uint64": polars.UInt64,
          "date": polars.Date, "boolean": polars.Boolean}


def with_duckdb():
    options = f", hive_partitioning = true, hive_types = {{'value': {DUCK[partition]}}}" if partition else ""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    source = f"read_parquet('{folder}/**/*.parquet'{options})"
    types = {row[0]: row[1] for row in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    # An instant is fetched as its number of microseconds: as a Python time it would need a library of time zones.
    zoned = [name for name, kind in types.items() if kind == "TIMESTAMP WITH TIME ZONE"]
    replaced = ", ".join(f'epoch_us("{name}") AS "{name}"' for name in zoned)
    chosen = f"* REPLACE ({replaced})" if zoned else "*"
    rows = db.execute(f"SELECT {chosen} FROM {source} ORDER BY id").fetchall()
    found = {name: [row[at] for row in rows] for at, name in enumerate(types)}
    for name in zoned:
        found[name] = [None if v is None else EPOCH + datetime.timedelta(microseconds=v) for v in found[name]]
    return found


def with_pyarrow():
    flavor = None
    if partition:
        schema = pyarrow.schema([("value", ARROW[partition])])
        flavor = pyarrow.dataset.partitioning(schema, flavor="hive")
    return from_arrow(pyarrow.dataset.dataset(folder, partitioning=flavor, format="parquet").to_table().sort_by("id"))


def with_polars():
    if partition:
        options = {"hive_partitioning": True, "hive_schema": {"value": POLARS[partition]}}
    else:
        options = {"hive_partitioning": False}
    frame = polars.scan_parquet(f"{folder}/**/*.parquet", **options).sort("id").collect()
    return from_arrow(frame.to_arrow())


found = {}
for reader, read in [("duckdb", with_duckdb), ("pyarrow", with_pyarrow), ("polars", with_polars)]:
    try:
        got = read()
    except Exception as error:  # what a reader refuses is a finding, not a mistake of this script
        found[reader] = f"{type(error).__name__}: {error}"
        continue
    differences = {}
    for name, values in columns.items():
        if name not in got:
            differences[name] = "missing"
            continue
        seen = [spelled(pairs(v)) if name == "map" else spelled(v) for v in got[name]]
        wrong = [[at, a, b] for at, (a, b) in enumerate(zip(values, seen)) if json.dumps(a) != json.dumps(b)]
        if len(seen) != len(values):
            wrong.append([f"{len(seen)} rows"])
        if wrong:
            differences[name] = wrong
    if differences:
        found[reader] = differences
print(json.dumps(found))
