"""Reads a table's files with programs that know nothing of ours, and compares each value with those of the same rows in Parquet.
Prints, as JSON, {"differences": {reader: {column: [[row, expected, found], ...]}}, "values": how many were compared}.

Arguments: the format, the folder of its files, the folder of the Parquet files.
"""
import decimal
import gzip
import io
import json
import math
import os
import sys

import duckdb
import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.json
import polars

format_, folder, parquet = sys.argv[1:]
expected = pyarrow.dataset.dataset(parquet, format="parquet").to_table().sort_by("id")
files = sorted(os.path.join(folder, name) for name in os.listdir(folder) if not name.startswith("."))
differences, values = {}, 0


def compare(reader, found, names=None):
    """Compares columns of a pyarrow table, whose types must be the expected ones."""
    global values
    found = found.sort_by("id")
    wrong = {}
    for name in names or expected.column_names:
        want = expected[name].combine_chunks()
        if name not in found.column_names:
            wrong[name] = "missing"
            continue
        have = found[name].combine_chunks()
        if have.type != want.type:
            have = have.cast(want.type)
        values += len(want)
        if len(have) == len(want) and have.equals(want):
            continue
        rows = [[at, str(a), str(b)] for at, (a, b) in enumerate(zip(want, have)) if not same(a, b)]
        if rows or len(have) != len(want):
            wrong[name] = rows[:5] + [f"{len(have)} rows"]
    if wrong:
        differences[reader] = wrong


def same(a, b):
    if a.equals(b):
        return True
    a, b = a.as_py(), b.as_py()
    return isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)


def attempt(reader, read):
    try:
        read()
    except Exception as error:
        differences[reader] = f"{type(error).__name__}: {error}"


def text_of(name):
    """The text of a file, by the codecs of other programs."""
    with pyarrow.input_stream(name, compression="detect") as stream:
        content = stream.read()
    if name.endswith(".gz"):
        with gzip.open(name) as stream:
            assert stream.read() == content, "two readers of gzip disagree"
    return content.decode("utf-8")


def csv_with_pyarrow():
    # Of numbers with 60 digits it reads the texts, and makes the numbers of those.
    wide = pyarrow.field("decimal60", pyarrow.string())
    types = expected.schema.set(expected.schema.get_field_index("decimal60"), wide)
    options = pyarrow.csv.ConvertOptions(
        column_types=types, null_values=[""], strings_can_be_null=True,
        quoted_strings_can_be_null=False, true_values=["true"], false_values=["false"])
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    tables = [pyarrow.csv.read_csv(name, parse_options=parse, convert_options=options) for name in files]
    compare("pyarrow", pyarrow.concat_tables(tables))


DUCK = {"int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "uint8": "UTINYINT",
        "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT", "float64": "DOUBLE", "float32": "FLOAT",
        "boolean": "BOOLEAN", "decimal38": "DECIMAL(38,9)", "decimal3": "DECIMAL(3,3)", "date": "DATE",
        "timestamp": "TIMESTAMP", "time_us": "TIME", "text": "VARCHAR", "part": "VARCHAR", "id": "BIGINT",
        "numbers": "BIGINT[]", "object": "STRUCT(text VARCHAR, day DATE)",
        "objects": "STRUCT(text VARCHAR, day DATE)[]"}


def with_duckdb(source, without=()):
    """DuckDB has no decimals of 60 digits, no times in other units, and of instants it is not asked for a zone."""
    names = [name for name in expected.column_names if name in DUCK and name not in without]
    columns = "{" + ", ".join(f"'{name}': '{DUCK.get(name, 'VARCHAR')}'" for name in expected.column_names
                              if source.startswith("read_csv") or name in names) + "}"
    chosen = ", ".join(f'"{name}"' for name in names)
    db = duckdb.connect()
    query = f"SELECT {chosen} FROM {source.format(files=files, columns=columns)}"
    compare("duckdb", db.execute(query).to_arrow_table(), names)


def csv_with_duckdb():
    with_duckdb("read_csv({files}, header = true, nullstr = '', allow_quoted_nulls = false, delim = ',', quote = '\"', "
                "escape = '\"', new_line = '\\n', columns = {columns})")


def csv_with_polars():
    """Texts as they are: Polars is not asked to convert."""
    frames = [polars.read_csv(io.StringIO(text_of(name)), infer_schema=False)
              for name in files]
    found = polars.concat(frames).to_arrow()
    ids = found["id"].cast(pyarrow.int64())
    found = found.set_column(found.column_names.index("id"), "id", ids)
    compare("polars", found, ["id", "int64", "uint64", "text", "part", "date"])


def spelled(value):
    """What `json` makes of a value: a number is its digits."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, decimal.Decimal)):
        return ("number", format(value, "f") if isinstance(value, decimal.Decimal) else str(value))
    if isinstance(value, float):
        return ("float", value)
    if isinstance(value, list):
        return [spelled(item) for item in value]
    if isinstance(value, dict):
        return {name: spelled(item) for name, item in value.items()}
    return value.isoformat()


def json_with_python():
    """A strict reader that keeps digits."""
    global values
    lines = [line for name in files for line in text_of(name).split("\n") if line]

    def number(text):
        return ("number", text)

    def refuse(text):
        raise ValueError(f"{text} is no JSON")

    rows = [json.loads(line, parse_int=number, parse_float=number, parse_constant=refuse) for line in lines]
    rows.sort(key=lambda row: int(row["id"][1]))
    wrong = {}
    times = {"timestamp", "instant", "time_ms", "time_us", "time_ns"}
    for name in expected.column_names:
        for at, (want, row) in enumerate(zip(expected[name].to_pylist() if name not in times else expected[name], rows)):
            have = row[name]
            values += 1
            if name in times:
                have, want = instant(have, expected[name].type), want.value
            elif isinstance(want, float) and have is not None:
                have = float(have[1])
                if name == "float32":
                    have = pyarrow.scalar(have, pyarrow.float32()).as_py()
                if math.copysign(1, want) != math.copysign(1, have):
                    want = None
            else:
                want = spelled(want)
            if have != want and len(wrong.setdefault(name, [])) < 5:
                wrong[name].append([at, str(want), str(have)])
    if len(rows) != len(expected):
        wrong["rows"] = len(rows)
    if wrong:
        differences["python"] = {name: rows for name, rows in wrong.items() if rows}


def instant(text, kind):
    """The units since 1970, or midnight, of a text."""
    if text is None:
        return None
    units = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
    zoned = getattr(kind, "tz", None) is not None
    assert text.endswith("Z") == zoned, text
    day, _, time = text.rstrip("Z").rpartition("T")
    clock, _, fraction = time.partition(".")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    total = hours * 3600 + minutes * 60 + seconds
    if day:
        import datetime
        total += (datetime.date.fromisoformat(day) - datetime.date(1970, 1, 1)).days * 86400
    total *= units
    return total + (int(fraction) * units // 10 ** len(fraction) if fraction else 0)


def json_with_duckdb():
    with_duckdb("read_json({files}, format = 'newline_delimited', columns = {columns})", JSON_WITHOUT)


# DuckDB takes a JSON number for a DOUBLE on its way to a DECIMAL.
JSON_WITHOUT = ["decimal38"]


def json_with_pyarrow():
    names = ["id", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float64", "float32",
             "boolean", "text", "part", "numbers"]
    schema = pyarrow.schema([expected.schema.field(name) for name in names])
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    tables = [pyarrow.json.read_json(io.BytesIO(text_of(name).encode()), parse_options=parse) for name in files]
    compare("pyarrow", pyarrow.concat_tables(tables), names)


def arrow_with_pyarrow():
    compare("pyarrow", pyarrow.dataset.dataset(folder, format="ipc").to_table())


def arrow_with_polars():
    """Polars has no decimals of 60 digits, and one unit for times of a day."""
    names = [name for name in expected.column_names if name not in ("decimal60", "time_ms", "time_us", "fixed")]
    compare("polars", polars.concat([polars.read_ipc(name, columns=names) for name in files]).to_arrow(), names)


def avro_with_fastavro():
    """Values of Python, of both."""
    global values
    import fastavro
    rows = []
    for name in files:
        with open(name, "rb") as stream:
            rows.extend(fastavro.reader(stream))
    rows.sort(key=lambda row: row["id"])
    wrong = {}
    for name in expected.column_names:
        for at, (want, row) in enumerate(zip(expected[name].to_pylist(), rows)):
            values += 1
            if not alike(want, row[name]) and len(wrong.setdefault(name, [])) < 5:
                wrong[name].append([at, str(want), str(row[name])])
    if len(rows) != len(expected):
        wrong["rows"] = len(rows)
    wrong = {name: rows for name, rows in wrong.items() if rows}
    if wrong:
        differences["fastavro"] = wrong


def alike(a, b):
    """Floats with their sign, times with their zone."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isnan(a) and math.isnan(b) or a == b and math.copysign(1, a) == math.copysign(1, b)
    if type(a) is not type(b) or (getattr(a, "tzinfo", None) is None) != (getattr(b, "tzinfo", None) is None):
        return False
    return a == b


READERS = {
    "AVRO": [avro_with_fastavro],
    "ARROW": [arrow_with_pyarrow, arrow_with_polars],
    "CSV": [csv_with_pyarrow, csv_with_duckdb, csv_with_polars],
    "JSON": [json_with_python, json_with_duckdb, json_with_pyarrow],
}
for read in READERS[format_]:
    attempt(read.__name__, read)
print(json.dumps({"differences": differences, "values": values}))
