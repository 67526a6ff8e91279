//! `tables show`, `log`, `files` and `verify`: what is told of a table. Nothing here takes a lease or writes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tables::{Commit, CommitSummary, DataFile, LogOptions, Table, Totals, Verification};

use super::arguments::{FilesArguments, Location, LogArguments, VerifyArguments};
use crate::cli::exit::ExitStatus;
use crate::cli::printer::Output;
use crate::cli::report;
use crate::cli::session::Session;
use runner::error::{ErrorKind, RunError};
use runner::quantity::{bytes, count, thousands};

/// Partitions that `show` lists for a person; all of them are in the JSON document and in `files`.
const SHOWN_PARTITIONS: usize = 40;

async fn current(table: &Table) -> Result<Commit, RunError> {
    match table.current().await? {
        Some(commit) => Ok(commit),
        None => Err(RunError::from(tables::Error::NoTable {
            table: table.location().to_owned(),
        })),
    }
}

pub(super) async fn show(session: &Session, location: &Location) -> Result<ExitStatus, RunError> {
    let table = location.table(session)?;
    let commit = current(&table).await?;
    let mut partitions: BTreeMap<&str, Vec<&DataFile>> = BTreeMap::new();
    for file in &commit.files {
        partitions.entry(file.partition()).or_default().push(file);
    }
    let sums: Vec<(&str, u64, u64, u64)> = partitions
        .into_iter()
        .map(|(partition, files)| {
            let rows = files.iter().map(|file| file.rows).sum();
            let bytes = files.iter().map(|file| file.bytes).sum();
            (partition, files.len() as u64, rows, bytes)
        })
        .collect();
    match session.global.output {
        Output::Json => report::json(session.printer, &described(&table, &commit, &sums))?,
        Output::Text => describe(session, &table, &commit, &sums),
    }
    Ok(ExitStatus::Success)
}

fn described(table: &Table, commit: &Commit, partitions: &[(&str, u64, u64, u64)]) -> Value {
    let columns: Vec<Value> = commit
        .schema
        .columns()
        .fields()
        .iter()
        .map(|field| {
            json!({
                "name": field.name(),
                "type": field.data_type().to_string(),
                "partition": commit.schema.partition_by().contains(field.name()),
            })
        })
        .collect();
    let partitions: Vec<Value> = partitions
        .iter()
        .map(|(partition, files, rows, bytes)| {
            json!({ "partition": partition, "files": files, "rows": rows, "bytes": bytes })
        })
        .collect();
    json!({
        "location": table.location(),
        "commit": {
            "number": commit.number,
            "committed_at": commit.committed_at,
            "run": commit.run_id,
            "mode": commit.mode,
            "interval": commit.interval,
            "rows_read": commit.rows_read,
            "plan_fingerprint": commit.plan_fingerprint,
            "cursors": commit.cursors,
        },
        "totals": commit.totals,
        "columns": columns,
        "partition_by": commit.schema.partition_by(),
        "options": commit.options,
        "intervals": commit.intervals,
        "partitions": partitions,
    })
}

fn describe(
    session: &Session,
    table: &Table,
    commit: &Commit,
    partitions: &[(&str, u64, u64, u64)],
) {
    let printer = session.printer;
    let Totals {
        files,
        rows,
        bytes: size,
        ..
    } = commit.totals;
    let mut facts = vec![
        ["table", table.location()].map(String::from),
        [
            "holds",
            &format!(
                "{} in {} of {}, {}",
                count(rows, "row"),
                count(files, "file"),
                count(commit.totals.partitions, "partition"),
                bytes(size)
            ),
        ]
        .map(String::from),
        [
            "commit",
            &format!(
                "{}: {} by run {} at {}",
                commit.number,
                commit.mode,
                commit.run_id,
                commit.committed_at.format("%Y-%m-%d %H:%M:%S UTC")
            ),
        ]
        .map(String::from),
        ["partitioned by", &commit.schema.partition_by().join(", ")].map(String::from),
    ];
    match &commit.options {
        Some(options) => facts.extend(options_of(options)),
        None => facts.push(
            [
                "options",
                "not in the log: no run has published since they are kept there",
            ]
            .map(String::from),
        ),
    }
    if let Some(last) = commit.intervals.last() {
        let several = format!("{}, the newest {last}", commit.intervals.len());
        facts.push(["intervals", &several].map(String::from));
    }
    printer.table(&["", ""], facts);
    printer.data("");
    let columns = commit.schema.columns().fields().iter().map(|field| {
        let role = if commit.schema.partition_by().contains(field.name()) {
            "in the folder names"
        } else {
            ""
        };
        [
            field.name().clone(),
            field.data_type().to_string(),
            String::from(role),
        ]
    });
    printer.table(&["COLUMN", "TYPE", ""], columns);
    printer.data("");
    let rows = partitions
        .iter()
        .take(SHOWN_PARTITIONS)
        .map(|(partition, files, rows, size)| {
            [
                named(partition),
                thousands(*files),
                thousands(*rows),
                bytes(*size),
            ]
        });
    printer.table(&["PARTITION", "FILES", "ROWS", "BYTES"], rows);
    if partitions.len() > SHOWN_PARTITIONS {
        printer.say(format_args!(
            "and {} more; all of them: --output json",
            count((partitions.len() - SHOWN_PARTITIONS) as u64, "partition")
        ));
    }
}

fn options_of(options: &LogOptions) -> Vec<[String; 2]> {
    let sort: Vec<String> = options
        .sort
        .iter()
        .map(|key| {
            let direction = if key.descending { " DESC" } else { "" };
            let nulls = if key.nulls_first { " NULLS FIRST" } else { "" };
            format!("{}{direction}{nulls}", key.column)
        })
        .collect();
    let mut facts = vec![["published with", &options.publish.to_string()].map(String::from)];
    for (name, columns) in [("key", &options.key), ("sorted by", &sort)] {
        if !columns.is_empty() {
            facts.push([name, &columns.join(", ")].map(String::from));
        }
    }
    if let Some(rows) = options.split_rows {
        let split = format!("into files of about {} rows", thousands(rows));
        facts.push(["split", &split].map(String::from));
    }
    facts.push(
        [
            "written as",
            &format!(
                "{}, files of about {}, row groups of {} rows at most",
                options.compression,
                bytes(options.target_file_bytes),
                thousands(options.row_group_rows as u64)
            ),
        ]
        .map(String::from),
    );
    facts
}

/// A partition as a line of a table shows it.
pub(super) fn named(partition: &str) -> String {
    if partition.is_empty() {
        String::from("(the whole table)")
    } else {
        String::from(partition)
    }
}

pub(super) async fn log(
    session: &Session,
    arguments: &LogArguments,
) -> Result<ExitStatus, RunError> {
    let table = arguments.location.table(session)?;
    let commits = table.history(arguments.limit).await?;
    if session.global.output == Output::Json {
        let commits: Vec<Value> = commits.iter().map(commit_document).collect();
        report::json(session.printer, &commits)?;
        return Ok(ExitStatus::Success);
    }
    let rows = commits.iter().map(|commit| {
        let mut notes: Vec<String> = commit
            .schema_changes
            .iter()
            .map(ToString::to_string)
            .collect();
        notes.extend(
            commit
                .repartitioned_by
                .iter()
                .map(|columns| format!("partitioned by ({}) now", columns.join(", "))),
        );
        if !commit.done {
            notes.push(String::from(
                "not finished: the next run, or `pipelines clean`, does it",
            ));
        }
        [
            commit.number.to_string(),
            commit.committed_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            commit.mode.to_string(),
            commit.run_id.clone(),
            format!(
                "+{} -{}",
                thousands(commit.added.files),
                thousands(commit.removed.files)
            ),
            format!(
                "+{} -{}",
                thousands(commit.added.rows),
                thousands(commit.removed.rows)
            ),
            thousands(commit.totals.rows),
            bytes(commit.totals.bytes),
            notes.join("; "),
        ]
    });
    let header = [
        "COMMIT",
        "AT (UTC)",
        "MODE",
        "RUN",
        "FILES",
        "ROWS",
        "ROWS AFTER",
        "BYTES AFTER",
        "SCHEMA",
    ];
    session.printer.table(&header, rows);
    Ok(ExitStatus::Success)
}

fn commit_document(commit: &CommitSummary) -> Value {
    let changes: Vec<Value> = commit
        .schema_changes
        .iter()
        .map(|change| json!({ "column": change.column, "before": change.from, "after": change.to }))
        .collect();
    json!({
        "number": commit.number,
        "committed_at": commit.committed_at,
        "run": commit.run_id,
        "mode": commit.mode,
        "done": commit.done,
        "interval": commit.interval,
        "rows_read": commit.rows_read,
        "plan_fingerprint": commit.plan_fingerprint,
        "cursors": commit.cursors,
        "added": commit.added,
        "removed": commit.removed,
        "totals": commit.totals,
        "schema_changes": changes,
        "repartitioned_by": commit.repartitioned_by,
    })
}

pub(super) async fn files(
    session: &Session,
    arguments: &FilesArguments,
) -> Result<ExitStatus, RunError> {
    let table = arguments.location.table(session)?;
    let commit = current(&table).await?;
    let chosen: Vec<&DataFile> = commit.files_matching(&arguments.partitions)?.collect();
    if session.global.output == Output::Json {
        report::json(session.printer, &chosen)?;
    } else {
        let rows = chosen.iter().map(|file| {
            [
                file.path.clone(),
                thousands(file.rows),
                bytes(file.bytes),
                file.sha256.chars().take(12).collect(),
            ]
        });
        session
            .printer
            .table(&["FILE", "ROWS", "BYTES", "SHA-256"], rows);
    }
    Ok(ExitStatus::Success)
}

pub(super) async fn verify(
    session: &Session,
    arguments: &VerifyArguments,
) -> Result<ExitStatus, RunError> {
    let table = arguments.location.table(session)?;
    let found = table.verify(arguments.digest).await?;
    match session.global.output {
        Output::Json => report::json(session.printer, &verification_document(&table, &found))?,
        Output::Text => tell(session, &table, &found),
    }
    Ok(if found.is_clean() {
        ExitStatus::Success
    } else {
        ExitStatus::Error(ErrorKind::Check)
    })
}

fn verification_document(table: &Table, found: &Verification) -> Value {
    let different: Vec<Value> = found
        .different
        .iter()
        .map(|file| json!({ "path": file.path, "reason": file.reason }))
        .collect();
    json!({
        "location": table.location(),
        "commit": found.commit,
        "files": found.files,
        "bytes": found.bytes,
        "digests": found.digests,
        "clean": found.is_clean(),
        "missing": found.missing,
        "different": different,
        "foreign": found.foreign,
        "unfinished": found.unfinished,
    })
}

fn tell(session: &Session, table: &Table, found: &Verification) {
    let printer = session.printer;
    let missing = found
        .missing
        .iter()
        .map(|path| ["missing", path, ""].map(String::from));
    let different = found
        .different
        .iter()
        .map(|file| ["different", &file.path, &file.reason].map(String::from));
    let foreign = found
        .foreign
        .iter()
        .map(|path| ["foreign", path, "no commit names it, and readers read it"].map(String::from));
    let rows: Vec<[String; 3]> = missing.chain(different).chain(foreign).collect();
    if !rows.is_empty() {
        printer.table(&["FINDING", "FILE", ""], rows);
    }
    let what = format!(
        "{}, {} of commit {}",
        count(found.files, "file"),
        bytes(found.bytes),
        found.commit
    );
    if found.is_clean() {
        let how = if found.digests {
            "size and SHA-256"
        } else {
            "size"
        };
        printer.success(format_args!(
            "{}: {what}: all there with their {how}, and no others",
            table.location()
        ));
        return;
    }
    printer.error(format_args!(
        "{} is not what its log says ({what}): {} missing, {} different, {} foreign",
        table.location(),
        thousands(found.missing.len() as u64),
        thousands(found.different.len() as u64),
        thousands(found.foreign.len() as u64),
    ));
    if let Some(number) = found.unfinished {
        printer.hint(format_args!(
            "commit {number} is decided and not finished; the next run of the pipeline finishes it, and so does: pipelines clean {}",
            table.location()
        ));
    }
}
