//! Stages that work in parallel, one of which fails now and then: tried again, and put aside if that does not help. Watched
//! while it runs.
//!
//! ```text
//! cargo run -p runner --example parallel_stages
//! ```

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::stream::arrow::array::{AsArray, BooleanArray};
use runner::stream::arrow::compute::filter_record_batch;
use runner::stream::arrow::datatypes::Int64Type;
use runner::stream::{
    Cause, Chunk, FileSink, FileSource, Flow, Report, Stage, StreamError, WrittenFile,
};

/// Keeps the rows whose amount is above zero.
fn valid(chunk: Chunk) -> Result<Chunk, Cause> {
    let amounts = chunk.batch.column_by_name("amount").ok_or("no amounts")?;
    let amounts = amounts
        .as_primitive_opt::<Int64Type>()
        .ok_or("no numbers")?;
    let is_valid: BooleanArray = amounts.iter().map(|amount| Some(amount? > 0)).collect();
    let batch = filter_record_batch(&chunk.batch, &is_valid)?;
    Ok(chunk.with(batch))
}

/// The chunks that a service was asked about.
type Asked = Arc<Mutex<HashSet<u64>>>;

/// A service that is busy when it is asked about a chunk for the first time, and knows nothing of the seventh.
async fn looked_up(chunk: Chunk, asked: Asked) -> Result<Chunk, Cause> {
    tokio::task::yield_now().await;
    let is_new = (asked.lock().map_err(|_| "it is broken")?).insert(chunk.sequence);
    match chunk.sequence {
        6 => Err("the service does not know these orders".into()),
        _ if is_new => Err("the service is busy".into()),
        _ => Ok(chunk),
    }
}

/// Runs the orders of a folder through both.
pub(crate) async fn process(folder: &Path) -> Result<Report<WrittenFile>, StreamError> {
    let asked = Asked::default();
    let look_up = move |chunk| looked_up(chunk, Arc::clone(&asked));
    let orders = folder.join("orders.csv");
    let flow = Flow::new(FileSource::new(orders.display().to_string()))
        .chunk_rows(100)
        .buffer(8)
        .resume_at(2)
        .stage(Stage::blocking("valid", valid).workers(4))
        .stage(
            Stage::new("look up", look_up)
                .workers(2)
                .unordered()
                .retries(3)
                .backoff(Duration::from_millis(1))
                .timeout(Duration::from_secs(30))
                .put_aside(1),
        );
    let handle = flow.handle();
    tokio::spawn(async move {
        let mut status = handle.watch();
        while status.changed().await.is_ok() && !handle.status().is_end() {
            let now = handle.metrics();
            tracing::info!(status = ?now.status, chunks = now.chunks, buffered = now.buffered);
        }
    });
    flow.run(FileSink::new(folder.join("valid.parquet"))).await
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this program is for reading")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let rows = (0..2_000).map(|id| format!("{id},{}\n", id % 10));
    let orders = format!("id,amount\n{}", rows.collect::<String>());
    std::fs::write(folder.path().join("orders.csv"), orders)?;
    let report = process(folder.path()).await?;
    println!("{}", report.metrics);
    for aside in &report.put_aside {
        let (id, rows) = (&aside.chunk.id, aside.chunk.rows());
        println!(
            "{}: chunk {id} with {rows} rows after {} tries: {}",
            aside.stage, aside.tries, aside.cause
        );
    }
    Ok(())
}
