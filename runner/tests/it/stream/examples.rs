//! The examples, and that the guide shows them as they are.

#[expect(dead_code, reason = "its `main` is for people")]
#[path = "../../../examples/csv_to_json_lines.rs"]
mod csv_to_json_lines;
#[expect(dead_code, reason = "its `main` is for people")]
#[path = "../../../examples/parallel_stages.rs"]
mod parallel_stages;
#[expect(dead_code, reason = "its `main` is for people")]
#[path = "../../../examples/table_to_file.rs"]
mod table_to_file;

use std::fmt::Write;
use std::io::Read;

use serde_json::Value;

/// A function of an example, as it stands there.
fn function<'a>(example: &'a str, begins: &str) -> &'a str {
    let from = example.find(begins).expect("the function is there");
    let text = &example[from..];
    &text[..text.find("\n}\n").expect("it ends") + 3]
}

#[test]
fn the_guide_shows_the_examples_as_they_are() {
    let guide = include_str!("../../../../docs/streams.md");
    for (example, functions) in [
        (
            include_str!("../../../examples/csv_to_json_lines.rs"),
            ["fn processed", "pub(crate) fn convert"],
        ),
        (
            include_str!("../../../examples/parallel_stages.rs"),
            ["async fn looked_up", "pub(crate) async fn process"],
        ),
        (
            include_str!("../../../examples/table_to_file.rs"),
            ["fn active", "pub(crate) async fn export"],
        ),
    ] {
        for begins in functions {
            let shown = function(example, begins).replace("pub(crate) ", "");
            assert!(
                guide.contains(&shown),
                "docs/streams.md does not have:\n{shown}"
            );
        }
    }
}

#[test]
fn csv_becomes_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut orders = String::from("id,customer,amount\n");
    for id in 0..2_500 {
        writeln!(orders, "{id},\"Smith, {id}\",{}.50", id % 7).unwrap();
    }
    std::fs::write(folder.path().join("orders.csv"), orders).unwrap();
    let report = csv_to_json_lines::convert(folder.path()).unwrap();
    assert_eq!((report.metrics.chunks, report.metrics.items), (3, 2_500));
    let text = std::fs::read_to_string(&report.output.path).unwrap();
    assert_eq!(report.output.bytes, text.len() as u64);
    for (id, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["id"], id, "in order");
        assert_eq!(row["customer"], format!("Smith, {id}"));
        assert!(line.contains(&format!("\"amount\":{}.5", id % 7)), "{line}");
        assert_eq!(row["processed"], true);
        assert!(row["read_at"].as_str().unwrap().ends_with('Z'), "{line}");
    }
    assert_eq!(text.lines().count(), 2_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_fails_is_tried_again_or_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..2_000).map(|id| format!("{id},{}\n", id % 10));
    let orders = format!("id,amount\n{}", rows.collect::<String>());
    std::fs::write(folder.path().join("orders.csv"), orders).unwrap();
    let report = parallel_stages::process(folder.path()).await.unwrap();
    // A tenth of all rows is not valid, and one of 20 chunks is unknown to the service.
    assert_eq!((report.metrics.chunks, report.metrics.items), (19, 19 * 90));
    assert_eq!(report.output.rows, 19 * 90);
    let [aside] = report.put_aside.as_slice() else {
        panic!("{:?}", report.put_aside);
    };
    assert_eq!((aside.chunk.sequence, aside.tries), (6, 4));
    assert_eq!(aside.chunk.rows(), 90);
    let [valid, look_up] = report.metrics.stages.as_slice() else {
        panic!("{:?}", report.metrics);
    };
    assert_eq!((valid.errors, valid.given), (0, 20));
    assert_eq!((look_up.put_aside, look_up.given), (1, 19));
    // The first question about each of 19 chunks, and all about the other.
    assert_eq!((look_up.errors, look_up.retries), (19 + 4, 19 + 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_becomes_a_compressed_file() {
    let folder = tempfile::tempdir().unwrap();
    let report = table_to_file::export(folder.path()).await.unwrap();
    assert_eq!(
        (report.metrics.items_read, report.metrics.items),
        (10_000, 5_000)
    );
    assert!(report.output.plain_bytes > 4 * report.output.bytes);
    let file = std::fs::File::open(&report.output.path).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    let mut ids = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let id = row["id"].as_i64().unwrap();
        assert_eq!(row["name"], format!("user {id}"));
        assert_eq!(row["active"], true);
        let country = [Value::from("de"), Value::from("fr"), Value::Null];
        assert_eq!(row["country"], country[usize::try_from(id % 3).unwrap()]);
        ids.push(id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=5_000).map(|half| half * 2).collect::<Vec<i64>>());
}
