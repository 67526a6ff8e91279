//! Runs a pipeline from its text, watches it, and reads its report.
//!
//! ```text
//! cargo run -p runner --example run_sql
//! ```

use std::error::Error;
use std::sync::Arc;

use connectors::Registry;
use language::{MemoryLimit, PipelineOptions};
use runner::claim::Resume;
use runner::event::{RunEvent, RunObserver};
use runner::memory::ProcessMemory;
use runner::settings::{Environment, Overrides};
use runner::stop::Stop;
use runner::{Pipeline, Request, Runner, Selection, Services};

/// Tells what happens, a line each.
#[derive(Debug)]
struct Lines;

impl RunObserver for Lines {
    #[expect(clippy::print_stdout, reason = "this program is for reading")]
    fn observe(&self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Claimed { run, .. } => println!("run {}", run.id),
            RunEvent::Decided { mode, decision } => println!("{mode}: {}", decision.reason),
            RunEvent::Warning(warning) => println!("warning: {warning}"),
            _ => {}
        }
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this program is for reading")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let orders = folder.path().join("orders.csv");
    std::fs::write(
        &orders,
        "id,region,amount\n1,north,10\n2,south,20\n3,north,30\n",
    )?;
    let text = format!(
        "CREATE EXTERNAL TABLE orders (id BIGINT, region TEXT, amount BIGINT)
         STORED AS CSV LOCATION '{}' OPTIONS ('format.has_header' true);
         CREATE VIEW totals AS SELECT region, sum(amount) AS amount FROM orders GROUP BY region;
         ASSERT (SELECT count(*) FROM totals) = 2 AS 'two regions';
         COPY totals TO '{}' STORED AS PARQUET PARTITIONED BY (region);",
        orders.display(),
        folder.path().join("totals").display(),
    );
    // One for the process: whatever runs in it shares this memory.
    let runner = Runner::new(Services {
        state_dir: folder.path().join("state"),
        environment: Environment::default(),
        registry: Arc::new(Registry::builtin()),
        memory: ProcessMemory::new(1 << 30),
    });
    let request = Request {
        selection: Selection {
            pipeline: Pipeline::Text {
                name: String::from("totals"),
                text,
            },
            set: Vec::new(),
            from: None,
            to: None,
            overrides: Overrides {
                options: PipelineOptions {
                    memory: Some(MemoryLimit::Bytes(512 << 20)),
                    ..PipelineOptions::default()
                },
                ..Overrides::default()
            },
        },
        resume: Resume::Auto,
        keep_landing: false,
    };
    let report = runner
        .run(&request, Arc::new(Lines), &Stop::default())
        .await?;
    for output in &report.outputs {
        println!(
            "{}: {} rows in {} partitions",
            output.name, output.publication.totals.rows, output.publication.totals.partitions
        );
    }
    Ok(())
}
