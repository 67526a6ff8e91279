//! Large files in slices, as executors read them: every record once and whole, on its line, whatever the slices are.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::physical_plan::{ExecutionPlan, collect_partitioned};
use datafusion::prelude::{SessionConfig, SessionContext};
use files::json::Layout;
use files::listing::{Wanted, list};
use files::{Bytes, Csv, Declared, FilesTable, Format, Json, Origin, Stores, WebStore};
use proptest::prelude::*;
use rstest::rstest;
use testkit::web::{Page, WebServer};
use url::Url;

use super::cases::{Case, as_sent};

fn csv(dialect: impl FnOnce(&mut files::csv::Dialect)) -> Format {
    let mut csv = Csv::default();
    dialect(&mut csv.dialect);
    Format::Csv(csv)
}

/// One file.
fn one_file(format: Format, text: &[u8]) -> Case {
    let name = format!("a.{}", format.suffixes()[0]);
    Case::text(&[(&name, text)]).with_format(format)
}

/// Records of all lengths, some empty.
fn lines(record: impl Fn(usize) -> String, end: &str) -> Vec<u8> {
    (0..60)
        .map(|number| record(number) + end)
        .collect::<String>()
        .into_bytes()
}

fn spaced(number: usize) -> String {
    let text = "x".repeat(number * 7 % 23);
    format!(
        "{}{{\"id\":{number},\"t\":\"{text}\"}}",
        if number % 9 == 4 { "\n\n" } else { "" }
    )
}

fn quoted(number: usize) -> String {
    match number % 5 {
        0 => format!("{number},plain"),
        1 => format!("\"{number}\",\"a\nb,\"\"\n\"\"c\n\""),
        2 => format!("{number},\"{}\"", "\n".repeat(number)),
        3 => format!("{number},it\"s \" odd"),
        _ => format!("\n{number},\"\""),
    }
}

#[rstest]
#[case::text(Format::Text, lines(|number| "y".repeat(number * 5 % 17), "\n"), 8)]
#[case::text_of_windows(Format::Text, lines(|number| "y".repeat(number * 5 % 17), "\r\n"), 8)]
#[case::text_of_old_macs(Format::Text, lines(|number| "y".repeat(number * 5 % 17), "\r"), 8)]
#[case::no_line_end(Format::Text, [lines(|number| format!("{number}"), "\n"), b"end".to_vec()].concat(), 8)]
#[case::json(Format::Json(Json::default()), lines(spaced, "\n"), 8)]
#[case::json_in_an_array(Format::Json(Json::default()), format!("[{}]", String::from_utf8(lines(spaced, ",\n")).unwrap().trim_end_matches(",\n")).into_bytes(), 1)]
#[case::json_of_any_lines(Format::Json(Json { layout: Some(Layout::Documents), path: None }), lines(spaced, " "), 1)]
#[case::csv_of_lines(csv(|dialect| dialect.newlines = false), lines(|number| match number { 0 => "\u{feff}id,t".to_owned(), number => format!("{number},\"a, b\"") }, "\n"), 8)]
#[case::csv_without_quotes(csv(|dialect| { dialect.quote = None; dialect.comment = Some(b'#'); dialect.skip_rows = 2; }), lines(|number| match number { 0 | 1 => "skipped".to_owned(), 2 => "id,t".to_owned(), 7 => "#\",".to_owned(), number => format!("{number},\"") }, "\n"), 8)]
#[case::csv(csv(|_| {}), [b"id,t\n".to_vec(), lines(quoted, "\n")].concat(), 4)]
#[case::csv_without_header(csv(|dialect| dialect.header = false), lines(quoted, "\r\n"), 4)]
#[case::csv_with_comments(csv(|dialect| dialect.comment = Some(b'#')), [b"id,t\n".to_vec(), lines(|number| format!("# \"{}\n{}", "\"".repeat(number), quoted(number)), "\n")].concat(), 4)]
#[case::a_long_header(csv(|_| {}), [format!("id,\"{}\"\n", "h\n".repeat(200)).into_bytes(), lines(quoted, "\n")].concat(), 2)]
fn every_record_is_in_one_slice(
    #[case] format: Format,
    #[case] text: Vec<u8>,
    #[case] busy_at_least: usize,
) {
    let case = one_file(format, &text);
    let once = case.once().unwrap();
    assert!(once.len() >= 40, "{once:?}");
    assert_eq!(case.all().unwrap(), once);
    let slices = case.rows_of_partitions(1, 8);
    assert_eq!(slices.iter().sum::<usize>(), once.len());
    let busy = slices.iter().filter(|rows| **rows > 0).count();
    assert!(busy >= busy_at_least, "{slices:?}");
}

#[rstest]
#[case::json(Format::Json(Json::default()), lines(|number| format!("{{\"id\":{}}}\n", if number == 47 { "true" } else { "1" }), "\n"), 95)]
#[case::not_utf_8(Format::Text, [lines(|_| "a".repeat(30), "\n"), b"\xff\n".to_vec(), lines(|_| "b".to_owned(), "\n")].concat(), 61)]
#[case::csv_of_lines(csv(|dialect| dialect.newlines = false), [b"id\n".to_vec(), lines(|number| if number == 50 { "x" } else { "1" }.to_owned(), "\n")].concat(), 52)]
#[case::csv(csv(|_| {}), [b"id\n".to_vec(), lines(|number| if number == 50 { "x" } else { "1\n" }.to_owned(), "\n")].concat(), 102)]
fn an_error_says_the_line_of_the_file(
    #[case] format: Format,
    #[case] text: Vec<u8>,
    #[case] line: u64,
) {
    let case = one_file(format.clone(), &text);
    let case = match &format {
        Format::Text => case,
        _ => case.columns(&[("id", DataType::Int64)]),
    };
    let error = case.all().unwrap_err();
    let place = format!("a.{}, line {line}", format.suffixes()[0]);
    assert!(error.starts_with(&place), "{error}");
}

#[test]
fn lines_are_those_of_the_file() {
    let text = [b"id,t\n".to_vec(), lines(quoted, "\n")].concat();
    for format in [csv(|_| {}), csv(|dialect| dialect.quote = None)] {
        let text = match &format {
            Format::Csv(csv) if csv.dialect.quote.is_none() => [
                b"id,t\n".to_vec(),
                lines(|number| format!("{number},a"), "\n\n"),
            ]
            .concat(),
            _ => text.clone(),
        };
        let case = one_file(format, &text).origin();
        let lines = case.read("SELECT id, _line FROM t").unwrap();
        assert_eq!(lines, case.once_of("SELECT id, _line FROM t").unwrap());
        let busy = case
            .rows_of_partitions(1, 8)
            .into_iter()
            .filter(|rows| *rows > 0);
        assert_eq!(busy.count(), 4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_text_is_read_alike(text in r#"([a,"\n\r]|\n){0,80}"#, newlines: bool) {
        let format = csv(|dialect| { dialect.newlines = newlines; dialect.header = false; });
        let case = one_file(format, text.as_bytes());
        case.read_or_not("SELECT * FROM t");
        let case = one_file(Format::Text, text.as_bytes());
        case.read_or_not("SELECT * FROM t");
    }
}

/// Numbers on lines, in stores that are far away.
#[tokio::test]
async fn slices_of_what_is_far_are_of_one_version() {
    let text = (0..500)
        .map(|id| format!("{{\"id\":{id}}}\n"))
        .collect::<String>();
    let server = WebServer::start().unwrap();
    server.put("/a.json", Page::of(text.clone()));
    let memory = Arc::new(InMemory::new());
    let key = Path::from("a.json");
    memory.put(&key, text.clone().into()).await.unwrap();
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(8));
    let url = Url::parse(&server.url("/")).unwrap();
    let web = WebStore::new(&url, &tables::StorageOptions::default()).unwrap();
    ctx.register_object_store(&url, Arc::new(web));
    ctx.register_object_store(&Url::parse("memory://").unwrap(), Arc::clone(&memory) as _);
    let broken = text.replace(":444}", ":true}");
    for location in [server.url("/a.json"), "memory:///a.json".to_owned()] {
        let rows = planned(&ctx, &location).await;
        let rows = collect_partitioned(rows, ctx.task_ctx()).await.unwrap();
        let counts: Vec<usize> = rows
            .iter()
            .map(|batches| batches.iter().map(|rows| rows.num_rows()).sum())
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 500);
        assert!(counts.iter().all(|count| *count > 30), "{counts:?}");
        let plan = planned(&ctx, &location).await;
        server.put("/a.json", Page::of(broken.clone()));
        memory.put(&key, broken.clone().into()).await.unwrap();
        let error = collect_partitioned(plan, ctx.task_ctx()).await.unwrap_err();
        assert!(
            error.to_string().contains("not the file any more"),
            "{error}"
        );
        let plan = planned(&ctx, &location).await;
        let error = collect_partitioned(plan, ctx.task_ctx()).await.unwrap_err();
        assert!(
            error.to_string().contains("a.json, line 445, column `id`"),
            "{error}"
        );
        server.put("/a.json", Page::of(text.clone()));
        memory.put(&key, text.clone().into()).await.unwrap();
    }
}

/// A plan that reads a column of numbers, as executors get it.
async fn planned(ctx: &SessionContext, location: &str) -> Arc<dyn ExecutionPlan> {
    let runtime = ctx.runtime_env();
    let registry = &runtime.object_store_registry;
    let wanted = Wanted {
        location,
        suffixes: &[],
        partition_by: &[],
    };
    let files = list(wanted, &|url| registry.get_store(url))
        .await
        .unwrap()
        .files;
    let stores = Stores::of(&files, registry.as_ref()).unwrap();
    let declared = Declared {
        location: location.to_owned(),
        columns: Some(Arc::new(Schema::new(vec![Field::new(
            "id",
            DataType::Int64,
            true,
        )]))),
        partition_by: Vec::new(),
        format: Format::Json(Json::default()),
        bytes: Bytes {
            part_bytes: 10,
            ..Bytes::default()
        },
        // A look at its beginning finds nothing wrong.
        sample_bytes: 1,
        quarantine: None,
        origin: Origin::default(),
    };
    let table = FilesTable::open(declared, files, stores).await.unwrap();
    let plan = ctx.read_table(Arc::new(table)).unwrap();
    as_sent(plan.create_physical_plan().await.unwrap()).unwrap()
}
