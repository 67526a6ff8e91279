//! Files on a real web server, as servers give them: in parts or not, with and without lengths and versions, and when
//! something goes wrong on the way.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::object_store::path::Path;
use datafusion::object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::SessionContext;
use files::listing::{Wanted, list};
use files::{
    Binary, Bytes, Csv, Declared, DeclaredParquet, FilesTable, Format, Json, Origin, ParquetTable,
    SAMPLE_BYTES, Stores, WebStore,
};
use rstest::rstest;
use tables::StorageOptions;
use testkit::web::{Length, Met, Page, WebServer};
use url::Url;

use super::cases::lines;

fn store(server: &WebServer, variables: &[(&str, &str)]) -> Arc<WebStore> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = StorageOptions::from_variables(variables);
    let url = Url::parse(&server.url("/")).unwrap();
    Arc::new(WebStore::new(&url, &options).unwrap())
}

/// The key of a file that was looked at.
async fn looked(store: &WebStore, target: &str) -> Path {
    store
        .head(&Path::parse(target).unwrap())
        .await
        .unwrap()
        .location
}

async fn read(store: &WebStore, key: &Path, options: GetOptions) -> Result<Vec<u8>, String> {
    let read = async { store.get_opts(key, options).await?.bytes().await };
    match read.await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(error.to_string()),
    }
}

/// Ten thousand numbers in ten bytes each.
fn numbers() -> Vec<u8> {
    (0..10_000)
        .flat_map(|number| format!("{number:09}\n").into_bytes())
        .collect()
}

#[tokio::test]
async fn parts_are_asked_for_or_cut_from_the_whole() {
    let server = WebServer::start().unwrap();
    let bytes = numbers();
    server.put("/ranges", Page::of(bytes.clone()));
    server.put(
        "/whole",
        Page {
            ranges: false,
            ..Page::of(bytes.clone())
        },
    );
    server.put(
        "/chunked?x=a//b/",
        Page {
            ranges: false,
            length: Length::Chunked,
            ..Page::of(bytes.clone())
        },
    );
    server.put("/empty", Page::of(""));
    let store = store(&server, &[]);
    for target in ["ranges", "whole", "chunked?x=a∕∕b∕"] {
        let key = looked(&store, target).await;
        let before = server.asked().len();
        assert_eq!(
            read(&store, &key, GetOptions::default()).await.as_ref(),
            Ok(&bytes)
        );
        let part = GetOptions {
            range: Some((50_005..70_007).into()),
            ..Default::default()
        };
        assert_eq!(
            read(&store, &key, part).await.unwrap(),
            &bytes[50_005..70_007],
            "{target}"
        );
        assert_eq!(server.asked().len() - before, 2, "{target}");
        let tail = GetOptions {
            range: Some(datafusion::object_store::GetRange::Suffix(7)),
            ..Default::default()
        };
        match (target, read(&store, &key, tail).await) {
            ("ranges" | "whole", tail) => assert_eq!(tail.unwrap(), &bytes[99_993..]),
            (_, tail) => assert!(tail.unwrap_err().contains("does not say how long")),
        }
    }
    let ranges: Vec<_> = server
        .asked()
        .iter()
        .filter_map(|asked| asked.range().map(str::to_owned))
        .collect();
    assert!(
        ranges.contains(&"bytes=50005-70006".to_owned()),
        "{ranges:?}"
    );
    let meta = store.head(&Path::from("empty")).await.unwrap();
    assert_eq!(meta.size, 0);
    assert_eq!(
        read(&store, &meta.location, GetOptions::default()).await,
        Ok(Vec::new())
    );
    // What only writes, or lists, says so.
    assert!(store.put(&Path::from("a"), "x".into()).await.is_err());
    assert!(store.list_with_delimiter(None).await.is_err());
}

#[tokio::test]
async fn what_fails_in_passing_is_tried_again_at_the_byte() {
    let server = WebServer::start().unwrap();
    let bytes = numbers();
    server.put("/ranges", Page::of(bytes.clone()));
    server.put(
        "/whole",
        Page {
            ranges: false,
            ..Page::of(bytes.clone())
        },
    );
    server.put(
        "/chunked",
        Page {
            length: Length::Chunked,
            ranges: false,
            ..Page::of(bytes.clone())
        },
    );
    let store = store(&server, &[]);
    for target in ["/ranges", "/whole", "/chunked"] {
        server.meet(target, Met::Status(503, None));
        server.meet(target, Met::Nothing);
        server.meet(target, Met::Status(429, Some(1)));
        let began = std::time::Instant::now();
        let key = looked(&store, target).await;
        assert!(
            began.elapsed().as_millis() >= 1000,
            "it was to be left alone for a second"
        );
        server.meet(target, Met::Cut(33_333));
        server.meet(target, Met::Status(500, None));
        server.meet(target, Met::Cut(0));
        server.meet(target, Met::Cut(44_444));
        assert_eq!(
            read(&store, &key, GetOptions::default()).await.as_ref(),
            Ok(&bytes),
            "{target}"
        );
    }
    let ranges: Vec<_> = server
        .asked()
        .iter()
        .filter_map(|asked| asked.range().map(str::to_owned))
        .collect();
    assert!(
        ranges.contains(&"bytes=33333-99999".to_owned()),
        "{ranges:?}"
    );
    assert!(
        ranges.contains(&"bytes=77777-99999".to_owned()),
        "{ranges:?}"
    );
}

#[tokio::test]
async fn a_file_that_changes_is_never_mixed_with_what_it_was() {
    let server = WebServer::start().unwrap();
    let store = store(&server, &[]);
    let (old, new) = (Page::of(numbers()), Page::of(numbers().repeat(2)));
    let dated = |bytes: &[u8], date: &str| Page {
        etag: None,
        modified: Some(format!("Wed, 21 Oct 2026 07:28:{date} GMT")),
        ..Page::of(bytes)
    };
    for (old, new) in [
        (old.clone(), new.clone()),
        (
            Page {
                ranges: false,
                ..old.clone()
            },
            Page {
                ranges: false,
                ..new.clone()
            },
        ),
        (
            Page {
                etag: Some("W/\"1\"".to_owned()),
                ..old.clone()
            },
            Page {
                etag: Some("W/\"2\"".to_owned()),
                ..old.clone()
            },
        ),
        (dated(&old.bytes, "00"), dated(&old.bytes, "01")),
        (
            Page {
                etag: None,
                ..old.clone()
            },
            Page {
                etag: None,
                ..new.clone()
            },
        ),
        (
            old.clone(),
            Page {
                ranges: false,
                ..Page::of("")
            },
        ),
    ] {
        // Between planning and reading.
        server.put("/a", old.clone());
        let key = looked(&store, "a").await;
        server.put("/a", new.clone());
        for range in [None, Some((10..20).into()), Some((99_000..100_000).into())] {
            let options = GetOptions {
                range,
                ..Default::default()
            };
            let error = read(&store, &key, options).await.unwrap_err();
            assert!(error.contains("not the file any more"), "{error}");
        }
        // While it is read.
        server.put("/a", old.clone());
        let key = looked(&store, "a").await;
        server.meet_and_put("/a", Met::Cut(50_000), Some(new));
        let error = read(&store, &key, GetOptions::default()).await.unwrap_err();
        let is_told = error.contains("not the file any more")
            || old.etag.is_none() && error.contains("neither an ETag nor a time of change");
        assert!(is_told, "{error}");
    }
    // Nothing tells what it is: read in one go it is one file, cut off it is none.
    server.put(
        "/b",
        Page {
            etag: None,
            ..old.clone()
        },
    );
    let key = looked(&store, "b").await;
    assert_eq!(
        read(&store, &key, GetOptions::default()).await.as_ref(),
        Ok(&old.bytes)
    );
    server.meet("/b", Met::Cut(50_000));
    let error = read(&store, &key, GetOptions::default()).await.unwrap_err();
    assert!(error.contains("behind 50000 bytes"), "{error}");
}

#[tokio::test]
async fn errors_say_the_address_and_the_status() {
    let server = WebServer::start().unwrap();
    let retries = [("PIPELINES_STORAGE_MAX_RETRIES", "2")];
    let store = store(&server, &retries);
    let head = async |target: &str| match store.head(&Path::parse(target).unwrap()).await {
        Ok(_) => panic!("{target} is there"),
        Err(error) => {
            let error = error.to_string();
            assert!(
                error.contains(&server.url(&format!("/{target}"))),
                "{error}"
            );
            error
        }
    };
    let error = head("none.csv").await;
    assert!(error.contains("no such file (404 Not Found)"), "{error}");
    for status in [401, 403] {
        server.meet("/a", Met::Status(status, None));
        let error = head("a").await;
        assert!(
            error.contains(&status.to_string()) && error.contains("PIPELINES_STORAGE_HTTP_HEADERS"),
            "{error}"
        );
    }
    for _ in 0..3 {
        server.meet("/a", Met::Status(502, None));
    }
    let error = head("a").await;
    assert!(
        error.contains("502 Bad Gateway, 3 times in a row"),
        "{error}"
    );
    server.meet("/a", Met::Status(418, None));
    assert!(head("a").await.contains("418"));
    server.put(
        "/br",
        Page {
            encoding: Some("br".to_owned()),
            ..Page::of("x")
        },
    );
    assert!(head("br").await.contains("the encoding `br`"));
    server.put(
        "/unsaid",
        Page {
            length: Length::Unsaid,
            ranges: false,
            ..Page::of("x")
        },
    );
    assert!(head("unsaid").await.contains("ends with the connection"));
    server.put(
        "/round",
        Page {
            lead: Some("/round".to_owned()),
            ..Page::default()
        },
    );
    assert!(head("round").await.contains("leads on and on"));
    server.put(
        "/away",
        Page {
            lead: Some("file:///etc/passwd".to_owned()),
            ..Page::default()
        },
    );
    assert!(head("away").await.contains("begins with file://"));
}

#[tokio::test]
async fn headers_go_to_their_server_and_not_where_it_leads() {
    let (server, other) = (WebServer::start().unwrap(), WebServer::start().unwrap());
    let variable = format!("{{\"{}\": {{\"X-Token\": \"hunter2\"}}}}", server.url("/"));
    let store = store(&server, &[("PIPELINES_STORAGE_HTTP_HEADERS", &variable)]);
    other.put("/b", Page::of("content"));
    server.put(
        "/a?signed=1",
        Page {
            lead: Some(other.url("/b")),
            ..Page::default()
        },
    );
    let key = looked(&store, "a?signed=1").await;
    assert_eq!(
        read(&store, &key, GetOptions::default()).await.unwrap(),
        b"content"
    );
    let token = |asked: &testkit::web::Asked| asked.headers.get("x-token").cloned();
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| token(asked).as_deref() == Some("hunter2"))
    );
    assert!(other.asked().iter().all(|asked| token(asked).is_none()));
    assert!(
        other
            .asked()
            .iter()
            .all(|asked| asked.headers["accept-encoding"] == "identity")
    );
    assert!(!format!("{store:?}").contains("hunter2"));
}

/// A session that reads from the server.
fn session(server: &WebServer) -> SessionContext {
    let ctx = SessionContext::new();
    let url = Url::parse(&server.url("/")).unwrap();
    ctx.register_object_store(
        &url,
        store(server, &[("PIPELINES_STORAGE_MAX_RETRIES", "1")]),
    );
    ctx
}

async fn rows_of(
    ctx: &SessionContext,
    location: &str,
    format: Format,
) -> Result<Vec<String>, String> {
    rows(ctx, location, Some(format), &[])
        .await
        .map_err(|error| error.to_string())
}

/// The rows at a location, Parquet if no format is given.
async fn rows(
    ctx: &SessionContext,
    location: &str,
    format: Option<Format>,
    partition_by: &[String],
) -> datafusion::error::Result<Vec<String>> {
    let runtime = ctx.runtime_env();
    let registry = &runtime.object_store_registry;
    let wanted = Wanted {
        location,
        suffixes: &["csv"],
        partition_by,
    };
    let files = list(wanted, &|url| registry.get_store(url)).await?.files;
    let location = location.to_owned();
    ctx.deregister_table("t")?;
    match format {
        Some(format) => {
            let stores = Stores::of(&files, registry.as_ref())?;
            let declared = Declared {
                location,
                columns: None,
                partition_by: partition_by.to_vec(),
                format,
                bytes: Bytes::default(),
                sample_bytes: SAMPLE_BYTES,
                quarantine: None,
                origin: Origin::default(),
            };
            let table = FilesTable::open(declared, files, stores).await?;
            ctx.register_table("t", Arc::new(table))?;
        }
        None => {
            let declared = DeclaredParquet {
                location,
                columns: None,
                partition_by: partition_by.to_vec(),
                options: ctx.state().default_table_options().parquet,
                file_column: None,
            };
            let table = ParquetTable::open(declared, files, &ctx.state()).await?;
            ctx.register_table("t", Arc::new(table))?;
        }
    }
    let batches = ctx.sql("SELECT * FROM t").await?.collect().await?;
    Ok(lines(&batches))
}

fn batch() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

fn arrow() -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch().schema()).unwrap();
    writer.write(&batch()).unwrap();
    writer.into_inner().unwrap()
}

fn parquet() -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch().schema(), Some(properties)).unwrap();
    writer.write(&batch()).unwrap();
    writer.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn csv() -> Vec<u8> {
    let rows = (0..1000).map(|id| format!("{id}\n"));
    std::iter::once("id\n".to_owned())
        .chain(rows)
        .collect::<String>()
        .into_bytes()
}

#[rstest]
#[case::csv(Some(Format::Csv(Csv::default())), csv())]
#[case::gzip(Some(Format::Csv(Csv::default())), gzip(&csv()))]
#[case::json(Some(Format::Json(Json::default())), (0..1000).flat_map(|id| format!("{{\"id\":{id}}}\n").into_bytes()).collect())]
#[case::text(Some(Format::Text), csv()[3..].to_vec())]
#[case::arrow(Some(Format::Arrow), arrow())]
#[case::avro(Some(Format::Avro), crate::avro::numbers(1000))]
#[case::parquet(None, parquet())]
#[tokio::test]
async fn every_format_is_read(#[case] format: Option<Format>, #[case] bytes: Vec<u8>) {
    let server = WebServer::start().unwrap();
    let ctx = session(&server);
    let mut expected: Vec<String> = (0..1000).map(|id| id.to_string()).collect();
    expected.sort();
    let page = Page::of(bytes);
    let kinds = [
        page.clone(),
        Page {
            ranges: false,
            ..page.clone()
        },
        Page {
            ranges: false,
            length: Length::Chunked,
            ..page.clone()
        },
        Page {
            etag: None,
            ..page.clone()
        },
        // As it is stored; the bytes say what it is.
        Page {
            encoding: Some("gzip".to_owned()),
            ..page.clone()
        },
    ];
    for (index, kind) in kinds.into_iter().enumerate() {
        let location = server.url(&format!("/data/f{index}?key=a%20b"));
        server.put(&format!("/data/f{index}?key=a%20b"), kind.clone());
        let rows = rows(&ctx, &location, format.clone(), &[]).await;
        let is_refused = format.is_none() && (!kind.ranges || kind.etag.is_none());
        match rows {
            Ok(rows) => assert!(!is_refused && rows == expected, "{index}: {}", rows.len()),
            Err(error) => {
                let error = error.to_string();
                assert!(is_refused && error.contains("the server"), "{error}");
                assert!(error.contains(&location), "{error}");
            }
        }
    }
    // By the time it is read it is another.
    server.put("/a", page.clone());
    server.meet_and_put(
        "/a",
        Met::Status(500, None),
        Some(Page {
            etag: Some("\"x\"".to_owned()),
            ..page.clone()
        }),
    );
    let planned = rows(&ctx, &server.url("/a"), format.clone(), &[]).await;
    assert_eq!(planned.unwrap(), expected, "before it was looked at");
}

#[tokio::test]
async fn a_file_that_changes_behind_planning_ends_the_query() {
    let server = WebServer::start().unwrap();
    let ctx = session(&server);
    for (format, bytes) in [
        (Some(Format::Csv(Csv::default())), csv()),
        (None, parquet()),
    ] {
        let page = Page::of(bytes);
        server.put("/a.csv", page.clone());
        rows(&ctx, &server.url("/a.csv"), format, &[])
            .await
            .unwrap();
        // The table is planned, and read again.
        server.put(
            "/a.csv",
            Page {
                etag: Some("\"new\"".to_owned()),
                ..page
            },
        );
        let plan = ctx
            .sql("SELECT * FROM t")
            .await
            .unwrap()
            .create_physical_plan()
            .await
            .unwrap();
        let plan = files::guard_scans(plan).unwrap();
        let error = datafusion::physical_plan::collect(plan, ctx.task_ctx())
            .await
            .unwrap_err();
        let error = error.to_string();
        assert!(error.contains("not the file any more"), "{error}");
        assert!(error.contains(&server.url("/a.csv")), "{error}");
    }
}

#[tokio::test]
async fn several_addresses_are_one_table_with_the_folders_of_their_paths() {
    let server = WebServer::start().unwrap();
    let ctx = session(&server);
    let mut locations = Vec::new();
    for day in 1..=20 {
        let target = format!("/in/day={day}/city=New%20York/f.csv?v=1");
        server.put(&target, Page::of(format!("id\n{day}\n")));
        locations.push(server.url(&target));
    }
    let columns = ["day".to_owned(), "city".to_owned()];
    let location = serde_json::to_string(&locations).unwrap();
    let csv = Some(Format::Csv(Csv::default()));
    let rows = rows(&ctx, &location, csv, &columns).await.unwrap();
    assert_eq!(rows.len(), 20);
    assert!(rows.contains(&"7|7|New York".to_owned()), "{rows:?}");
}

#[tokio::test]
async fn addresses_that_are_none_of_one_file_are_refused() {
    let server = WebServer::start().unwrap();
    let ctx = session(&server);
    server.put("/t.tsv?x=.csv", Page::of("a\tb\n1\t2\n"));
    let csv = || Format::Csv(Csv::default());
    let address = server.url("/t.tsv?x=.csv");
    assert_eq!(
        rows_of(&ctx, &address, csv()).await.unwrap(),
        ["1|2"],
        "a tab, by the suffix"
    );
    for (target, expected) in [
        ("/in/", "cannot be asked which files it has"),
        ("/in/*.csv", "cannot be asked which files it has"),
        ("/in/{a,b}.csv", "cannot be asked which files it has"),
        ("/a.csv#top", "`#` is not sent"),
        ("/none.csv", "404"),
    ] {
        let error = rows_of(&ctx, &server.url(target), csv()).await.unwrap_err();
        assert!(
            error.contains(expected) && error.contains(&server.url(target)),
            "{error}"
        );
    }
    let error = rows_of(&ctx, &server.url("/a").replace("//", "//ada@"), csv())
        .await
        .unwrap_err();
    assert!(error.contains("names a user"), "{error}");
    server.put(
        "/b",
        Page {
            ranges: false,
            length: Length::Chunked,
            ..Page::of("x")
        },
    );
    let binary = Format::Binary(Binary::default());
    let error = rows_of(&ctx, &server.url("/b"), binary.clone())
        .await
        .unwrap_err();
    assert!(error.contains("does not say how long it is"), "{error}");
    server.put("/b", Page::of("x"));
    assert_eq!(
        rows_of(&ctx, &server.url("/b"), binary)
            .await
            .unwrap()
            .len(),
        1
    );
}
