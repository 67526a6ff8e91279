//! A table to a file of compressed JSON lines. The table is one that a pipeline publishes first.
//!
//! ```text
//! cargo run -p runner --example table_to_file
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use connectors::Registry;
use runner::claim::Resume;
use runner::memory::ProcessMemory;
use runner::settings::{Environment, Overrides};
use runner::stop::Stop;
use runner::stream::arrow::array::AsArray;
use runner::stream::arrow::compute::filter_record_batch;
use runner::stream::{Cause, Chunk, FileSink, FileSource, Flow, Report, Stage, WrittenFile};
use runner::{Pipeline, Request, Runner, Selection, Services};

/// Publishes a table of 10,000 users, partitioned by their country.
async fn publish(folder: &Path) -> Result<(), Box<dyn Error>> {
    let text = format!(
        "SET pipeline.memory = '512MiB';
         CREATE VIEW users AS
         SELECT value AS id, 'user ' || value AS name, value % 2 = 0 AS active,
                CASE value % 3 WHEN 0 THEN 'de' WHEN 1 THEN 'fr' END AS country
         FROM generate_series(1, 10000);
         COPY users TO '{}' STORED AS PARQUET PARTITIONED BY (country);",
        folder.join("users").display(),
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
                name: String::from("users"),
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
    runner.run(&request, Arc::new(()), &Stop::default()).await?;
    Ok(())
}

/// Keeps users who are active.
fn active(chunk: Chunk) -> Result<Chunk, Cause> {
    let active = chunk.batch.column_by_name("active").ok_or("no column")?;
    let batch = filter_record_batch(&chunk.batch, active.as_boolean())?;
    Ok(chunk.with(batch))
}

/// Writes those of the table in a folder into a file beside it.
pub(crate) async fn export(folder: &Path) -> Result<Report<WrittenFile>, Box<dyn Error>> {
    publish(folder).await?;
    let users = folder.join("users");
    let report = Flow::new(FileSource::table(users.display().to_string()))
        .stage(Stage::blocking("active", active).workers(2))
        .run(FileSink::new(folder.join("users.jsonl.gz")))
        .await?;
    Ok(report)
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this program is for reading")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let report = export(folder.path()).await?;
    println!("{}", report.metrics);
    let file = &report.output;
    println!(
        "{} rows in {} bytes, {} before they were compressed",
        file.rows, file.bytes, file.plain_bytes
    );
    Ok(())
}
