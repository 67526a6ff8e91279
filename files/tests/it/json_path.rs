//! JSON of which the items of one list are rows.

use rstest::rstest;

use crate::cases::Case;

fn one(path: &str, text: &str) -> Case {
    Case::json_path(&[("f.json", text.as_bytes())], path)
}

#[rstest]
#[case::items("$.data.items", "{\"n\":2,\"data\":{\"items\":[{\"a\":1},\n{\"a\":2}],\"next\":null}}", &["1", "2"])]
#[case::no_items("$.items", "{\"items\":[]}\n{\"items\":[{\"a\":1}]}", &["1"])]
#[case::null("$.items", "{\"items\":null}\n{\"items\":[{\"a\":1}]}", &["1"])]
#[case::documents("$.d", "{\"d\":[{\"a\":1}]}{\"d\":[{\"a\":2},{\"a\":3}]}\n", &["1", "2", "3"])]
#[case::pretty("$.d", "{\n  \"d\": [\n    {\n      \"a\": 1\n    },\n    {\n      \"a\": 2\n    }\n  ]\n}\n", &["1", "2"])]
#[case::pages("$.pages[*].items", "{\"pages\":[{\"items\":[{\"a\":1}]},{\"items\":[{\"a\":2}],\"x\":1}]}", &["1", "2"])]
#[case::a_list_of_lists("$[*]['x y']", "[{\"x y\":[{\"a\":1}]},{\"x y\":[]},{\"x y\":[{\"a\":2}]}]", &["1", "2"])]
#[case::the_document_itself("$", "[{\"a\":1},{\"a\":2}]\n[{\"a\":3}]", &["1", "2", "3"])]
#[case::escaped_key("$.größe", "{\"gr\\u00f6\\u00DFe\":[{\"a\":1}]}", &["1"])]
#[case::the_same_key_elsewhere("$.d.x", "{\"x\":[{\"a\":9}],\"d\":{\"y\":{\"x\":[{\"a\":8}]},\"x\":[{\"a\":1}]}}", &["1"])]
#[case::brackets_in_texts("$.d", "{\"]\":\"}]\\\"\",\"d\":[{\"a\":\"}]\\\"[\"}]}", &["}]\"["])]
#[case::nested_items("$.d", "{\"d\":[{\"a\":{\"d\":[1]}}]}", &["{d: [1]}"])]
#[case::a_mark("$.d", "\u{feff}{\"d\":[{\"a\":1}]}", &["1"])]
fn the_items_are_rows(#[case] path: &str, #[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(one(path, text).all().unwrap(), expected);
}

#[rstest]
#[case::missing(
    "$.data.items",
    "{\"data\":\n{\"rows\":[],\"n\":1}}",
    "f.json, line 2: `$.data` has no key `items`; there are `rows`, `n`"
)]
#[case::empty("$.items", "{}", "f.json, line 1: `$` has no key `items`; it is empty")]
#[case::missing_in_a_page(
    "$[*].i",
    "[{\"i\":[{\"a\":1}]},\n{\"j\":[]}]",
    "f.json, line 2: `$[*]` has no key `i`; there are `j`"
)]
#[case::no_list(
    "$.d",
    "{\"d\":{\"a\":1}}",
    "f.json, line 1: `$.d` is an object, and a list is expected"
)]
#[case::a_list(
    "$.d",
    "[{\"d\":[]}]",
    "f.json, line 1: `$` is a list, and an object with the key `d` is expected"
)]
#[case::twice(
    "$.d",
    "{\"d\":[{\"a\":1}],\n\"d\":[]}",
    "f.json, line 2: the key `d` is twice in an object"
)]
#[case::no_object(
    "$.d",
    "{\"d\":[{\"a\":1},\n7]}",
    "f.json, line 2: this is no JSON: `7` stands where an object is expected"
)]
#[case::comma_too_many(
    "$.d",
    "{\"d\":[{\"a\":1},]}",
    "f.json, line 1: this is no JSON: `]` stands where a value is expected"
)]
#[case::no_comma(
    "$.d",
    "{\"d\":[{\"a\":1} {\"a\":2}]}",
    "f.json, line 1: this is no JSON: `{` stands where `,` or `]` is expected"
)]
#[case::cut(
    "$.d",
    "{\"d\":[{\"a\":1}]",
    "f.json, line 1: this is no JSON: the document does not end"
)]
#[case::cut_in_an_item(
    "$.d",
    "{\"d\":[{\"a\":1",
    "f.json, line 1: this is no JSON: the document does not end"
)]
#[case::wrong_elsewhere(
    "$.d",
    "{\"d\":[{\"a\":1}],\n\"x\":tru}",
    "f.json, line 2: this is no JSON: `tru` stands where a value is expected"
)]
#[case::wrong_in_an_item(
    "$.d",
    "{\"d\":[{\"a\":1},\n{\"a\":01}]}",
    "f.json, line 2: this is no JSON"
)]
#[case::half_a_pair(
    "$.d",
    "{\"x\":\"\\ud842\",\"d\":[{\"a\":1}]}",
    "f.json, line 1: this is no JSON: a string has an escape"
)]
fn what_is_wrong_is_told_with_its_line(
    #[case] path: &str,
    #[case] text: &str,
    #[case] expected: &str,
) {
    let message = one(path, text).all().unwrap_err();
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn bytes_that_are_no_text_are_seen_where_nobody_wants_them() {
    let case = Case::json_path(&[("f.json", b"{\"x\":\"\xff\",\"d\":[{\"a\":1}]}")], "$.d");
    let message = case.all().unwrap_err();
    assert!(
        message.starts_with("f.json, line 1: the bytes are no UTF-8"),
        "{message}"
    );
}

#[test]
fn a_document_takes_no_memory_for_what_is_no_row() {
    let mut text = String::from("{\"noise\":[");
    for number in 0..200_000 {
        text.push_str(&format!(
            "{{\"number\": {number}, \"text\": \"{}\"}},\n",
            "x".repeat(100)
        ));
    }
    text.push_str("0],\"d\":[");
    for number in 0..1_000 {
        text.push_str(&format!(
            "{{\"a\":{number}}}{}",
            if number < 999 { "," } else { "" }
        ));
    }
    text.push_str("]}");
    // More than 25 MB where a record may have one.
    let case = one("$.d", &text).memory(16 << 20);
    let rows = case.once_of("SELECT count(*), sum(a) FROM t");
    assert_eq!(rows.unwrap(), ["1000|499500"]);
}
