//! CSV to JSON lines, with two columns more, in a program that has no async runtime.
//!
//! ```text
//! cargo run -p runner --example csv_to_json_lines
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use runner::stream::arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray,
};
use runner::stream::{
    Cause, Chunk, FileSink, FileSource, Flow, Report, Stage, StreamError, WrittenFile,
};

/// Says of every row that it was processed, and when it was read.
fn processed(chunk: Chunk) -> Result<Chunk, Cause> {
    let rows = chunk.rows();
    let at = chunk.created_at.timestamp_micros();
    let at = TimestampMicrosecondArray::from_value(at, rows).with_timezone("UTC");
    let added: [(&str, ArrayRef); 2] = [
        ("processed", Arc::new(BooleanArray::from(vec![true; rows]))),
        ("read_at", Arc::new(at)),
    ];
    let schema = chunk.batch.schema();
    let columns = schema.fields().iter().map(|field| field.name().as_str());
    let columns = columns.zip(chunk.batch.columns().iter().cloned());
    let batch = RecordBatch::try_from_iter(columns.chain(added))?;
    Ok(chunk.with(batch))
}

/// Converts the orders of a folder.
pub(crate) fn convert(folder: &Path) -> Result<Report<WrittenFile>, StreamError> {
    let orders = folder.join("orders.csv");
    Flow::new(FileSource::new(orders.display().to_string()))
        .chunk_rows(1_000)
        .stage(Stage::blocking("processed", processed).workers(4))
        .run_blocking(FileSink::new(folder.join("orders.jsonl")))
}

#[expect(clippy::print_stdout, reason = "this program is for reading")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let orders = "id,customer,amount\n1,\"Smith, Ann\",10.50\n2,Ben,\n";
    std::fs::write(folder.path().join("orders.csv"), orders)?;
    let report = convert(folder.path())?;
    println!("{}", report.metrics);
    print!("{}", std::fs::read_to_string(report.output.path)?);
    Ok(())
}
