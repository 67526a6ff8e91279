//! Documents of JSON in folders of their own, read through whole sessions: how deep they may be.

use std::io::Write;
use std::path::Path;

use datafusion::prelude::{JsonReadOptions, SessionContext};

use crate::{Budget, SessionOptions, session};

const DEEP: usize = 2_000_000;

fn opened(folder: &Path) -> SessionContext {
    session(&SessionOptions {
        storage: tables::StorageOptions::default(),
        budget: Budget::new(1 << 30, 2, 4096),
        spill_dir: folder.join("spill"),
        settings: vec![(
            String::from("datafusion.optimizer.repartition_file_min_size"),
            String::from("1000"),
        )],
    })
    .unwrap()
}

async fn count(ctx: &SessionContext, file: &Path, table: &str) -> Result<String, String> {
    let made = async {
        ctx.sql(&format!(
            "CREATE EXTERNAL TABLE {table} (id BIGINT, note TEXT) STORED AS JSON LOCATION '{}'",
            file.display()
        ))
        .await?;
        ctx.sql(&format!("SELECT count(note), sum(id) FROM {table}"))
            .await?
            .to_string()
            .await
    };
    made.await.map_err(|error| error.to_string())
}

fn deep(open: &str, close: &str) -> String {
    format!(
        "{{\"id\":1,\"note\":{}0{}}}\n",
        open.repeat(DEEP),
        close.repeat(DEEP)
    )
}

#[tokio::test]
async fn a_value_of_any_depth_in_a_text_column_is_an_error_with_the_files_name() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = opened(folder.path());
    let before = "{\"id\":1,\"note\":\"plain [[[\"}\n".repeat(500);
    for (index, (open, close)) in [("[", "]"), ("{\"a\":", "}"), ("[\n", "]\n")]
        .into_iter()
        .enumerate()
    {
        let file = folder.path().join(format!("deep{index}.json"));
        std::fs::write(&file, before.clone() + &deep(open, close)).unwrap();
        let error = count(&ctx, &file, &format!("t{index}")).await.unwrap_err();
        // Where a record is cut into lines, whose part a stream may get, the reader has its own word about the rest.
        let told = error.contains("nests more than 128 levels") || open.contains('\n');
        assert!(told, "{error}");
    }
}

#[tokio::test]
async fn compressed_files_are_checked_as_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = opened(folder.path());
    for (name, text) in [
        ("good", "{\"id\":4,\"note\":\"a\"}\n".repeat(3)),
        ("deep", deep("[", "]")),
    ] {
        let file = folder.path().join(format!("{name}.json.gz"));
        let mut gzip = flate2::write::GzEncoder::new(
            std::fs::File::create(&file).unwrap(),
            flate2::Compression::fast(),
        );
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap();
        let made = async {
            ctx.sql(&format!(
                "CREATE EXTERNAL TABLE {name} (id BIGINT, note TEXT) STORED AS JSON LOCATION '{}' \
                 OPTIONS ('format.compression' 'gzip')",
                file.display()
            ))
            .await?;
            ctx.sql(&format!("SELECT count(note), sum(id) FROM {name}"))
                .await?
                .to_string()
                .await
        };
        let made: datafusion::common::Result<String> = made.await;
        match name {
            "good" => assert!(made.as_ref().unwrap().contains("| 3 "), "{made:?}"),
            _ => {
                let error = made.unwrap_err().to_string();
                assert!(error.contains("nests more than 128 levels"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_several_streams_read_gives_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = opened(folder.path());
    let file = folder.path().join("rows.json");
    let rows: String = (1..=5_000)
        .map(|id| format!("{{\"id\":{id},\"note\":\"{}\"}}\n", "x".repeat(id % 300)))
        .collect();
    std::fs::write(&file, rows).unwrap();
    let made = count(&ctx, &file, "rows").await.unwrap();
    assert!(made.contains("| 5000 "), "{made}");
    assert!(made.contains("12502500"), "{made}");
    // In any format that the engine reads: a list of records too.
    let list = folder.path().join("list.json");
    std::fs::write(&list, "[{\"id\": 1, \"note\": \"a\"},\n {\"id\": 2}]").unwrap();
    let options = JsonReadOptions::default().newline_delimited(false);
    let frame = ctx.read_json(list.display().to_string(), options).await;
    assert_eq!(frame.unwrap().count().await.unwrap(), 2);
}
