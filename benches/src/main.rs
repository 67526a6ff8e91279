//! Whole-process measurements against the goals of the product: `benches --help`.
//!
//! Owns starting the release binary, watching it from outside, and one Markdown table for each measurement. Goals are
//! stated beside the numbers and never fail the command: a slow machine is no defect. What a run got wrong is.
//! docs/benchmarks.md has the goals and how each number is taken.

mod cluster;
mod document;
mod extraction;
mod files;
mod machine;
mod measure;
mod memory;
mod merge;
mod partitions;
mod peers;
mod service;
mod startup;
mod table;
mod tables;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Measure the release binary from outside
#[derive(Debug, Parser)]
#[command(name = "benches")]
struct Arguments {
    /// The `pipelines` binary (default: the one beside this binary, which `cargo build --release` puts there)
    #[arg(long, global = true, value_name = "PATH")]
    binary: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The same job in one process and on clusters: cost, gain, crossover, and the loss of an executor; equal rows
    Cluster(cluster::ClusterArguments),
    /// Reading a slow web service: wall time against requests × latency ÷ concurrency, and against launchpadlib
    Extraction(extraction::ExtractionArguments),
    /// Reading text of several kinds into tables, beside DuckDB and Polars: time and memory, equal rows
    Files(files::FilesArguments),
    /// Peak resident memory of the whole run at different numbers of events
    Memory(memory::MemoryArguments),
    /// Merging few changed keys into a large table: time against a full rewrite
    Merge(merge::MergeArguments),
    /// Writing very many small partitions: time, memory, files
    Partitions(partitions::PartitionsArguments),
    /// A pipeline over ten rows: the time of the whole process
    Startup(startup::StartupArguments),
    /// Writing a join as a partitioned table, beside DuckDB and Polars: time and memory, equal rows
    Tables(tables::TablesArguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let binary = binary(arguments.binary.as_deref())?;
    table::say(&format!(
        "Machine: {}. Binary: {}.\n",
        machine::shape(),
        measure::version(&binary)?
    ));
    match arguments.what {
        What::Cluster(arguments) => cluster::measure(&binary, &arguments),
        What::Extraction(arguments) => extraction::measure(&binary, &arguments),
        What::Files(arguments) => files::measure(&binary, &arguments),
        What::Memory(arguments) => memory::measure(&binary, &arguments),
        What::Merge(arguments) => merge::measure(&binary, &arguments),
        What::Partitions(arguments) => partitions::measure(&binary, &arguments),
        What::Startup(arguments) => startup::measure(&binary, &arguments),
        What::Tables(arguments) => tables::measure(&binary, &arguments),
    }
}

fn binary(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_path_buf(),
        None => std::env::current_exe()
            .context("cannot tell where this binary is")?
            .with_file_name("pipelines"),
    };
    // Measured processes have folders of their own, where a relative path would name something else.
    path.canonicalize().with_context(|| {
        format!(
            "{} is missing; run `cargo build --release --workspace --bins`, or name it with --binary",
            path.display()
        )
    })
}
