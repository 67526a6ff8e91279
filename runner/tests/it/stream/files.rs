//! Files and tables at both ends of a stream: that what goes in comes out.

use std::path::Path;
use std::sync::Arc;

use connectors::Registry;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::util::pretty::pretty_format_batches;
use runner::claim::Resume;
use runner::error::chain;
use runner::memory::ProcessMemory;
use runner::settings::{Environment, Overrides};
use runner::stop::Stop;
use runner::stream::{
    Chunk, Compression, FileSink, FileSource, Flow, Format, MemorySink, Source, Stage,
};
use runner::{Pipeline, Request, Runner, Selection, Services};
use serde_json::{Value, json};
use testkit::Python;

use super::{names, soon};

/// Rows with what formats get wrong: quotes, line ends, empty text beside NULL, long numbers, leading zeros.
const ORDERS: &str = "id,code,name,amount,big,day,at,ok
1,007,\"Smith, \"\"Ann\"\"\",10.50,9223372036854775807,2026-02-28,2026-02-28 23:59:59.123456,true
2,012,\"two
lines\",-0.01,-9223372036854775808,1969-12-31,1969-12-31 00:00:00,false
3,000,köln 🦆,,,,,
4,1,\\n \\\" {\"\"x\"\": 1},99999999.99,0,0001-01-01,9999-12-31 12:00:00,true
";

fn text(path: &Path) -> String {
    path.display().to_string()
}

async fn rows_of(source: impl Into<Source>) -> RecordBatch {
    let report = soon(Flow::new(source).run(MemorySink::new())).await;
    let chunks = report.expect("it is read").output;
    let schema = chunks[0].batch.schema();
    concat_batches(&schema, chunks.iter().map(|chunk| &chunk.batch)).expect("of the same columns")
}

fn shown(rows: &RecordBatch) -> String {
    let shown = pretty_format_batches(std::slice::from_ref(rows));
    shown.expect("types that are shown").to_string()
}

/// DuckDB reads both files, all columns as text, and says which rows are in one of them only.
const COMPARE: &str = r#"
import duckdb, json, sys
names = ["id", "code", "name", "amount", "big", "day", "at", "ok"]
types = ["BIGINT", "VARCHAR", "VARCHAR", "DECIMAL(10,2)", "BIGINT", "DATE", "TIMESTAMP", "BOOLEAN"]
columns = "{" + ", ".join(f"'{n}': '{t}'" for n, t in zip(names, types)) + "}"
csv = f"SELECT * FROM read_csv('{sys.argv[1]}', header = true, columns = {columns})"
lines = f"SELECT * FROM read_json('{sys.argv[2]}', format = 'newline_delimited', columns = {columns})"
def only(one, other):
    rows = duckdb.sql(f"({one}) EXCEPT ALL ({other})").fetchall()
    return [[str(value) for value in row] for row in rows]
count = duckdb.sql(f"SELECT count(*) FROM ({csv})").fetchall()[0][0]
print(json.dumps({"csv": only(csv, lines), "lines": only(lines, csv), "rows": count}))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_finds_the_values_of_the_csv_in_the_json_lines() {
    let Some(python) = Python::find().unwrap() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (csv, lines) = (
        folder.path().join("o.csv"),
        folder.path().join("o.jsonl.gz"),
    );
    let mut orders = String::from(ORDERS);
    for id in 5..5_000 {
        orders.push_str(&format!(
            "{id},0{id},\"n\"\"{id}\"\"\",{}.{:02},{},2026-01-{:02},2026-01-01 00:00:{:02}.{:06},{}\n",
            id % 977,
            id % 100,
            i64::MAX - id,
            id % 28 + 1,
            id % 60,
            id * 199,
            id % 2 == 0,
        ));
    }
    std::fs::write(&csv, orders).unwrap();
    let flow = Flow::new(FileSource::new(text(&csv)).readers(4))
        .chunk_rows(100)
        .stage(
            Stage::blocking("same", Ok::<Chunk, _>)
                .workers(4)
                .unordered(),
        );
    let report = soon(flow.run(FileSink::new(&lines))).await.unwrap();
    assert_eq!(report.output.rows, 4_999);
    let found = python.run(COMPARE, &[&text(&csv), &text(&lines)]).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found, json!({"csv": [], "lines": [], "rows": 4_999}));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_and_compression_is_read_back_equal() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("orders.csv");
    std::fs::write(&csv, ORDERS).unwrap();
    let rows = rows_of(FileSource::new(text(&csv))).await;
    assert_eq!(rows.num_rows(), 4);
    for name in [
        "a.csv",
        "a.csv.gz",
        "a.csv.zst",
        "a.jsonl",
        "a.json.gz",
        "a.ndjson.zst",
        "a.parquet",
        "a.arrow",
        "a.avro",
    ] {
        let target = folder.path().join(name);
        let flow = Flow::new(Source::memory(rows.schema(), vec![rows.clone()])).chunk_rows(3);
        let report = soon(flow.run(FileSink::new(&target))).await.unwrap();
        assert_eq!(
            (report.output.rows, report.metrics.chunks),
            (4, 2),
            "{name}"
        );
        let files = FileSource::new(text(&target)).columns(rows.schema());
        let found = rows_of(files).await;
        assert_eq!(shown(&found), shown(&rows), "{name}");
    }
    // What is said counts more than the name.
    let target = folder.path().join("b.csv");
    let flow = Flow::new(Source::memory(rows.schema(), vec![rows.clone()]));
    let sink = FileSink::new(&target)
        .format(Format::Json)
        .compression(Compression::Gzip(1));
    soon(flow.run(sink)).await.unwrap();
    let files = FileSource::new(text(&target))
        .kind("JSON")
        .columns(rows.schema());
    assert_eq!(shown(&rows_of(files).await), shown(&rows));
    let left = names(folder.path());
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_sources_are_those_of_pipelines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.txt");
    std::fs::write(&file, "a;b\n1;x\nno;y\n3;z\n").unwrap();
    let files = || {
        FileSource::new(text(&file))
            .kind("csv")
            .option("delimiter", ";")
    };
    assert_eq!(rows_of(files()).await.num_columns(), 2);
    let fails = async |files: FileSource| {
        let error = soon(Flow::new(files).run(MemorySink::new()))
            .await
            .unwrap_err();
        chain(&error)
    };
    let error = fails(files().option("delimeter", ",")).await;
    assert!(error.contains("did you mean `delimiter`?"), "{error}");
    let error = fails(FileSource::new(text(folder.path()))).await;
    assert!(error.contains("say it with `FileSource::kind`"), "{error}");
    let error = fails(FileSource::new(text(&folder.path().join("b.csv")))).await;
    assert!(error.contains("there is no file that is read"), "{error}");
    std::fs::write(
        folder.path().join("long.csv"),
        format!("a\n{}\n", "x".repeat(40 << 20)),
    )
    .unwrap();
    let long = FileSource::new(text(&folder.path().join("long.csv")));
    assert_eq!(rows_of(long.clone()).await.num_rows(), 1);
    let error = fails(long.memory(1)).await;
    assert!(error.contains("long.csv, line 2"), "{error}");
    let error = fails(files().readers(0)).await;
    assert!(error.contains("at least 1"), "{error}");
    let error = fails(
        FileSource::new("bugs")
            .kind("launchpad")
            .option("member", "me"),
    )
    .await;
    assert!(error.contains("only a pipeline extracts it"), "{error}");
    let error = fails(FileSource::new(text(&file)).kind("xml")).await;
    assert!(
        error.contains("there is no kind of source `xml`"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_is_an_error_at_its_place_or_put_aside() {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    std::fs::write(&file, "a,b\n1,x\nno,y\n3,z\n").unwrap();
    let columns = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
    ]));
    let files = || FileSource::new(text(&file)).columns(Arc::clone(&columns));
    let target = folder.path().join("out.jsonl");
    let error = soon(Flow::new(files()).run(FileSink::new(&target)))
        .await
        .unwrap_err();
    let error = chain(&error);
    assert!(error.contains("a.csv, line 3, column `a`"), "{error}");
    super::until(|| names(folder.path()) == ["a.csv"]).await;

    let lenient = Flow::new(files().option("on_error", "quarantine"));
    let report = soon(lenient.run(FileSink::new(&target))).await.unwrap();
    assert_eq!(report.metrics.items_read, 2);
    let [bad] = report.bad_rows.as_slice() else {
        panic!("{:?}", report.bad_rows);
    };
    assert_eq!((bad.line, bad.bytes.as_slice()), (3, b"no,y\n".as_slice()));
    let lines = std::fs::read_to_string(&target).unwrap();
    assert_eq!(lines, "{\"a\":1,\"b\":\"x\"}\n{\"a\":3,\"b\":\"z\"}\n");
}

/// Publishes rows with a pipeline.
async fn publish(folder: &Path, rows: &str, format: &str) {
    let text = format!(
        "SET pipeline.memory = '512MiB';
         CREATE VIEW v AS {rows};
         COPY v TO '{}' STORED AS {format} PARTITIONED BY (part) OPTIONS (publish 'append');",
        folder.join("t").display()
    );
    let runner = Runner::new(Services {
        state_dir: folder.join("state"),
        environment: Environment::default(),
        registry: Arc::new(Registry::builtin()),
        memory: ProcessMemory::new(1 << 30),
    });
    let request = Request {
        selection: Selection {
            pipeline: Pipeline::Text {
                name: String::from("t"),
                text,
            },
            set: Vec::new(),
            from: None,
            to: None,
            overrides: Overrides::default(),
        },
        resume: Resume::Auto,
        keep_landing: false,
    };
    let stop = Stop::default();
    let report = soon(runner.run(&request, Arc::new(()), &stop)).await;
    report.expect("it is published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_gives_the_rows_of_its_newest_commit_and_no_others() {
    for format in ["PARQUET", "CSV", "JSON", "ARROW", "AVRO"] {
        let folder = tempfile::tempdir().unwrap();
        let rows =
            "SELECT value AS id, CASE value % 3 WHEN 0 THEN 'a/b =c' WHEN 1 THEN 'é' END AS part,
                    CAST(value AS DECIMAL(10, 2)) AS amount
                    FROM generate_series(1, 30)";
        publish(folder.path(), rows, format).await;
        let table = folder.path().join("t");
        let a_folder = names(&table)
            .into_iter()
            .find(|name| name.starts_with("part="));
        let stray = table
            .join(a_folder.unwrap())
            .join(format!("stray.{}", format.to_lowercase()));
        std::fs::write(stray, "nobody committed this").unwrap();
        let found = rows_of(FileSource::table(text(&table))).await;
        let order =
            datafusion::arrow::compute::sort_to_indices(found.column(0), None, None).unwrap();
        let found = datafusion::arrow::compute::take_record_batch(&found, &order).unwrap();
        let shown = shown(&found);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(found.num_rows(), 30, "{format}");
        let cells = |line: &str| -> Vec<String> {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        };
        let column = |name: &str| {
            cells(lines[1])
                .iter()
                .position(|cell| cell == name)
                .unwrap()
        };
        for id in 1..=30 {
            let row = cells(lines[2 + id]);
            assert_eq!(row[column("id")], id.to_string(), "{format}");
            assert_eq!(row[column("amount")], format!("{id}.00"), "{format}");
            let part = ["a/b =c", "é", ""][id % 3];
            assert_eq!(row[column("part")], part, "{format}");
        }
        let parts = found.column(found.schema().index_of("part").unwrap());
        let nulls = parts.null_count();
        assert_eq!(
            nulls, 10,
            "{format}: NULL and an empty text are not the same"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_rows_gives_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "SELECT value AS id, 'x' AS part FROM generate_series(1, 3) WHERE value > 3";
    publish(folder.path(), rows, "PARQUET").await;
    let source = FileSource::table(text(&folder.path().join("t")));
    let target = folder.path().join("t.csv");
    let report = soon(Flow::new(source).run(FileSink::new(&target))).await;
    assert_eq!(report.unwrap().metrics.items, 0);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "id,part\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let source = FileSource::table(text(&folder.path().join("t")));
    let error = soon(Flow::new(source.clone()).run(MemorySink::new()))
        .await
        .unwrap_err();
    assert!(
        chain(&error).contains("there is no table: no commit log is beside it"),
        "{}",
        chain(&error)
    );
    let said = source.option("delimiter", ";");
    let error = soon(Flow::new(said).run(MemorySink::new()))
        .await
        .unwrap_err();
    assert!(chain(&error).contains("delimiter"), "{}", chain(&error));
    assert_eq!(
        names(folder.path()),
        Vec::<String>::new(),
        "looking makes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_a_source_in_its_order() {
    let options =
        engine::SessionOptions::new(engine::Budget::new(1 << 30, 4, 1_000), std::env::temp_dir());
    let ctx = engine::session(&options).unwrap();
    let query = ctx
        .sql("SELECT value AS n FROM generate_series(1, 10000) ORDER BY value DESC")
        .await;
    let report = soon(Flow::new(Source::query(query.unwrap())).run(MemorySink::new()))
        .await
        .unwrap();
    let expected: Vec<i64> = (1..=10_000).rev().collect();
    assert_eq!(super::all_values(&report.output), expected);
    assert!(report.output.len() > 1);
}
