//! `tables compact` and `tables expire`: the two that change a table, and their dry runs.

use chrono::Utc;
use serde_json::{Value, json};
use tables::{CompactOptions, Compaction, ExpireOptions, Expiry, Table};

use super::arguments::{CompactArguments, ExpireArguments};
use super::inspect::named;
use crate::cli::ceiling::EndOfProcess;
use crate::cli::exit::ExitStatus;
use crate::cli::printer::Output;
use crate::cli::report;
use crate::cli::session::Session;
use crate::signals;
use language::PipelineOptions;
use runner::error::RunError;
use runner::maintenance::Maintenance;
use runner::memory::{ProcessMemory, available_bytes};
use runner::quantity::{bytes, count, thousands};
use runner::settings::{Overrides, RunSettings, layer};
use runner::stop::Stop;
use runner::store::RunId;

pub(super) async fn compact(
    session: &Session,
    arguments: &CompactArguments,
) -> Result<ExitStatus, RunError> {
    let table = arguments.location.table(session)?;
    let options = CompactOptions {
        target_bytes: arguments.target_size.map(u64::from),
        partitions: arguments.partitions.clone(),
        min_files: usize::try_from(arguments.min_files).unwrap_or(usize::MAX),
    };
    if arguments.dry_run {
        let plan = table.plan_compaction(&options).await?;
        tell_compaction(session, &table, &plan, None)?;
        return Ok(ExitStatus::Success);
    }
    let memory = arguments.memory.as_deref().map(|text| ("memory", text));
    let overrides = Overrides {
        options: layer(memory, |name| format!("--{name}"))?,
        ..Overrides::default()
    };
    let settings = RunSettings::resolve(
        &overrides,
        &session.environment,
        &PipelineOptions::default(),
        available_bytes(),
    )?;
    let stop = Stop::default();
    signals::listen(&stop, session.printer)?;
    let maintenance = Maintenance {
        state_dir: &session.state_dir(),
        storage: session.environment.storage(),
        memory: ProcessMemory::of_command(EndOfProcess(session.printer)),
        settings: &settings,
    };
    let (done, peak) = maintenance.compact(&table, options, &stop).await?;
    tell_compaction(session, &table, &done, Some((peak, settings.memory.value)))?;
    tell_uncleared(session, &table, done.uncleared.as_deref());
    Ok(ExitStatus::Success)
}

/// `memory` is the peak and its ceiling; `None` for a dry run.
fn tell_compaction(
    session: &Session,
    table: &Table,
    compaction: &Compaction,
    memory: Option<(u64, u64)>,
) -> Result<(), RunError> {
    let printer = session.printer;
    if session.global.output == Output::Json {
        let partitions: Vec<Value> = compaction
            .partitions
            .iter()
            .map(|partition| {
                json!({
                    "partition": partition.partition,
                    "rows": partition.rows,
                    "files_before": partition.files_before,
                    "bytes_before": partition.bytes_before,
                    "files_after": partition.files_after,
                    "bytes_after": partition.bytes_after,
                })
            })
            .collect();
        let document = json!({
            "location": table.location(),
            "dry_run": memory.is_none(),
            "commit": compaction.commit,
            "target_bytes": compaction.target_bytes,
            "options_known": compaction.options_known,
            "partitions": partitions,
            "untouched_partitions": compaction.untouched,
            "peak_memory_bytes": memory.map(|(peak, _)| peak),
        });
        return report::json(printer, &document);
    }
    if !compaction.options_known && !compaction.partitions.is_empty() {
        printer.warning(
            "the log does not say how this table is written: the new files get the default compression and no order",
        );
    }
    let rows = compaction.partitions.iter().map(|partition| {
        let after = |number: Option<u64>, shown: fn(u64) -> String| {
            number.map_or_else(String::new, |number| format!(" → {}", shown(number)))
        };
        [
            named(&partition.partition),
            format!(
                "{}{}",
                thousands(partition.files_before),
                after(partition.files_after, thousands)
            ),
            format!(
                "{}{}",
                bytes(partition.bytes_before),
                after(partition.bytes_after, bytes)
            ),
            thousands(partition.rows),
        ]
    });
    if !compaction.partitions.is_empty() {
        printer.table(&["PARTITION", "SMALL FILES", "BYTES", "ROWS"], rows);
    }
    let files: u64 = compaction
        .partitions
        .iter()
        .map(|partition| partition.files_before)
        .sum();
    let what = format!(
        "{} of {}",
        count(files, "small file"),
        count(compaction.partitions.len() as u64, "partition")
    );
    let (location, target) = (table.location(), bytes(compaction.target_bytes));
    match (compaction.commit, memory) {
        (Some(commit), _) => {
            let after: u64 = compaction
                .partitions
                .iter()
                .filter_map(|partition| partition.files_after)
                .sum();
            printer.success(format_args!(
                "{location}: merged {what} into {}, commit {commit}",
                thousands(after)
            ));
        }
        (None, None) if files > 0 => printer.say(format_args!(
            "{location}: would merge {what} into files of about {target}"
        )),
        _ => printer.success(format_args!(
            "{location}: nothing to merge into files of about {target}; no partition was touched"
        )),
    }
    if compaction.untouched > 0 && files > 0 {
        printer.say(format_args!(
            "  untouched    {}",
            count(compaction.untouched, "partition")
        ));
    }
    if let Some((peak, ceiling)) = memory {
        printer.say(format_args!(
            "  memory       peak {} of {}",
            bytes(peak),
            bytes(ceiling)
        ));
    }
    Ok(())
}

pub(super) async fn expire(
    session: &Session,
    arguments: &ExpireArguments,
) -> Result<ExitStatus, RunError> {
    let table = arguments.location.table(session)?;
    let as_of = arguments.as_of.unwrap_or_else(|| Utc::now().date_naive());
    let Some(first_kept) = arguments.keep.before(as_of) else {
        session.printer.error(format_args!(
            "--keep {}: the calendar does not reach so far before {as_of}",
            arguments.keep
        ));
        return Ok(ExitStatus::Usage);
    };
    let options = ExpireOptions {
        first_kept,
        column: arguments.column.clone(),
        span: arguments.span,
        allow_empty: arguments.allow_empty,
    };
    let expiry = if arguments.dry_run {
        table.plan_expiry(&options).await?
    } else {
        let run = RunId::mint(Utc::now());
        table.expire(&run.to_string(), &options).await?
    };
    match session.global.output {
        Output::Json => report::json(
            session.printer,
            &expiry_document(&table, &expiry, arguments.dry_run),
        )?,
        Output::Text => tell_expiry(session, &table, &expiry, arguments),
    }
    tell_uncleared(session, &table, expiry.uncleared.as_deref());
    Ok(ExitStatus::Success)
}

fn tell_uncleared(session: &Session, table: &Table, error: Option<&str>) {
    if let Some(error) = error {
        session.printer.warning(format_args!(
            "committed, but what was staged for {} could not be cleared away ({error}); the next run, or `pipelines clean`, \
             will",
            table.location()
        ));
    }
}

fn expiry_document(table: &Table, expiry: &Expiry, dry_run: bool) -> Value {
    let expired: Vec<Value> = expiry
        .expired
        .iter()
        .map(|gone| {
            json!({
                "partition": gone.partition,
                "first_day": gone.first_day,
                "end": gone.end,
                "files": gone.files,
                "rows": gone.rows,
                "bytes": gone.bytes,
            })
        })
        .collect();
    let undated: Vec<Value> = expiry
        .undated
        .iter()
        .map(|(partition, reason)| json!({ "partition": partition, "reason": reason }))
        .collect();
    json!({
        "location": table.location(),
        "dry_run": dry_run,
        "commit": expiry.commit,
        "first_kept": expiry.first_kept,
        "columns": expiry.columns,
        "expired": expired,
        "kept_partitions": expiry.kept,
        "undated": undated,
        "empties_the_table": expiry.empties_the_table(),
    })
}

fn tell_expiry(session: &Session, table: &Table, expiry: &Expiry, arguments: &ExpireArguments) {
    let printer = session.printer;
    let rows = expiry.expired.iter().map(|gone| {
        let last = gone.end.pred_opt().unwrap_or(gone.end);
        [
            gone.partition.clone(),
            gone.first_day.to_string(),
            last.to_string(),
            thousands(gone.files),
            thousands(gone.rows),
            bytes(gone.bytes),
        ]
    });
    if !expiry.expired.is_empty() {
        let header = [
            "PARTITION",
            "FIRST DAY",
            "LAST DAY",
            "FILES",
            "ROWS",
            "BYTES",
        ];
        printer.table(&header, rows);
    }
    for (partition, reason) in &expiry.undated {
        printer.warning(format_args!("{partition} stays: {reason}"));
    }
    let rows: u64 = expiry.expired.iter().map(|gone| gone.rows).sum();
    let size: u64 = expiry.expired.iter().map(|gone| gone.bytes).sum();
    let what = format!(
        "{} before {} ({}, {})",
        count(expiry.expired.len() as u64, "partition"),
        expiry.first_kept,
        count(rows, "row"),
        bytes(size)
    );
    let location = table.location();
    match expiry.commit {
        Some(commit) => {
            printer.success(format_args!("{location}: dropped {what}, commit {commit}"))
        }
        None if expiry.expired.is_empty() => printer.success(format_args!(
            "{location}: no partition ends before {}; nothing was dropped",
            expiry.first_kept
        )),
        None => printer.say(format_args!("{location}: would drop {what}")),
    }
    printer.say(format_args!(
        "  kept         {} by {}, {} without a date",
        count(expiry.kept, "partition"),
        expiry.columns,
        thousands(expiry.undated.len() as u64)
    ));
    if arguments.dry_run && expiry.empties_the_table() && !arguments.allow_empty {
        printer.warning("no partition would remain: without --allow-empty this is refused");
    }
}
