//! Delimiter-separated values.

use std::io::Write;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use files::Csv;
use files::csv::{Detect, Dialect};
use rstest::rstest;

use crate::cases::Case;

fn one(text: &str) -> Case {
    Case::csv(&[("f.csv", text.as_bytes())])
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[rstest]
#[case::plain("a,b\n1,x\n2,y\n", &["1|x", "2|y"])]
#[case::no_last_line_end("a,b\n1,x\n2,y", &["1|x", "2|y"])]
#[case::windows("a,b\r\n1,x\r\n2,y\r\n", &["1|x", "2|y"])]
#[case::old_mac("a,b\r1,x\r2,y\r", &["1|x", "2|y"])]
#[case::quoted_line_ends("a,b\n1,\"x\ny, z\"\n2,\"\"\"q\"\"\"\n", &["1|x\ny, z", "2|\"q\""])]
#[case::inner_quote("a,b\n1,5\" pipe\n2,x\"y\"\n", &["1|5\" pipe", "2|x\"y\""])]
#[case::null_and_empty("a,b\n1,\n2,\"\"\n", &["1|<null>", "2|"])]
#[case::leading_zeros("zip\n02116\n10001\n", &["02116", "10001"])]
#[case::beyond_64_bits("id\n9007199254740993\n12345678901234567890\n", &["12345678901234567890", "9007199254740993"])]
#[case::more_digits_than_a_double("x\n0.5\n9007199254740993\n", &["0.5", "9007199254740993.0"])]
#[case::widened("x\n1\n1.5\n", &["1.0", "1.5"])]
#[case::all_null("a,b\nx,\ny,\n", &["x|<null>", "y|<null>"])]
#[case::blank_line_of_one_column("n\n1\n\n3\n", &["1", "3", "<null>"])]
#[case::blank_line("a,b\n1,2\n\n3,4\n\n", &["1|2", "3|4"])]
#[case::names_twice("id,x,x\n1,2,a\n", &["1|2|a"])]
#[case::header_alone("a,b\n", &[])]
#[case::mark("\u{feff}a,b\n1,2\n", &["1|2"])]
#[case::quoted_header("\"a\nb\",c\n1,2\n", &["1|2"])]
#[case::wide_characters("a,b\n日本,😀\n", &["日本|😀"])]
fn what_is_there_is_what_is_read(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(one(text).all().unwrap(), expected);
}

#[rstest]
#[case::not_closed(
    "id,n\n1,\"a\n2,b\n3,c\n",
    "f.csv, line 2: the quote that opens here is not closed"
)]
#[case::too_many_fields(
    "a,b\n1,2\n3,4,5\n",
    "f.csv, line 3: the row has 3 fields, and 2 are expected"
)]
#[case::too_few_fields(
    "a,b\n1,2\n\n3\n",
    "f.csv, line 4: the row has 1 field, and 2 are expected"
)]
#[case::behind_a_quote(
    "a,b\n1,\"x\" y\n",
    "f.csv, line 2: behind the quote that closes a field stands ` y`"
)]
fn what_is_malformed_is_told_with_its_line(#[case] text: &str, #[case] expected: &str) {
    let message = one(text).all().unwrap_err();
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn columns_are_matched_by_name() {
    let files: [(&str, &[u8]); 3] = [
        ("a.csv", b"first,last\nann,lee\n"),
        ("b.csv", b"last,first\nfox,bob\n"),
        ("c.csv", b"LAST\ncat\n"),
    ];
    let inferred = Case::csv(&files[..2]);
    assert_eq!(inferred.all().unwrap(), ["ann|lee", "bob|fox"]);
    let text = DataType::Utf8;
    let declared = Case::csv(&files).columns(&[("last", text.clone()), ("first", text.clone())]);
    assert_eq!(
        declared.all().unwrap(),
        ["cat|<null>", "fox|bob", "lee|ann"]
    );
    assert_eq!(
        declared
            .read("SELECT first FROM t WHERE last = 'fox'")
            .unwrap(),
        ["bob"]
    );
    let typo = Case::csv(&files).columns(&[("lst", text.clone())]);
    let message = typo.all().unwrap_err();
    assert!(
        message.contains("no file has the column `lst`; there are `first`, `last`"),
        "{message}"
    );
    let position = Case::csv(&[("a.csv", b"x,y\n1,2\n")])
        .columns(&[("a", DataType::Int64), ("b", text)])
        .with_csv(Csv {
            by_position: true,
            ..Csv::default()
        });
    assert_eq!(position.all().unwrap(), ["1|2"]);
}

#[test]
fn every_file_is_read_whatever_it_is_called() {
    let case = Case::csv(&[
        ("a.csv", b"a\n1\n"),
        ("b.csv.gz", &gzip("a\n2\n")),
        ("c.CSV", b"a\n3\n"),
        ("d.tsv", b"a\tb\n4\tx\n"),
        ("sub/e.csv", &gzip("a\n5\n")),
        ("_SUCCESS", b""),
        ("._a.csv", b"\0\0"),
    ]);
    assert_eq!(
        case.read("SELECT a FROM t").unwrap(),
        ["1", "2", "3", "4", "5"]
    );
}

#[rstest]
#[case(
    DataType::Decimal128(10, 2),
    "1.239",
    "`1.239` is not DECIMAL(10,2): it has more digits behind the point than the type"
)]
#[case(
    DataType::Int32,
    "2.5",
    "`2.5` is not INT: it has more digits behind the point than the type"
)]
#[case(
    DataType::Int32,
    "3000000000",
    "`3000000000` is not INT: it is out of range"
)]
#[case(
    DataType::Float64,
    "1e400",
    "`1e400` is not DOUBLE: it is out of range"
)]
#[case(DataType::Date32, "2026-02-30", "`2026-02-30` is not DATE")]
#[case(DataType::Boolean, "yes", "`yes` is not BOOLEAN")]
#[case(
    DataType::Timestamp(TimeUnit::Microsecond, None),
    "2026-01-01T00:00:00+01:00",
    "it has an offset, and the type has no zone"
)]
#[case(
    DataType::Timestamp(TimeUnit::Nanosecond, None),
    "9999-12-31T00:00:00",
    "it is out of range"
)]
#[case(
    DataType::Timestamp(TimeUnit::Microsecond, None),
    "2026-01-01T00:00:00.1234567",
    "the type has fewer digits behind the seconds"
)]
fn a_value_that_does_not_fit_is_told_with_its_place(
    #[case] data_type: DataType,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let text = format!("id,v\n1,\n2,{value}\n");
    let case = one(&text).columns(&[("id", DataType::Int64), ("v", data_type)]);
    let message = case.all().unwrap_err();
    assert!(
        message.starts_with("f.csv, line 3, column `v`: ") && message.contains(expected),
        "{message}"
    );
    // A query that does not read the column does not look at its values.
    assert_eq!(case.read("SELECT id FROM t").unwrap(), ["1", "2"]);
}

#[test]
fn types_that_were_found_hold_for_the_whole_file() {
    let mut text = String::from("id,n\n");
    for id in 0..20_000 {
        text.push_str(&format!(
            "{id},{}\n",
            if id == 15_000 { "oops" } else { "7" }
        ));
    }
    let whole = one(&text);
    assert_eq!(whole.types()[1].1, DataType::Utf8);
    let runtime_message = one(&text)
        .sample(4_096)
        .read("SELECT n FROM t WHERE id > 14990")
        .unwrap_err();
    assert!(
        runtime_message.starts_with("f.csv, line 15002, column `n`: `oops` is not BIGINT"),
        "{runtime_message}"
    );
}

#[test]
fn dialects_are_as_said() {
    let said = |dialect: Dialect| Csv {
        dialect,
        delimiter: Some(b';'),
        ..Csv::default()
    };
    let text = "made by hand\n# \"a\" comment\nid;v\n1;'x;y'\n2;NA\n# more\n3;it\\'s\n4;'it\\'s'\n";
    let case = one(text).with_csv(said(Dialect {
        quote: Some(b'\''),
        escape: Some(b'\\'),
        comment: Some(b'#'),
        skip_rows: 1,
        null: vec![String::new(), "NA".to_owned()],
        ..Dialect::default()
    }));
    assert_eq!(
        case.all().unwrap(),
        ["1|x;y", "2|<null>", "3|it\\'s", "4|it's"]
    );
    let bare = one("1;a\"b\n2;\"c\n").with_csv(said(Dialect {
        quote: None,
        header: false,
        ..Dialect::default()
    }));
    assert_eq!(bare.all().unwrap(), ["1|a\"b", "2|\"c"]);
    assert_eq!(bare.types()[0].0, "column_1");
}

#[test]
fn encodings_are_named() {
    let latin = b"name\ngr\xf6\xdfe\n";
    let case = Case::csv(&[("f.csv", latin)]).encoding("windows-1252");
    assert_eq!(case.all().unwrap(), ["größe"]);
    let message = Case::csv(&[("f.csv", latin)]).all().unwrap_err();
    assert!(
        message.starts_with("f.csv, line 2: the bytes are no UTF-8; say how"),
        "{message}"
    );
    let utf_16: Vec<u8> = "\u{feff}a,b\n1,ü\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(Case::csv(&[("f.csv", &utf_16)]).all().unwrap(), ["1|ü"]);
}

#[test]
fn partitions_are_columns_with_types_and_nulls() {
    let case = Case::csv(&[
        ("day=2026-01-01/kind=a%2Fb/f.csv", b"id\n1\n"),
        ("day=__HIVE_DEFAULT_PARTITION__/kind=c/f.csv", b"id\n2\n"),
        ("day=2026-01-02/kind=c/f.csv", b"id\n3\n"),
    ])
    .columns(&[("id", DataType::Int64), ("day", DataType::Date32)])
    .partition_by(&["day", "kind"]);
    assert_eq!(
        case.all().unwrap(),
        ["1|2026-01-01|a/b", "2|<null>|c", "3|2026-01-02|c"]
    );
    assert_eq!(
        case.read("SELECT id FROM t WHERE day >= DATE '2026-01-02'")
            .unwrap(),
        ["3"]
    );
    assert_eq!(
        case.read("SELECT kind, count(*) FROM t GROUP BY kind")
            .unwrap(),
        ["a/b|1", "c|2"]
    );
    assert_eq!(
        case.read("SELECT id FROM t WHERE day IS NULL").unwrap(),
        ["2"]
    );
    let flat = Case::csv(&[("f.csv", b"id\n1\n")]).partition_by(&["day"]);
    let message = flat.all().unwrap_err();
    assert!(message.contains("is in no folder `day=…`"), "{message}");
}

#[test]
fn a_limit_stops_readers() {
    let text = format!("id\n{}", "1\n".repeat(10_000));
    assert_eq!(
        one(&text).read("SELECT id FROM t LIMIT 5").unwrap(),
        ["1"; 5]
    );
    assert_eq!(
        one(&text).read("SELECT count(*) FROM t").unwrap(),
        ["10000"]
    );
}

fn detecting() -> Csv {
    Csv {
        detect: Some(Detect {
            delimiter: true,
            quote: true,
            header: true,
            skip_rows: true,
        }),
        ..Csv::default()
    }
}

#[test]
fn a_dialect_is_found_where_that_is_asked_for() {
    let text = "Sales, all of them\n\nid;name\n1;'a;b'\n2;'c\nd'\n3;'it''s'\n";
    let case = one(text).with_csv(detecting());
    assert_eq!(case.all().unwrap(), ["1|a;b", "2|c\nd", "3|it's"]);
    assert_eq!(case.types()[0].0, "id");
    let bare = one("1\tx\n2\ty\n").with_csv(detecting());
    assert_eq!(bare.read("SELECT column_2 FROM t").unwrap(), ["x", "y"]);
    let zipped = Case::csv(&[("f.csv.gz", &gzip("a|b\n1|2\n"))]).with_csv(detecting());
    assert_eq!(zipped.read("SELECT b FROM t").unwrap(), ["2"]);
}

#[test]
fn files_of_different_dialects_are_an_error() {
    let files: [(&str, &[u8]); 2] = [("a.csv", b"x;y\n1;2\n"), ("b.csv", b"x,y\n3,4\n")];
    let message = Case::csv(&files).with_csv(detecting()).all().unwrap_err();
    assert!(
        message.starts_with("b.csv: it has delimiter `,`")
            && message.contains("a.csv has delimiter `;`"),
        "{message}"
    );
}

#[test]
fn a_record_is_no_longer_where_a_file_is_looked_at() {
    let text = format!("id,text\n1,a\n2,{}\n", "x".repeat(3 << 20));
    let case = Case::csv(&[("f.csv", text.as_bytes())]).longest_record(2 << 20);
    let message = case.once().unwrap_err();
    assert!(
        message.starts_with("f.csv, line 3: a record is longer than 2 MiB"),
        "{message}"
    );
}

#[test]
fn what_ends_lines_is_seen_in_more_than_the_first_part() {
    let case = Case::csv(&[("f.csv", b";\rx922337203685477580792233720368547758\n.1\n")]);
    assert_eq!(case.all().unwrap(), [".1"]);
}
