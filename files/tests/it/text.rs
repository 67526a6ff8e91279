//! Lines of text.

use std::io::Write;

use datafusion::arrow::datatypes::DataType;
use rstest::rstest;

use crate::cases::Case;

fn one(text: &str) -> Case {
    Case::text(&[("f.txt", text.as_bytes())])
}

#[rstest]
#[case::lines("a\nb\n", &["a", "b"])]
#[case::no_last_line_end("a\nb", &["a", "b"])]
#[case::windows("a\r\nb\r\n", &["a", "b"])]
#[case::old_mac("a,b\rc\r", &["a,b", "c"])]
#[case::carriage_returns_in_lines("a\rb\nc\r\nd\r", &["a\rb", "c", "d\r"])]
#[case::blank_lines("\n\na\n\n", &["", "", "", "a"])]
#[case::spaces_and_quotes(" \"a\n'b' \t\n", &[" \"a", "'b' \t"])]
#[case::a_mark("\u{feff}ü\n", &["ü"])]
#[case::a_nul("a\0b\n", &["a\0b"])]
fn what_is_there_is_what_is_read(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(one(text).all().unwrap(), expected);
}

#[test]
fn a_carriage_return_far_before_the_first_line_feed_is_in_a_line() {
    let text = format!("{}\r{}\nx\n", "a".repeat(3_000), "b".repeat(3_000));
    let lengths = one(&text).read("SELECT length(line) FROM t").unwrap();
    assert_eq!(lengths, ["1", "6001"]);
}

#[test]
fn a_line_is_one_text_under_any_name() {
    let named = one("1\n2\n").columns(&[("entry", DataType::Utf8View)]);
    assert_eq!(named.read("SELECT entry FROM t").unwrap(), ["1", "2"]);
    assert_eq!(one("1\n2\n").types(), [("line".to_owned(), DataType::Utf8)]);
    let number = one("1\n").columns(&[("n", DataType::Int64)]);
    let message = number.all().unwrap_err();
    assert!(
        message.contains("a line of text is one column of the type TEXT, and `n` is declared"),
        "{message}"
    );
    let two = one("1\n").columns(&[("a", DataType::Utf8), ("b", DataType::Utf8)]);
    assert!(two.all().unwrap_err().contains("and `a`, `b` is declared"));
}

#[test]
fn lines_are_counted_without_being_kept() {
    let text = "x\n".repeat(10_000);
    assert_eq!(
        one(&text).read("SELECT count(*) FROM t").unwrap(),
        ["10000"]
    );
}

#[test]
fn compressions_encodings_and_folders_are_those_of_all_formats() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"zipped\n").unwrap();
    let case = Case::text(&[
        ("day=1/a.txt", &encoder.finish().unwrap()),
        ("day=2/b.LOG", b"plain"),
    ])
    .partition_by(&["day"]);
    assert_eq!(case.all().unwrap(), ["plain|2", "zipped|1"]);
    let latin = Case::text(&[("f.txt", b"gr\xf6\xdfe\n")]);
    let message = latin.all().unwrap_err();
    assert!(
        message.starts_with("f.txt, line 1: the bytes are no UTF-8; say how"),
        "{message}"
    );
    let latin = Case::text(&[("f.txt", b"gr\xf6\xdfe\n")]).encoding("windows-1252");
    assert_eq!(latin.all().unwrap(), ["größe"]);
}
