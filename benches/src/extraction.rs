//! Reading a web service with a latency: how near the run comes to what its concurrency allows, and to what a plain
//! launchpadlib loop needs for the same events.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::Python;

use crate::document::Document;
use crate::service::{MEMBER, Service};
use crate::{measure, table};

/// The polite default of `connectors/specs/launchpad.toml`.
const CONCURRENCY: u32 = 4;
/// Wall time may exceed the ideal by this factor.
const ALLOWANCE: f64 = 1.15;

/// How much is read, and how slowly.
#[derive(Debug, clap::Args)]
pub(crate) struct ExtractionArguments {
    /// Bugs of the fake
    #[arg(long, default_value_t = 75)]
    bugs: u32,
    /// What the fake waits before each answer
    #[arg(long, default_value = "100ms", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// First day of the window
    #[arg(long, default_value = "2000-01-01")]
    from: String,
    /// The day after the last
    #[arg(long, default_value = "2100-01-01")]
    to: String,
}

/// Runs both against one fake and prints the table.
pub(crate) fn measure(binary: &Path, arguments: &ExtractionArguments) -> anyhow::Result<()> {
    let latency = humantime::format_duration(arguments.latency).to_string();
    let service = Service::start(binary, arguments.bugs, &["--latency", &latency])?;
    let folder = tempfile::tempdir()?;
    let member = format!("member={MEMBER}");
    let request = [
        "--set",
        &member,
        "--from",
        &arguments.from,
        "--to",
        &arguments.to,
    ];
    let command = [
        &[
            "run",
            "launchpad_bugs",
            "--output",
            "json",
            "--progress",
            "none",
        ],
        request.as_slice(),
    ]
    .concat();
    let run = measure::run(
        binary,
        &command,
        folder.path(),
        &[("LP_WEB_ROOT", service.root())],
    )?
    .succeeded()?;
    let document = Document::parse(&run.stdout)?;
    let requests = document.number("/run/counts/other/requests")?;
    let written = document.number("/run/counts/written")?;
    let ideal = arguments.latency.mul_f64(requests as f64) / CONCURRENCY;
    let factor = run.wall.as_secs_f64() / ideal.as_secs_f64();
    let seconds = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());

    table::say(&format!(
        "Extraction, {latency} for each request, {CONCURRENCY} at once, {} bugs; goal {:.2} s ({ALLOWANCE} × {:.2} s).\n",
        arguments.bugs,
        ideal.as_secs_f64() * ALLOWANCE,
        ideal.as_secs_f64(),
    ));
    let mut rows = vec![vec![
        String::from("`pipelines run launchpad_bugs`, whole process"),
        requests.to_string(),
        written.to_string(),
        seconds(run.wall),
        format!("{factor:.3}"),
        table::goal(factor <= ALLOWANCE),
    ]];
    if let Some(python) = Python::find()? {
        let peer = Peer::read(&python, service.root(), arguments)?;
        let ours = sorted(&python.run(
            include_str!("../python/table_events.py"),
            &[&folder.path().join("events").display().to_string()],
        )?);
        ensure!(
            ours == peer.events,
            "launchpadlib sees {} events and the table has {}; the first that differs: {:?}",
            peer.events.len(),
            ours.len(),
            peer.events
                .iter()
                .zip(&ours)
                .find(|(theirs, ours)| theirs != ours)
        );
        rows.push(vec![
            String::from("launchpadlib loop, without its start"),
            peer.requests.to_string(),
            peer.events.len().to_string(),
            seconds(peer.wall),
            format!("{:.3}", peer.wall.as_secs_f64() / ideal.as_secs_f64()),
            String::new(),
        ]);
        let speedup = peer.wall.as_secs_f64() / run.wall.as_secs_f64();
        table::print(
            &["what", "requests", "events", "wall time", "÷ ideal", "goal"],
            &rows,
        );
        table::say(&format!(
            "Both have the same {written} events. The loop takes {speedup:.1} times as long."
        ));
    } else {
        table::print(
            &["what", "requests", "events", "wall time", "÷ ideal", "goal"],
            &rows,
        );
    }
    Ok(())
}

/// What the launchpadlib loop read, and how long it took.
#[derive(Debug)]
struct Peer {
    wall: Duration,
    requests: u64,
    events: Vec<String>,
}

impl Peer {
    fn read(python: &Python, root: &str, arguments: &ExtractionArguments) -> anyhow::Result<Self> {
        let cache = tempfile::tempdir()?;
        let cache = cache.path().display().to_string();
        let printed = python.run(
            include_str!("../python/launchpadlib_loop.py"),
            &[root, &cache, MEMBER, &arguments.from, &arguments.to],
        )?;
        let (head, events) = printed.split_once('\n').unwrap_or((&printed, ""));
        let head: Value = serde_json::from_str(head).context("the loop's first line is no JSON")?;
        Ok(Self {
            wall: Duration::from_secs_f64(
                head["seconds"].as_f64().context("the loop told no time")?,
            ),
            requests: head["requests"]
                .as_u64()
                .context("the loop told no requests")?,
            events: sorted(events),
        })
    }
}

fn sorted(lines: &str) -> Vec<String> {
    let mut lines: Vec<String> = lines.lines().map(String::from).collect();
    lines.sort_unstable();
    lines
}
