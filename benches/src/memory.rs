//! Peak resident memory of a whole run at different numbers of events: it must not grow with them.

use std::path::Path;

use anyhow::ensure;
use bytesize::ByteSize;

use crate::document::Document;
use crate::service::{MEMBER, Service};
use crate::{measure, table};

/// The largest run's peak may exceed the smallest's by this factor.
const ALLOWANCE: f64 = 1.15;

/// How many events, in how much memory.
#[derive(Debug, clap::Args)]
pub(crate) struct MemoryArguments {
    /// Bugs of the fake, one run for each; a bug gives about twenty events, so the defaults are ten thousand
    /// events and a million
    #[arg(long, value_delimiter = ',', default_values_t = [465, 49_300])]
    bugs: Vec<u32>,
    /// `--memory` of the run, one series for each
    #[arg(long, value_delimiter = ',', default_values_t = [ByteSize::mib(256), ByteSize::mib(512)])]
    memory: Vec<ByteSize>,
    /// `--preset` of the run
    #[arg(long, default_value = "default")]
    preset: String,
    /// Variables for the run, such as MALLOC_CONF=dirty_decay_ms:0
    #[arg(long = "env", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Print the run's own snapshots too, without those of the chunks
    #[arg(long)]
    snapshots: bool,
}

/// Runs every combination and prints one table for each ceiling.
pub(crate) fn measure(binary: &Path, arguments: &MemoryArguments) -> anyhow::Result<()> {
    let mut failed = 0;
    for ceiling in &arguments.memory {
        failed += series(binary, arguments, *ceiling)?;
    }
    ensure!(failed == 0, "{failed} runs failed; what they said is above");
    Ok(())
}

/// One ceiling; gives how many of its runs failed.
fn series(binary: &Path, arguments: &MemoryArguments, ceiling: ByteSize) -> anyhow::Result<usize> {
    let (mut rows, mut peaks, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
    for bugs in &arguments.bugs {
        let run = one(binary, arguments, *bugs, ceiling)?;
        let (events, reported, seconds) = match &run.document {
            Some(document) => {
                peaks.push(run.process.peak);
                snapshots.push((*bugs, document.snapshots()));
                let events = document.number("/run/counts/written")?;
                let per_second = events as f64 / run.process.wall.as_secs_f64();
                (
                    events.to_string(),
                    table::mib(document.number("/run/peak_memory_bytes")?),
                    format!("{per_second:.0}"),
                )
            }
            None => (
                format!("failed, {}", run.process.status),
                String::new(),
                String::new(),
            ),
        };
        rows.push(vec![
            bugs.to_string(),
            events,
            format!("{:.1} s", run.process.wall.as_secs_f64()),
            seconds,
            table::mib(run.process.peak),
            reported,
            table::mib(run.process.peak_anonymous),
            table::goal(run.document.is_some() && run.process.peak <= ceiling.as_u64()),
        ]);
        if run.document.is_none() {
            table::say(&format!("{}\n", run.process.stderr.trim()));
        }
    }
    table::say(&format!(
        "Memory, `--memory {}`, preset {}{}.\n",
        ceiling.display().iec(),
        arguments.preset,
        arguments
            .variables
            .iter()
            .map(|it| format!(", {it}"))
            .collect::<String>(),
    ));
    let head = [
        "bugs",
        "events",
        "wall time",
        "events/s",
        "peak RSS (kernel)",
        "peak RSS (run)",
        "of it anonymous",
        "under --memory",
    ];
    table::print(&head, &rows);
    if let (Some(least), Some(most), true) =
        (peaks.iter().min(), peaks.iter().max(), peaks.len() > 1)
    {
        let factor = *most as f64 / *least as f64;
        table::say(&format!(
            "Largest ÷ smallest peak: {factor:.2}; goal ≤ {ALLOWANCE}: {}.\n",
            table::goal(factor <= ALLOWANCE)
        ));
    }
    if arguments.snapshots {
        for (bugs, of_run) in snapshots {
            let rows = of_run
                .into_iter()
                .filter(|(label, ..)| !label.contains("chunk"));
            let rows: Vec<_> = rows
                .map(|(label, now, peak)| vec![label, table::mib(now), table::mib(peak)])
                .collect();
            table::print(&[&format!("{bugs} bugs"), "RSS", "peak so far"], &rows);
        }
    }
    Ok(arguments.bugs.len() - peaks.len())
}

/// A run that ended, with its document if it succeeded.
#[derive(Debug)]
struct Run {
    process: measure::Measured,
    document: Option<Document>,
}

/// One whole run over everything that the fake has, by anybody and at any time.
fn one(
    binary: &Path,
    arguments: &MemoryArguments,
    bugs: u32,
    ceiling: ByteSize,
) -> anyhow::Result<Run> {
    let service = Service::start(binary, bugs, &[])?;
    let folder = tempfile::tempdir()?;
    let (member, memory) = (format!("member={MEMBER}"), ceiling.as_u64().to_string());
    let mut variables = vec![("LP_WEB_ROOT", service.root())];
    variables.extend(
        arguments
            .variables
            .iter()
            .filter_map(|variable| variable.split_once('=')),
    );
    let command = [
        "run",
        "launchpad_bugs",
        "--output",
        "json",
        "--progress",
        "none",
        "--set",
        &member,
        "--set",
        "actors=everyone",
        "--from",
        "1990-01-01",
        "--to",
        "2100-01-01",
        "--memory",
        &memory,
        "--preset",
        &arguments.preset,
    ];
    let process = measure::run(binary, &command, folder.path(), &variables)?;
    let document = if process.status.success() {
        Some(Document::parse(&process.stdout)?)
    } else {
        None
    };
    Ok(Run { process, document })
}
