//! What a finished run says.

use serde::Serialize;

use super::printer::Printer;
use runner::Report;
use runner::commit::Published;
use runner::error::RunError;
use runner::quantity::{bytes, count, thousands};
use runner::write::Written;
use tables::Format;

/// Writes a JSON document to standard output.
pub(super) fn json(printer: Printer, document: &impl Serialize) -> Result<(), RunError> {
    printer
        .json(document)
        .map_err(|source| RunError::Document { source })
}

/// Says what the run did, on standard error.
pub(super) fn summary(printer: Printer, report: &Report) {
    let run = &report.document.run;
    let changed = report
        .outputs
        .iter()
        .any(|output| output.publication.changed());
    let committed_before = report
        .outputs
        .iter()
        .all(|output| output.publication.committed_before.is_some());
    let elapsed = humantime::format_duration(std::time::Duration::from_millis(
        report.elapsed_milliseconds,
    ));
    if report.outputs.is_empty() {
        printer.success(format_args!(
            "{} in {elapsed}: nothing new, and nothing was published  (run {})",
            run.pipeline, run.id
        ));
        return files(printer, report);
    }
    if changed {
        printer.success(format_args!(
            "{} in {elapsed}  (run {})",
            run.pipeline, run.id
        ));
    } else if committed_before {
        printer.success(format_args!(
            "{} in {elapsed}: committed before, and nothing was written again  (run {})",
            run.pipeline, run.id
        ));
    } else {
        printer.success(format_args!(
            "{} in {elapsed}: nothing changed, the output already holds exactly these rows  (run {})",
            run.pipeline, run.id
        ));
    }
    let other = |name: &str| run.counts.other.get(name).copied().unwrap_or(0);
    let mut read = count(run.counts.read, "record");
    if other("requests") > 0 {
        read = format!(
            "{read}, {} over {}",
            bytes(run.bytes_read),
            count(other("requests"), "request")
        );
        if other("retries") > 0 {
            read = format!("{read} ({} repeated)", other("retries"));
        }
    }
    if other("resumed_units") > 0 {
        read = format!(
            "{read}; {} landed by an earlier attempt",
            count(other("resumed_units"), "item")
        );
    }
    printer.say(format_args!("  read         {read}"));
    files(printer, report);
    for output in &report.outputs {
        written(printer, output);
        if let Some(speed) = output.written.as_ref().and_then(speed) {
            printer.say(format_args!("  speed        {speed}"));
        }
        printer.say(format_args!(
            "  table        {} in {} of {}, {}, commit {}",
            count(output.publication.totals.rows, "row"),
            count(output.publication.totals.files, "file"),
            count(output.publication.totals.partitions, "partition"),
            bytes(output.publication.totals.bytes),
            output.publication.commit
        ));
        if let Some(window) = output.publication.window {
            printer.say(format_args!(
                "  window       for {} ms at most a partition showed both its old and its new files",
                window.as_millis()
            ));
        }
    }
    for bucket in &report.storage {
        let traffic = &bucket.traffic;
        let mut line = format!(
            "{} to {} ({} reads, {} writes, {} lists, {} deletes), {} sent, {} received",
            count(traffic.requests(), "request"),
            bucket.bucket.trim_end_matches('/'),
            thousands(traffic.reads),
            thousands(traffic.writes),
            thousands(traffic.lists),
            thousands(traffic.deletes),
            bytes(traffic.bytes_sent),
            bytes(traffic.bytes_received),
        );
        if traffic.retried > 0 {
            line = format!(
                "{line}; {} repeated, {} throttled",
                traffic.retried, traffic.throttled
            );
        }
        if let Some(dollars) = traffic.cost(bucket.provider) {
            line = format!("{line}; about ${dollars:.4}");
        }
        printer.say(format_args!("  storage      {line}"));
    }
    printer.say(format_args!(
        "  quarantined  {}",
        count(run.counts.quarantined, "item")
    ));
    if let Some(peak) = run.peak_memory_bytes {
        printer.say(format_args!(
            "  memory       peak {} of {}",
            bytes(peak),
            bytes(report.ceiling)
        ));
    }
    for output in &report.outputs {
        let folder = output.location.trim_end_matches('/');
        printer.say(format_args!("  where        {folder}/"));
        printer.say(format_args!(
            "  look at it   {}",
            look(output.format, folder, output.partitioned)
        ));
    }
    if run.counts.quarantined > 0 {
        printer.say("");
        printer.warning(format_args!(
            "{} could not be fetched or understood and went to quarantine; see: pipelines quarantine list {}",
            count(run.counts.quarantined, "item"),
            run.id
        ));
    }
}

/// What was found of sources that are read file by file, if there are any.
fn files(printer: Printer, report: &Report) {
    let counts = &report.document.run.counts.other;
    let words = [
        ("files_new", "new"),
        ("files_changed", "changed"),
        ("files_read_before", "read before"),
        ("files_gone", "gone"),
    ];
    let found: Vec<String> = words
        .iter()
        .filter_map(|(name, word)| {
            let files = counts.get(*name).filter(|files| **files > 0)?;
            Some(format!("{} {word}", thousands(*files)))
        })
        .collect();
    if !found.is_empty() {
        printer.say(format_args!("  files        {}", found.join(", ")));
    }
}

/// How fast rows were written, and what compression made of them; `None` without rows.
fn speed(written: &Written) -> Option<String> {
    let (rows, seconds) = (&written.rows, written.took.as_secs_f64());
    if rows.rows == 0 || rows.bytes == 0 || seconds <= 0.0 {
        return None;
    }
    let items = (rows.rows as f64 / seconds) as u64;
    let megabytes = rows.plain_bytes as f64 / seconds / 1e6;
    let ratio = rows.plain_bytes as f64 / rows.bytes as f64;
    Some(format!(
        "{} items/s, {megabytes:.1} MB/s before compression, compression ratio {ratio:.2}",
        thousands(items)
    ))
}

/// A command that shows rows of a table.
fn look(format: Format, folder: &str, partitioned: bool) -> String {
    let hive = match (format, partitioned) {
        (_, false) => "",
        (Format::Arrow, true) => ", partitioning='hive'",
        (_, true) => ", hive_partitioning = true",
    };
    let scan = match format {
        Format::Parquet => format!("read_parquet('{folder}/**/*.parquet'{hive})"),
        Format::Csv => {
            format!("read_csv('{folder}/**/*.csv*', allow_quoted_nulls = false{hive})")
        }
        Format::Avro => format!("read_avro('{folder}/**/*.avro'{hive})"),
        Format::Json => format!("read_json('{folder}/**/*.jsonl*'{hive})"),
        Format::Arrow => {
            return format!(
                "python3 -c \"import pyarrow.dataset as d; print(d.dataset('{folder}', format='ipc'{hive}).head(10))\""
            );
        }
    };
    format!("duckdb -c \"SELECT * FROM {scan} LIMIT 10\"")
}

/// Says what was written to an output.
fn written(printer: Printer, output: &Published) {
    let publication = &output.publication;
    if let Some(at) = publication.committed_before {
        printer.say(format_args!(
            "  written      {} of `{}` before, at {}: {} added ({}), {} replaced or removed",
            count(publication.rows, "row"),
            output.name,
            at.format("%Y-%m-%d %H:%M:%S UTC"),
            count(publication.files_added, "file"),
            bytes(publication.bytes),
            thousands(publication.files_removed),
        ));
        return;
    }
    printer.say(format_args!(
        "  written      {} of `{}`: {} added ({}), {} replaced or removed, {} unchanged",
        count(publication.rows, "row"),
        output.name,
        count(publication.files_added, "file"),
        bytes(publication.bytes),
        thousands(publication.files_removed),
        thousands(publication.files_unchanged),
    ));
    if let Some(merge) = publication
        .merge
        .filter(|merge| merge.updated + merge.moved + merge.duplicates_dropped > 0)
    {
        let moved = match merge.moved {
            0 => String::new(),
            moved => format!("{} moved from another partition, ", thousands(moved)),
        };
        printer.say(format_args!(
            "  merged       {} new, {} updated, {moved}{} given twice",
            thousands(merge.inserted),
            thousands(merge.updated),
            thousands(merge.duplicates_dropped)
        ));
    }
    if publication.rows_discarded > 0 {
        printer.say(format_args!(
            "  discarded    {} with a value that does not fit the table's type",
            count(publication.rows_discarded, "row")
        ));
    }
    for changed in &publication.schema_changes {
        printer.say(format_args!("  schema       {changed}"));
    }
    if publication.files_rewritten > 0 {
        printer.say(format_args!(
            "  rewritten    {} for the wider type",
            count(publication.files_rewritten, "file")
        ));
    }
}
