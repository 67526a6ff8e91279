//! Columns that say where a row is from.

use datafusion::arrow::datatypes::DataType;
use rstest::rstest;

use super::cases::Case;

#[rstest]
#[case::csv(Case::csv(&[
    ("day=1/a.csv", b"\xef\xbb\xbfid,text\r\n1,\"x\r\ny\"\r\n\r\n2,z\r\n"),
    ("day=2/b.csv", b"id,text\n3,w\n"),
]), &["1|x\r\ny|1|day=1/a.csv|2", "2|z|1|day=1/a.csv|5", "3|w|2|day=2/b.csv|2"])]
#[case::lines(Case::json(&[
    ("day=1/a.json", b"\n{\"id\":1,\"text\":\"a\"}\n\n  {\"id\":2}\n"),
    ("day=2/b.json", b"{\"id\":3}"),
]), &["1|a|1|day=1/a.json|2", "2|<null>|1|day=1/a.json|4", "3|<null>|2|day=2/b.json|1"])]
#[case::documents(Case::json(&[
    ("day=1/a.json", b"{\"id\":1,\n\"text\":\"a\"} {\n\"id\":2}\n"),
]), &["1|a|1|day=1/a.json|1", "2|<null>|1|day=1/a.json|2"])]
#[case::items(Case::json(&[
    ("day=1/a.json", b"[\n{\"id\":1,\n\"text\":\"a\"},\n\n{\"id\":2}]\n"),
]), &["1|a|1|day=1/a.json|2", "2|<null>|1|day=1/a.json|5"])]
fn a_row_says_its_file_and_line(#[case] case: Case, #[case] expected: &[&str]) {
    let columns = [("id", DataType::Int64), ("text", DataType::Utf8)];
    let case = case.columns(&columns).partition_by(&["day"]).origin();
    let rows = case.all().unwrap();
    assert_eq!(case.without_folder(rows), expected);
    // Alone, and in another order.
    let lines: Vec<String> = expected
        .iter()
        .map(|row| row.rsplit('|').next().unwrap().to_owned())
        .collect();
    let mut sorted = lines.clone();
    sorted.sort();
    assert_eq!(case.read("SELECT _line FROM t").unwrap(), sorted);
    let rows = case
        .read("SELECT _file, id FROM t WHERE _line = 2")
        .unwrap();
    assert_eq!(rows.len(), lines.iter().filter(|line| *line == "2").count());
}

#[test]
fn bad_rows_leave_the_lines_of_others_as_they_are() {
    let text: &[u8] = b"id,text\n1,a\nx,\"b\nb\"\n3,c\n4\n5,\xff\n6,d\n";
    let case = Case::csv(&[("a.csv", text)]).quarantine(10).origin();
    let case = case.columns(&[("id", DataType::Int64), ("text", DataType::Utf8)]);
    let (rows, bad) = case.put_aside("SELECT id, _line FROM t").unwrap();
    assert_eq!(rows, ["1|2", "3|5", "6|8"]);
    let lines: Vec<u64> = bad.iter().map(|row| row.line).collect();
    assert_eq!(lines, [3, 6, 7]);
}

#[test]
fn a_name_that_is_there_already_is_refused() {
    let case = Case::csv(&[("a.csv", b"id,_line\n1,2\n")]).origin();
    let error = case.all().unwrap_err();
    assert!(
        error.contains("the column `_line` is there already"),
        "{error}"
    );
}
