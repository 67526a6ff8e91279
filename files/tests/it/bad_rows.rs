//! Bad rows: each is put aside once, with its place, whichever way its file is read, and all others are there.

use datafusion::arrow::datatypes::DataType;
use files::BadRow;
use rstest::rstest;

use super::cases::Case;

/// File, line, offset, column, what is wrong, the bytes.
type Told<'a> = (String, u64, u64, Option<&'a str>, &'a str, &'a [u8]);

fn told(rows: &[BadRow]) -> Vec<Told<'_>> {
    let told = rows.iter().map(|row| {
        assert_eq!(row.length, row.bytes.len() as u64);
        (
            row.file.clone(),
            row.line,
            row.offset,
            row.column.as_deref(),
            row.reason.as_str(),
            row.bytes.as_slice(),
        )
    });
    told.collect()
}

const COLUMNS: [(&str, DataType); 2] = [("id", DataType::Int64), ("text", DataType::Utf8)];

/// What is bad, as line, text, and a word of the reason.
type Bad = (u64, &'static [u8], &'static str);

fn bad(line: u64, bytes: &'static [u8], word: &'static str) -> Bad {
    (line, bytes, word)
}

#[rstest]
#[case::a_misfit(b"id,text\n1,a\nx,b\n3,c\n", &["1|a", "3|c"], &[bad(3, b"x,b\n", "`x` is not BIGINT")])]
#[case::ragged(b"id,text\n1\n2,b\n3,c,d\n4,e", &["2|b", "4|e"], &[bad(2, b"1\n", "1 field"), bad(4, b"3,c,d\n", "3 fields")])]
#[case::behind_a_quote(b"id,text\n1,\"a\" b\n2,\"c\nd\"\n3,\"e\"x\n", &["2|c\nd"], &[bad(2, b"1,\"a\" b\n", "behind the quote"), bad(5, b"3,\"e\"x\n", "behind the quote")])]
#[case::on_two_lines(b"id,text\r\nx,\"a\r\nb\"\r\n2,c\r\n", &["2|c"], &[bad(2, b"x,\"a\r\nb\"\r\n", "`x`")])]
#[case::no_utf_8(b"id,text\n1,a\n2,\xff\n3,\"b\n\xc3\"\n4,\xc3\xa9\n", &["1|a", "4|\u{e9}"], &[bad(3, b"2,\xff\n", "no UTF-8"), bad(4, b"3,\"b\n\xc3\"\n", "no UTF-8")])]
#[case::all(b"id,text\nx,a\ny,b", &[], &[bad(2, b"x,a\n", "`x`"), bad(3, b"y,b", "`y`")])]
#[case::none(b"id,text\n1,a\n\n2,b\n", &["1|a", "2|b"], &[])]
#[case::a_mark(b"\xef\xbb\xbfid,text\n1,a\nx,b\n", &["1|a"], &[bad(3, b"x,b\n", "`x`")])]
fn bad_rows_of_csv_are_put_aside(
    #[case] content: &[u8],
    #[case] rows: &[&str],
    #[case] bad: &[Bad],
) {
    let case = Case::csv(&[("a.csv", content)])
        .columns(&COLUMNS)
        .quarantine(10);
    check(&case, "a.csv", content, rows, bad);
}

#[rstest]
#[case::a_misfit(b"{\"id\":1,\"text\":\"a\"}\n{\"id\":\"x\",\"text\":\"b\"}\n{\"id\":3}\n", &["1|a", "3|<null>"], &[bad(2, b"{\"id\":\"x\",\"text\":\"b\"}\n", "`x` is not BIGINT")])]
#[case::broken(b"{\"id\":1\n{\"id\":2}\n\n{\"id\":3,}\n{\"id\":4}", &["2|<null>", "4|<null>"], &[bad(1, b"{\"id\":1\n", "the document ends"), bad(4, b"{\"id\":3,}\n", "a key in quotes")])]
#[case::an_open_text(b"{\"id\":1,\"text\":\"a}\n{\"id\":2}\n", &["2|<null>"], &[bad(1, b"{\"id\":1,\"text\":\"a}\n", "does not end")])]
#[case::on_two_lines(b"{\"id\":1,\"text\":\"a\"}\n{\"id\":\n2}\n{\"id\":3}\n", &["1|a", "3|<null>"], &[bad(2, b"{\"id\":\n", "the document ends"), bad(3, b"2}\n", "an object")])]
#[case::no_object(b"{\"id\":1}\n7\n[{}]\n", &["1|<null>"], &[bad(2, b"7\n", "an object"), bad(3, b"[{}]\n", "an object")])]
#[case::no_utf_8(b"{\"id\":1}\n{\"text\":\"\xff\"}\n{\"id\":3,\"text\":\"\xc3\xa9\"}\n", &["1|<null>", "3|\u{e9}"], &[bad(2, b"{\"text\":\"\xff\"}\n", "no UTF-8")])]
#[case::a_key_twice(b"{\"id\":1,\"id\":1}\n{\"id\":2,\"text\":\"a\"}\n", &["2|a"], &[bad(1, b"{\"id\":1,\"id\":1}\n", "twice")])]
#[case::nested(b"{\"id\":1,\"text\":{\"a\":[1,2]}}\n{\"id\":[1,2]}\n", &["1|{\"a\":[1,2]}"], &[bad(2, b"{\"id\":[1,2]}\n", "is not BIGINT")])]
#[case::documents(b"{\"id\":1,\n\"text\":\"a\"}\n{\"id\":\n\"x\"} {\"id\":3}} {\"id\":4}\n5", &["1|a", "3|<null>", "4|<null>"], &[bad(3, b"{\"id\":\n\"x\"}", "`x`"), bad(4, b"}", "a value"), bad(5, b"5", "an object")])]
#[case::items(b"[{\"id\":1}, {\"id\":\"x\"},\n{\"id\":3} {\"id\":4},,{\"id\":5},\n{\"id\":\"y\"}]\n", &["1|<null>", "5|<null>"], &[bad(1, b"{\"id\":\"x\"},", "`x`"), bad(2, b"{\"id\":3} {\"id\":4},", "`,`"), bad(2, b",", "a value"), bad(3, b"{\"id\":\"y\"}]\n", "`y`")])]
#[case::all_items(b"[{\"id\":\"x\"},\n {\"id\":\"y\xff\"}\n]", &[], &[bad(1, b"{\"id\":\"x\"},", "`x`"), bad(2, b"{\"id\":\"y\xff\"}\n]", "no UTF-8")])]
#[case::no_items(b"[ ]", &[], &[])]
fn bad_rows_of_json_are_put_aside(
    #[case] content: &[u8],
    #[case] rows: &[&str],
    #[case] bad: &[Bad],
) {
    let case = Case::json(&[("a.json", content)])
        .columns(&COLUMNS)
        .quarantine(10);
    check(&case, "a.json", content, rows, bad);
}

fn check(case: &Case, file: &str, content: &[u8], rows: &[&str], bad: &[Bad]) {
    let (found, put_aside) = case.put_aside("SELECT * FROM t").unwrap();
    assert_eq!(found, rows);
    let told = told(&put_aside);
    let places = told.iter().map(|row| (row.1, row.5)).collect::<Vec<_>>();
    let expected = bad.iter().map(|row| (row.0, row.1)).collect::<Vec<_>>();
    assert_eq!(places, expected);
    for (row, (_, bytes, word)) in told.iter().zip(bad) {
        assert_eq!(row.0, file);
        assert!(row.4.contains(word), "{} lacks {word}", row.4);
        let at = usize::try_from(row.2).unwrap();
        assert_eq!(
            &content[at..at + bytes.len()],
            *bytes,
            "the offset is of the file"
        );
    }
    // What nobody wants is bad all the same.
    let (count, of_count) = case.put_aside("SELECT count(*) FROM t").unwrap();
    assert_eq!((count, of_count), (vec![rows.len().to_string()], put_aside));
}

#[rstest]
#[case::an_open_quote(Case::csv(&[("a.csv", b"id,text\n1,a\n2,\"b\n3,c\n")]), "a.csv, line 3: the quote that opens here is not closed")]
#[case::a_cut_array(Case::json(&[("a.json", b"[{\"id\":1},\n{\"id\":2},\n")]), "a.json, line 2: this is no JSON: the array does not end")]
#[case::a_cut_item(Case::json(&[("a.json", b"[{\"id\":1},\n{\"id\":2,\n")]), "a.json, line 2: this is no JSON: what begins here does not end")]
#[case::an_array_without_its_end(Case::json(&[("a.json", b"[{\"text\":1},")]), "a.json, line 1: this is no JSON: the array does not end")]
#[case::behind_an_array(Case::json(&[("a.json", b"[{\"id\":1,\"text\":1}]\n[{\"id\":2}]\n")]), "a.json, line 2: this is no JSON: `[{\"id\":2}]` stands where the end of the file is expected")]
#[case::a_comma_at_the_end_of_an_array(Case::json(&[("a.json", b"[{\"id\":1,\"text\":1},\n{\"id\":2},]\n")]), "a.json, line 2: this is no JSON: `]` stands where an object is expected")]
#[case::another_encoding(Case::csv(&[("a.csv", b"id,text\n1,\x81\n")]).encoding("shift_jis"), "a.csv: cannot be read: a byte sequence is no Shift_JIS")]
fn what_leaves_the_rest_of_a_file_unreadable_is_an_error(
    #[case] case: Case,
    #[case] message: &str,
) {
    let case = case.columns(&COLUMNS).quarantine(10);
    let error = case.put_aside("SELECT * FROM t").unwrap_err();
    assert!(error.starts_with(message), "{error}");
}

#[test]
fn more_bad_rows_than_there_may_be_are_an_error() {
    let case = Case::csv(&[("a.csv", b"id,text\n1,a\nx,b\ny,c\n4,d\n")]).columns(&COLUMNS);
    let case = case.quarantine(1);
    // Which of them is one too many depends on who is faster.
    assert_eq!(case.put_aside_or_not("SELECT * FROM t"), None);
    let error = case.put_aside_once("SELECT * FROM t").unwrap_err();
    assert!(
        error.contains("more bad rows than `max_bad_rows` allows, which is 1"),
        "{error}"
    );
}

#[test]
fn types_are_found_in_the_rows_that_are_good() {
    let csv: &[u8] = b"id,text\n1,a\n2\n3,\xff\n4,b,c\n5,\"d\" e\n6,f\n";
    let case = Case::csv(&[("a.csv", csv)]).quarantine(10);
    assert_eq!(case.types()[0], ("id".to_owned(), DataType::Int64));
    let (rows, bad) = case.put_aside("SELECT * FROM t").unwrap();
    assert_eq!(
        (rows, bad.len()),
        (vec!["1|a".to_owned(), "6|f".to_owned()], 4)
    );
    let json: &[u8] = b"{\"id\":1}\n{\"id\":2,}\n{\"id\":\"\xff\"}\n{\"id\":4}\n";
    let case = Case::json(&[("a.json", json)]).quarantine(10);
    assert_eq!(case.types(), [("id".to_owned(), DataType::Int64)]);
    let (rows, bad) = case.put_aside("SELECT * FROM t").unwrap();
    assert_eq!((rows, bad.len()), (vec!["1".to_owned(), "4".to_owned()], 2));
}

#[test]
fn a_comment_is_no_bad_row() {
    let dialect = files::csv::Dialect {
        comment: Some(b'#'),
        ..Default::default()
    };
    let csv = files::Csv {
        dialect,
        ..Default::default()
    };
    let content: &[u8] = b"id,text\n1,a\n# \xff\n2,b\n#\n3,\xff\n";
    let case = Case::csv(&[("a.csv", content)]).with_csv(csv);
    let case = case.columns(&COLUMNS).quarantine(10);
    let (rows, bad) = case.put_aside("SELECT * FROM t").unwrap();
    assert_eq!(rows, ["1|a", "2|b"]);
    assert_eq!(told(&bad)[0].1, 6);
}

#[test]
fn compressed_and_partitioned_files_tell_the_place_in_their_text() {
    let text = "id,text\n1,a\nx,b\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let files = [
        ("day=1/a.csv.gz", gzip.as_slice()),
        ("day=2/b.csv", text.as_bytes()),
    ];
    let case = Case::csv(&files).columns(&COLUMNS).partition_by(&["day"]);
    let case = case.quarantine(10);
    let (rows, bad) = case.put_aside("SELECT * FROM t").unwrap();
    assert_eq!(rows, ["1|a|1", "1|a|2"]);
    let bad = told(&bad);
    assert_eq!((bad[0].0.as_str(), bad[0].2), ("day=1/a.csv.gz", 12));
    assert_eq!((bad[1].0.as_str(), bad[1].2), ("day=2/b.csv", 12));
    // Of files that are not read nothing is put aside.
    let (rows, bad) = case
        .put_aside("SELECT text FROM t WHERE day = '2'")
        .unwrap();
    assert_eq!((rows, bad.len()), (vec!["a".to_owned()], 1));
}

/// What random records are made of.
const CSV_PIECES: [&[u8]; 10] = [
    b"1",
    b"x",
    b",",
    b"\"",
    b"\n",
    b"\r\n",
    b"\xff",
    b"2,b\n",
    b"3,\"c\nd\"\n",
    b"#",
];
const JSON_PIECES: [&[u8]; 14] = [
    b"{\"id\":1}",
    b"{\"id\":\"x\"}",
    b"{\"id\":1}\n",
    b"{\"id\":2},",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\"",
    b"\n",
    b"\xff",
    b"7",
    b"{\"id\":\n3}",
];

fn joined(pieces: &[&[u8]], chosen: &[usize]) -> Vec<u8> {
    chosen
        .iter()
        .flat_map(|index| pieces[index % pieces.len()])
        .copied()
        .collect()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_bad_does_not_depend_on_the_way_of_reading(
        chosen in proptest::collection::vec(0_usize..140, 0..14),
        kind in 0_usize..5,
    ) {
        use files::json::Layout;
        let layout = |layout| files::Format::Json(files::Json { layout, path: None });
        let (name, format, content) = match kind {
            0 => ("a.csv", None, [b"id,text\n".as_slice(), &joined(&CSV_PIECES, &chosen)].concat()),
            1 => ("a.json", Some(layout(None)), joined(&JSON_PIECES, &chosen)),
            2 => ("a.json", Some(layout(Some(Layout::Lines))), joined(&JSON_PIECES, &chosen)),
            3 => ("a.json", Some(layout(Some(Layout::Documents))), joined(&JSON_PIECES, &chosen)),
            _ => ("a.json", Some(layout(Some(Layout::Array))), [b"[".as_slice(), &joined(&JSON_PIECES, &chosen), b"]"].concat()),
        };
        let case = match format {
            None => Case::csv(&[(name, &content)]).columns(&COLUMNS),
            Some(format) => Case::json(&[(name, &content)])
                .with_format(format)
                .columns(&[("id", DataType::Int64)]),
        };
        // Which of several faults ends the run may differ, that one does may not.
        let read = case.quarantine(100).origin().put_aside_or_not("SELECT * FROM t");
        if let Some((_, bad)) = read {
            for row in bad {
                let at = usize::try_from(row.offset).unwrap();
                proptest::prop_assert!(content[at..].starts_with(&row.bytes));
                let line = 1 + content[..at].iter().filter(|byte| **byte == b'\n').count();
                proptest::prop_assert_eq!(row.line, line as u64);
            }
        }
    }
}
