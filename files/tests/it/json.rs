//! JSON.

use datafusion::arrow::datatypes::DataType;
use rstest::rstest;

use crate::cases::Case;

fn one(text: &str) -> Case {
    Case::json(&[("f.json", text.as_bytes())])
}

#[rstest]
#[case::lines("{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\",\"a\":2}\n", &["1|x", "2|y"])]
#[case::no_last_line_end("{\"a\":1}\n{\"a\":2}", &["1", "2"])]
#[case::blank_lines("\n{\"a\":1}\n\n  \n{\"a\":2}\n", &["1", "2"])]
#[case::on_one_line("{\"a\":1}{\"a\":2} {\"a\":3}", &["1", "2", "3"])]
#[case::documents("{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", &["1", "2"])]
#[case::array("[{\"a\":1},\n {\"a\":2} , {\"a\":3}]\n", &["1", "2", "3"])]
#[case::empty_array("[ ]", &[])]
#[case::mark("\u{feff}{\"a\":1}\n", &["1"])]
#[case::missing_keys("{\"a\":1}\n{\"b\":2}\n", &["1|<null>", "<null>|2"])]
#[case::fractions("{\"a\":1}\n{\"a\":5.9}\n", &["1.0", "5.9"])]
#[case::large_ids("{\"id\":9007199254740993}\n{\"id\":12345678901234567890}\n", &["12345678901234567890", "9007199254740993"])]
#[case::pairs("{\"a\":\"\\ud842\\udfb7\\u7530\\ud83d\\ude00\"}\n", &["𠮷田😀"])]
#[case::several_kinds("{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":{\"b\": [1]}}\n{\"a\":true}\n", &["1", "true", "x", "{\"b\": [1]}"])]
#[case::lists("{\"a\":[1,2]}\n{\"a\":[]}\n{\"a\":null}\n{\"a\":[3,null]}\n", &["<null>", "[1, 2]", "[3, <null>]", "[]"])]
#[case::objects("{\"a\":{\"b\":1,\"c\":\"x\"}}\n{\"a\":{\"c\":\"y\"}}\n{\"a\":null}\n", &["<null>", "{b: 1, c: x}", "{b: <null>, c: y}"])]
fn what_is_there_is_what_is_read(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(one(text).all().unwrap(), expected);
}

#[rstest]
#[case::no_comma("{\"a\":1}\n{\"a\":2 \"a\":7}\n", "f.json, line 2: this is no JSON")]
#[case::comma_too_many("{\"a\":1}\n{\"a\":3,}\n", "f.json, line 2: this is no JSON")]
#[case::cut_short("{\"a\":1}\n{\"a\":2}\n{\"a\":\n", "f.json, line 3: this is no JSON")]
#[case::array_cut_short(
    "[{\"a\":1},\n{\"a\":2}",
    "f.json, line 2: this is no JSON: the array does not end"
)]
#[case::two_arrays("[{\"a\":1}]\n[{\"a\":2}]\n", "f.json, line 2: this is no JSON")]
#[case::comma_at_the_end("[{\"a\":1},\n]", "f.json, line 2: this is no JSON")]
#[case::key_twice(
    "{\"a\":1,\n\"a\":2}\n",
    "f.json, line 2: the key `a` is twice in an object"
)]
#[case::no_object(
    "{\"a\":1}\n7\n",
    "f.json, line 2: this is no JSON: `7` stands where an object is expected"
)]
#[case::half_a_pair(
    "{\"a\":\"\\ud842\"}\n",
    "f.json, line 1: this is no JSON: a string has half of a surrogate pair in it"
)]
fn what_is_no_json_is_told_with_its_line(#[case] text: &str, #[case] expected: &str) {
    let message = one(text)
        .columns(&[("a", DataType::Int64)])
        .all()
        .unwrap_err();
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn values_are_exact_or_refused() {
    let text = "{\"a\":1.10,\"b\":2.0}\n{\"a\":\"1.1\",\"b\":3}\n";
    let decimals = one(text).columns(&[("a", DataType::Decimal128(10, 2)), ("b", DataType::Int64)]);
    assert_eq!(decimals.all().unwrap(), ["1.10|2", "1.10|3"]);
    let digits = one(text).columns(&[("a", DataType::Utf8)]);
    assert_eq!(digits.all().unwrap(), ["1.1", "1.10"]);
    let cut = one("{\"a\":1.75}\n").columns(&[("a", DataType::Int64)]);
    let message = cut.all().unwrap_err();
    assert!(
        message.starts_with("f.json, line 1, column `a`: `1.75` is not BIGINT"),
        "{message}"
    );
    let number = one("{\"a\":5}\n").columns(&[("a", DataType::Date32)]);
    assert!(
        number
            .all()
            .unwrap_err()
            .contains("`5` is not DATE: it is a number")
    );
}

#[test]
fn keys_that_come_late_are_not_dropped() {
    let mut text = "{\"a\":1}\n".repeat(5_000);
    text.push_str("{\"a\":2,\"late\":\"here\"}\n");
    assert_eq!(
        one(&text)
            .read("SELECT late FROM t WHERE late IS NOT NULL")
            .unwrap(),
        ["here"]
    );
    let mut text = "{\"a\":1}\n".repeat(50_000);
    text.insert_str(8 * 20_000, "{\"a\":2,\"late\":\"here\"}\n");
    let message = one(&text)
        .sample(4_096)
        .read("SELECT a FROM t")
        .unwrap_err();
    assert!(
        message.starts_with(
            "f.json, line 20001: the key `late` is in none of the documents that were looked at"
        ),
        "{message}"
    );
    let declared = one(&text).columns(&[("a", DataType::Int64)]);
    assert_eq!(
        declared.read("SELECT count(*), sum(a) FROM t").unwrap(),
        ["50001|50002"]
    );
}

#[test]
fn a_declared_column_that_no_document_has_is_an_error() {
    let case = one("{\"a\":1}\n").columns(&[("a", DataType::Int64), ("bee", DataType::Utf8)]);
    let message = case.all().unwrap_err();
    assert!(
        message.contains("no file has the column `bee`; there are `a`"),
        "{message}"
    );
}

#[test]
fn files_of_all_suffixes_and_layouts_are_one_table() {
    let case = Case::json(&[
        ("a.json", b"[{\"a\":1}]"),
        ("b.jsonl", b"{\"a\":2}\n"),
        ("c.NDJSON", b"{\"a\":3.5}\n"),
    ]);
    assert_eq!(case.all().unwrap(), ["1.0", "2.0", "3.5"]);
    let case = Case::json(&[("a.json", b"{\"a\":1}\n"), ("b.json", b"{\"a\":\n")]);
    let message = case.all().unwrap_err();
    assert!(message.starts_with("b.json, line 1: "), "{message}");
}

#[test]
fn what_is_within_too_many_levels_stays_as_it_is_written() {
    let deep = |levels: usize, inner: &str| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!("{{\"a\":{open}{inner}{close}}}\n")
    };
    assert_eq!(
        one(&deep(23, "[1, 2]")).all().unwrap(),
        [format!("{}[1, 2]{}", "[".repeat(23), "]".repeat(23))]
    );
    assert_eq!(
        one(&deep(100, "{\"b\": 1}")).all().unwrap(),
        [format!(
            "{}{{\"b\": 1}}{}",
            "[".repeat(100),
            "]".repeat(100)
        )]
    );
}
