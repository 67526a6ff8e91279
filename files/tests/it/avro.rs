//! Avro, of files that are written here byte by byte, and by another program.

use std::fmt::Write as _;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use rstest::rstest;
use testkit::Python;

use crate::cases::Case;

/// A number as records have it.
fn long(number: i64) -> Vec<u8> {
    let mut zigzag = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while zigzag > 0x7f {
        bytes.push(u8::try_from(zigzag & 0x7f).unwrap() | 0x80);
        zigzag >>= 7;
    }
    bytes.push(u8::try_from(zigzag).unwrap());
    bytes
}

/// Bytes behind their length.
fn bytes(value: &[u8]) -> Vec<u8> {
    [long(i64::try_from(value.len()).unwrap()), value.to_vec()].concat()
}

fn text(value: &str) -> Vec<u8> {
    bytes(value.as_bytes())
}

const MARKER: [u8; 16] = *b"0123456789abcdef";

/// A file with blocks of so many records.
fn file(schema: &str, codec: &str, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"Obj\x01".to_vec();
    file.extend(long(2));
    file.extend([text("avro.codec"), text(codec)].concat());
    file.extend([text("avro.schema"), text(schema)].concat());
    file.push(0);
    file.extend(MARKER);
    for (count, block) in blocks {
        file.extend([long(*count), bytes(block), MARKER.to_vec()].concat());
    }
    file
}

/// A schema of records with these fields.
fn schema(fields: &[(&str, &str)]) -> String {
    let mut text = String::from(r#"{"type":"record","name":"r","fields":["#);
    for (index, (name, of)) in fields.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, r#"{comma}{{"name":"{name}","type":{of}}}"#).unwrap();
    }
    text + "]}"
}

/// The numbers up to `count` in the field `id`.
pub(crate) fn numbers(count: i64) -> Vec<u8> {
    let block: Vec<u8> = (0..count).flat_map(long).collect();
    file(&schema(&[("id", r#""long""#)]), "null", &[(count, block)])
}

/// One field, with a value in a block of its own.
fn one(of: &str, values: &[Vec<u8>]) -> Case {
    let blocks: Vec<(i64, Vec<u8>)> = values.iter().map(|value| (1, value.clone())).collect();
    Case::avro(&[("f.avro", &file(&schema(&[("a", of)]), "null", &blocks))])
}

const DECIMAL: &str = r#"{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}"#;
const WIDE: &str = r#"{"type":"bytes","logicalType":"decimal","precision":60,"scale":0}"#;
const UUID: &str = r#"{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}"#;
const DURATION: &str = r#"{"type":"fixed","name":"d","size":12,"logicalType":"duration"}"#;
const ENUM: &str = r#"{"type":"enum","name":"e","symbols":["x","ü"]}"#;
const NESTED: &str = r#"{"type":"record","name":"n","fields":[{"name":"b","type":"int"},{"name":"c","type":["null","string"]}]}"#;

fn logical(of: &str, logical: &str) -> String {
    format!(r#"{{"type":"{of}","logicalType":"{logical}"}}"#)
}

#[rstest]
#[case::longs(r#""long""#, &[long(i64::MIN), long(i64::MAX)], &["-9223372036854775808", "9223372036854775807"])]
#[case::doubles(r#""double""#, &[1.5_f64.to_le_bytes().to_vec()], &["1.5"])]
#[case::booleans(r#""boolean""#, &[vec![0], vec![1]], &["false", "true"])]
#[case::texts(r#""string""#, &[text(""), text("日本")], &["", "日本"])]
#[case::bytes(r#""bytes""#, &[bytes(&[0, 255])], &["00ff"])]
#[case::optional(r#"["null","int"]"#, &[long(0), [long(1), long(7)].concat()], &["7", "<null>"])]
#[case::optional_behind(r#"["int","null"]"#, &[long(1), [long(0), long(7)].concat()], &["7", "<null>"])]
#[case::of_one(r#"["int"]"#, &[[long(0), long(7)].concat()], &["7"])]
#[case::nothing(r#""null""#, &[vec![], vec![]], &["<null>", "<null>"])]
#[case::enums(ENUM, &[long(1), long(0)], &["x", "ü"])]
#[case::decimals(DECIMAL, &[bytes(&[0xff]), bytes(&[0, 0, 0x30, 0x39])], &["-0.01", "123.45"])]
#[case::wide_decimals(WIDE, &[bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])], &["1461501637330902918203684832716283019655932542976"])]
#[case::uuids(UUID, &[(0..16).collect()], &["00010203-0405-0607-0809-0a0b0c0d0e0f"])]
#[case::durations(DURATION, &[vec![1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]], &["1 mons 2 days 0.003000000 secs"])]
#[case::lists(r#"{"type":"array","items":["null","int"]}"#, &[vec![0], [long(2), vec![0], vec![2, 2], long(-1), long(2), vec![2, 6], vec![0]].concat()], &["[<null>, 1, 3]", "[]"])]
#[case::maps(r#"{"type":"map","values":"int"}"#, &[vec![0], [long(1), text("k"), long(5), vec![0]].concat()], &["{k: 5}", "{}"])]
#[case::records(NESTED, &[[long(1), vec![0]].concat(), [long(2), vec![2], text("x")].concat()], &["{b: 1, c: <null>}", "{b: 2, c: x}"])]
fn what_is_there_is_what_is_read(
    #[case] of: &str,
    #[case] values: &[Vec<u8>],
    #[case] expected: &[&str],
) {
    assert_eq!(one(of, values).all().unwrap(), expected);
}

#[rstest]
#[case("int", "date", -1, DataType::Date32, "1969-12-31")]
#[case(
    "int",
    "time-millis",
    86_399_999,
    DataType::Time32(TimeUnit::Millisecond),
    "23:59:59.999"
)]
#[case(
    "long",
    "time-micros",
    1,
    DataType::Time64(TimeUnit::Microsecond),
    "00:00:00.000001"
)]
#[case("long", "timestamp-millis", -1, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), "1969-12-31T23:59:59.999Z")]
#[case("long", "timestamp-micros", 1, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "1970-01-01T00:00:00.000001Z")]
#[case("long", "timestamp-nanos", 1, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), "1970-01-01T00:00:00.000000001Z")]
#[case(
    "long",
    "local-timestamp-micros",
    0,
    DataType::Timestamp(TimeUnit::Microsecond, None),
    "1970-01-01T00:00:00"
)]
#[case("string", "uuid", 0, DataType::Utf8, "")]
#[case("long", "of-tomorrow", 5, DataType::Int64, "5")]
fn logical_types_are_types(
    #[case] of: &str,
    #[case] name: &str,
    #[case] value: i64,
    #[case] data_type: DataType,
    #[case] expected: &str,
) {
    let case = one(&logical(of, name), &[long(value)]);
    assert_eq!(case.types()[0].1, data_type);
    assert_eq!(case.all().unwrap(), [expected]);
}

#[rstest]
#[case::no_time(&logical("int", "time-millis"), long(86_400_000), "86400000 milliseconds are no time of a day")]
#[case::too_many_digits(DECIMAL, bytes(&[1, 0x86, 0xa0]), "more than the 5 digits")]
#[case::empty_decimal(DECIMAL, bytes(&[]), "a decimal has no bytes")]
#[case::no_symbol(ENUM, long(2), "2 is none of 2 choices")]
#[case::no_branch(r#"["null","int"]"#, long(-1), "-1 is none of 2 choices")]
#[case::no_text(r#""string""#, bytes(&[0xff]), "a text is no UTF-8")]
#[case::no_boolean(r#""boolean""#, vec![2], "a boolean is neither 0 nor 1")]
#[case::beyond_32_bits(r#""int""#, long(1 << 40), "has more than 32 bits")]
#[case::cut(r#""string""#, vec![20, b'a'], "longer than what is left")]
#[case::long_list(r#"{"type":"array","items":"null"}"#, [long(1 << 50), vec![0]].concat(), "is too long")]
#[case::list_of_nothing(r#"{"type":"array","items":"null"}"#, [long(2_000_000_000), vec![0]].concat(), "more values than there is memory for")]
fn what_is_no_value_is_told_with_its_record(
    #[case] of: &str,
    #[case] value: Vec<u8>,
    #[case] expected: &str,
) {
    let message = one(of, &[value]).memory(256 << 20).all().unwrap_err();
    assert!(
        message.starts_with("f.avro, column `a`: record 1: ") && message.contains(expected),
        "{message}"
    );
}

#[rstest]
#[case::union(r#"["int","string"]"#, "it is a union of int, string")]
#[case::within_itself(
    r#"{"type":"record","name":"t","fields":[{"name":"next","type":["null","t"]}]}"#,
    "a record within itself"
)]
#[case::digits(
    r#"{"type":"bytes","logicalType":"decimal","precision":100}"#,
    "a decimal of 100 digits"
)]
fn what_is_no_column_can_be_left_out(#[case] of: &str, #[case] expected: &str) {
    let schema = schema(&[("bad", of), ("good", r#""int""#)]);
    let value = match expected {
        "it is a union of int, string" => [long(1), text("x")].concat(),
        "a record within itself" => vec![2, 2, 0],
        _ => bytes(&[1]),
    };
    let block = [value, long(7)].concat();
    let whole = file(&schema, "null", &[(1, block)]);
    let case = Case::avro(&[("f.avro", &whole)]);
    let message = case.all().unwrap_err();
    assert!(
        message.starts_with("f.avro, column `bad`: ") && message.contains(expected),
        "{message}"
    );
    let declared = Case::avro(&[("f.avro", &whole)]).columns(&[("good", DataType::Int64)]);
    assert_eq!(declared.all().unwrap(), ["7"]);
}

/// Two fields and four records in two blocks.
#[rstest]
#[case(r#""int""#, long(-128), DataType::Int8, Ok("-128"))]
#[case(r#""long""#, long(4_294_967_295), DataType::UInt32, Ok("4294967295"))]
#[case(r#"{"type":"fixed","name":"f","size":2}"#, vec![1, 2], DataType::FixedSizeBinary(2), Ok("0102"))]
#[case(r#"{"type":"array","items":"int"}"#, [long(1), long(7), vec![0]].concat(), DataType::new_list(DataType::Int16, true), Ok("[7]"))]
#[case(r#""int""#, long(128), DataType::Int8, Err("128"))]
#[case(r#""int""#, long(-1), DataType::UInt16, Err("-1"))]
#[case(r#"{"type":"fixed","name":"f","size":2}"#, vec![1, 2], DataType::FixedSizeBinary(3), Err("f.avro, column `a`: "))]
#[case(r#""double""#, vec![0; 8], DataType::Int8, Err("does not hold all of its values"))]
fn a_value_goes_into_a_narrower_column_if_it_fits(
    #[case] of: &str,
    #[case] value: Vec<u8>,
    #[case] declared: DataType,
    #[case] expected: Result<&str, &str>,
) {
    let read = one(of, &[value]).columns(&[("a", declared)]).all();
    match expected {
        Ok(row) => assert_eq!(read.unwrap(), [row]),
        Err(part) => {
            let message = read.unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}

fn small(codec: &str, pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let schema = schema(&[("id", r#""long""#), ("name", r#"["null","string"]"#)]);
    let named = |id, name| [long(id), vec![2], text(name)].concat();
    let blocks = [
        (3, [named(1, "a"), named(2, "b"), vec![6, 0]].concat()),
        (1, named(300, "dü")),
    ];
    let blocks = blocks.map(|(count, block)| (count, pack(&block)));
    file(&schema, codec, &blocks)
}

fn plain() -> Vec<u8> {
    small("null", <[u8]>::to_vec)
}

/// Files with values of many types, to be changed.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let schema = schema(&[
        ("a", DECIMAL),
        ("b", ENUM),
        ("c", r#"["null",{"type":"array","items":["null","int"]}]"#),
        ("d", r#"{"type":"map","values":"int"}"#),
        ("e", NESTED),
        ("f", DURATION),
        ("g", &logical("long", "timestamp-micros")),
    ]);
    let value = [
        bytes(&[0, 0, 0x30, 0x39]),
        long(1),
        [
            vec![2],
            long(2),
            vec![2, 2],
            long(-1),
            long(2),
            vec![2, 6],
            vec![0],
        ]
        .concat(),
        [long(1), text("k"), long(5), vec![0]].concat(),
        [long(2), vec![2], text("x")].concat(),
        vec![1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0],
        long(1_700_000_000_000_000),
    ]
    .concat();
    let blocks = [(2, value.repeat(2)), (1, value)];
    vec![
        plain(),
        small("deflate", deflated),
        file(&schema, "null", &blocks),
    ]
}

const ROWS: [&str; 4] = ["1|a", "2|b", "300|dü", "3|<null>"];

fn deflated(block: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(block).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn blocks_are_read_whatever_they_are_compressed_with() {
    let snappy = |block: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(block);
        let packed = snap::raw::Encoder::new().compress_vec(block).unwrap();
        [packed, sum.sum().to_be_bytes().to_vec()].concat()
    };
    let zstandard = |block: &[u8]| zstd::encode_all(block, 3).unwrap();
    for whole in [
        plain(),
        small("deflate", deflated),
        small("snappy", snappy),
        small("zstandard", zstandard),
    ] {
        assert_eq!(Case::avro(&[("f.avro", &whole)]).all().unwrap(), ROWS);
    }
    let case = Case::avro(&[("f.avro", &plain())]);
    assert_eq!(case.read("SELECT name FROM t WHERE id = 2").unwrap(), ["b"]);
    assert_eq!(case.read("SELECT count(*) FROM t").unwrap(), ["4"]);
    // One block of two: of several that are wrong, any may be told first.
    let wrong_sum = small("snappy", |block| {
        let mut packed = snappy(block);
        *packed.last_mut().unwrap() ^= u8::from(block.len() > 8);
        packed
    });
    let message = Case::avro(&[("f.avro", &wrong_sum)]).all().unwrap_err();
    assert!(
        message.contains("its checksum is of other bytes"),
        "{message}"
    );
    let unknown = small("lz4", <[u8]>::to_vec);
    let message = Case::avro(&[("f.avro", &unknown)]).all().unwrap_err();
    assert!(
        message.contains("`lz4`, which is none of null, deflate, snappy"),
        "{message}"
    );
}

#[test]
fn files_are_united_by_name() {
    let other = schema(&[
        ("name", r#""string""#),
        ("id", r#""int""#),
        ("more", r#""double""#),
    ]);
    let value = [text("z"), long(9), 0.5_f64.to_le_bytes().to_vec()].concat();
    let case = Case::avro(&[
        ("a.avro", &plain()),
        ("b.avro", &file(&other, "null", &[(1, value)])),
    ]);
    assert_eq!(
        case.read("SELECT id, name, more FROM t WHERE id > 2")
            .unwrap(),
        ["300|dü|<null>", "3|<null>|<null>", "9|z|0.5"]
    );
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error() {
    let whole = plain();
    // Nobody knows of a block that has not begun.
    let second = whole.len() - (1 + 1 + 7 + 16);
    let first = second - (1 + 1 + 10 + 16);
    for length in 1..whole.len() {
        let message = Case::avro(&[("f.avro", &whole[..length])]).once();
        if length == first || length == second {
            let rows = if length == first { 0 } else { 3 };
            assert_eq!(message.unwrap().len(), rows);
            continue;
        }
        let message = message.unwrap_err();
        assert!(
            message.starts_with("f.avro: it is no whole Avro file"),
            "{length}: {message}"
        );
    }
}

#[test]
fn no_change_of_a_byte_ends_the_process_or_takes_memory() {
    for whole in [plain(), small("deflate", deflated)] {
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                // Data that is changed is other data; all that counts is that this returns, and that an error names the file.
                if let Err(message) = Case::avro(&[("f.avro", &changed)]).once() {
                    assert!(message.starts_with("f.avro"), "{at}: {message}");
                }
            }
        }
    }
}

#[test]
fn what_a_file_says_of_itself_is_no_reason_to_take_memory() {
    let bomb = small("deflate", |_| deflated(&vec![0; 20 << 20]));
    let message = Case::avro(&[("f.avro", &bomb)])
        .memory(64 << 20)
        .once()
        .unwrap_err();
    assert!(message.contains("more than 8 MiB"), "{message}");
    let empty = file(&schema(&[("a", r#""null""#)]), "null", &[(1 << 60, vec![])]);
    let message = Case::avro(&[("f.avro", &empty)]).once().unwrap_err();
    assert!(
        message.contains("records cannot be in 0 bytes"),
        "{message}"
    );
    // A name that stands for two of the next: 2 to the power of 40 fields.
    let mut of = String::from(r#""int""#);
    for level in 0..40 {
        of = format!(
            r#"{{"type":"record","name":"r{level}","fields":[{{"name":"a","type":{of}}},{{"name":"b","type":{}}}]}}"#,
            if level == 0 {
                r#""int""#.to_owned()
            } else {
                format!(r#""r{}""#, level - 1)
            }
        );
    }
    let wide = file(&schema(&[("a", &of)]), "null", &[]);
    let message = Case::avro(&[("f.avro", &wide)]).once().unwrap_err();
    assert!(message.contains("more than 100000 fields"), "{message}");
    // A byte for each of 200 records of 1,000 values that are NULL.
    let fields: Vec<String> = (0..1_000)
        .map(|number| format!(r#"{{"name":"f{number}","type":"double"}}"#))
        .collect();
    let record = format!(
        r#"{{"type":"record","name":"n","fields":[{}]}}"#,
        fields.join(",")
    );
    let list = format!(r#"{{"type":"array","items":["null",{record}]}}"#);
    let items = [long(1 << 20), vec![0; 1 << 20], vec![0]].concat();
    let nulls = file(&schema(&[("a", &list)]), "null", &[(1, items)]);
    let message = Case::avro(&[("f.avro", &nulls)])
        .memory(256 << 20)
        .once()
        .unwrap_err();
    assert!(
        message.contains("more values than there is memory for"),
        "{message}"
    );
}

/// Writes a file for every codec, and prints the rows that are in it.
const WRITE: &str = r#"
import datetime as dt, decimal, random, sys, uuid
import fastavro
random.seed(7)
schema = fastavro.parse_schema({"type": "record", "name": "a.b.Row", "fields": [
    {"name": "id", "type": "long"},
    {"name": "f", "type": ["null", "float"]},
    {"name": "s", "type": ["string", "null"]},
    {"name": "b", "type": "bytes"},
    {"name": "x", "type": {"type": "fixed", "name": "Four", "size": 4}},
    {"name": "e", "type": {"type": "enum", "name": "Color", "symbols": ["red", "green", "blue"]}},
    {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3}},
    {"name": "w", "type": {"type": "fixed", "name": "Wide", "size": 16, "logicalType": "decimal", "precision": 38, "scale": 10}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "tms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "tus", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
    {"name": "lus", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
    {"name": "t", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "u", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "l", "type": {"type": "array", "items": ["null", "long"]}},
    {"name": "m", "type": {"type": "map", "values": "Color"}},
    {"name": "r", "type": ["null", {"type": "record", "name": "Inner", "fields": [
        {"name": "p", "type": "int"}, {"name": "q", "type": {"type": "array", "items": "string"}}]}]},
]})
epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
micro = dt.timedelta(microseconds=1)
def row(i):
    pick = random.random
    digits = lambda n, scale: decimal.Decimal(random.randint(-10**n + 1, 10**n - 1)).scaleb(-scale, decimal.Context(prec=60))
    instant = lambda unit: epoch + random.randint(-2**50, 2**50) // unit * unit * micro
    return {
        "id": random.randint(-2**63, 2**63 - 1), "f": None if pick() < .3 else random.randint(-1000, 1000) / 8,
        "s": None if pick() < .3 else random.choice(["", "plain", "größe", "日本", "😀"]),
        "b": random.randbytes(random.randint(0, 5)), "x": random.randbytes(4), "e": random.choice(["red", "green", "blue"]),
        "d": digits(20, 3), "w": digits(38, 10), "day": dt.date(1970, 1, 1) + dt.timedelta(days=random.randint(-700000, 2900000)),
        "tms": instant(1000), "tus": None if pick() < .3 else instant(1), "lus": instant(1).replace(tzinfo=None),
        "t": (dt.datetime.min + random.randint(0, 86399999999) * micro).time(), "u": uuid.UUID(int=random.getrandbits(128)),
        "l": [None if pick() < .3 else random.randint(-9, 9) for _ in range(random.randint(0, 4))],
        "m": {k: random.choice(["red", "green"]) for k in "abc"[:random.randint(0, 3)]},
        "r": None if pick() < .3 else {"p": random.randint(-9, 9), "q": ["z"] * random.randint(0, 2)},
    }
null = "<null>"
show = lambda value: null if value is None else str(value)
listed = lambda values: "[" + ", ".join(map(show, values)) + "]"
def line(r):
    count = lambda instant: null if instant is None else str((instant.replace(tzinfo=dt.timezone.utc) - epoch) // micro)
    return "|".join([
        str(r["id"]), show(r["f"]), show(r["s"]), r["b"].hex(), r["x"].hex(), r["e"], f'{r["d"]:f}', f'{r["w"]:f}',
        str((r["day"] - dt.date(1970, 1, 1)).days), str(int(count(r["tms"])) // 1000), count(r["tus"]), count(r["lus"]),
        str((dt.datetime.combine(dt.date.min, r["t"]) - dt.datetime.min) // micro), str(r["u"]), listed(r["l"]),
        "{" + ", ".join(f"{k}: {v}" for k, v in r["m"].items()) + "}",
        null if r["r"] is None else "{p: %d, q: %s}" % (r["r"]["p"], listed(r["r"]["q"])),
    ])
rows = [row(i) for i in range(3000)]
for codec in ["null", "deflate", "bzip2", "xz", "snappy", "zstandard"]:
    try:
        with open(f"{sys.argv[1]}/{codec}.avro", "wb") as out:
            fastavro.writer(out, schema, rows, codec=codec, sync_interval=5000)
    except ValueError as error:
        print(codec, error, file=sys.stderr)
        import os; os.remove(f"{sys.argv[1]}/{codec}.avro")
print("\n".join(sorted(map(line, rows))))
"#;

#[test]
fn what_another_program_writes_is_read() -> anyhow::Result<()> {
    let Some(python) = Python::find()? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let printed = python.run(WRITE, &[folder.path().to_str().unwrap()])?;
    let expected: Vec<&str> = printed.lines().collect();
    let mut codecs = 0;
    for entry in std::fs::read_dir(folder.path())? {
        let whole = std::fs::read(entry?.path())?;
        let query = "SELECT id, f, s, encode(b, 'hex'), encode(x, 'hex'), e, d, w, arrow_cast(day, 'Int32'),
            arrow_cast(tms, 'Int64'), arrow_cast(tus, 'Int64'), arrow_cast(lus, 'Int64'), arrow_cast(t, 'Int64'), u, l, m, r FROM t";
        let read = Case::avro(&[("f.avro", &whole)]).once_of(query);
        assert_eq!(read.map_err(|message| anyhow::anyhow!(message))?, expected);
        codecs += 1;
    }
    assert!(codecs >= 4, "{codecs} codecs were written");
    Ok(())
}
