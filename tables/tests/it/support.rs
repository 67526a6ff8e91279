//! What the tests share: sessions, rows, whole runs, and a reader that knows nothing of the crate.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::FileReader;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use sha2::{Digest, Sha256};
use tables::{
    Change, Commit, CommitInfo, Interval, PublishMode, SortKey, Staging, Table, TableOptions,
    causes,
};
use tempfile::TempDir;

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Says loudly that a test did not run here.
#[expect(
    clippy::print_stderr,
    reason = "a skipped test must be seen in the test output"
)]
pub(crate) fn skipped(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

/// Says what a test covered.
#[expect(
    clippy::print_stdout,
    reason = "the number of covered points belongs in the test output"
)]
pub(crate) fn covered(what: &str) {
    println!("{what}");
}

/// A session; with `memory`, under a pool of so many bytes that sorts spill under.
pub(crate) fn session(memory: Option<usize>) -> TestResult<SessionContext> {
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(memory) = memory {
        runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(memory)));
    }
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().execution.sort_spill_reservation_bytes = 256 << 10;
    Ok(SessionContext::new_with_config_rt(
        config,
        Arc::new(runtime.build()?),
    ))
}

/// One event: identity, partition, time, text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event(
    pub(crate) i64,
    pub(crate) &'static str,
    pub(crate) i64,
    pub(crate) Option<&'static str>,
);

/// A column of whole numbers, or of none.
pub(crate) fn ints<T>(values: impl IntoIterator<Item = T>) -> ArrayRef
where
    Int64Array: FromIterator<T>,
{
    Arc::new(values.into_iter().collect::<Int64Array>())
}

/// A column of texts, or of none.
pub(crate) fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

pub(crate) fn events(rows: &[Event]) -> TestResult<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("id", ints(rows.iter().map(|row| row.0))),
        (
            "city",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
        ),
        (
            "at",
            Arc::new(
                rows.iter()
                    .map(|row| Some(row.2 * 1000))
                    .collect::<TimestampNanosecondArray>(),
            ),
        ),
        ("note", texts(rows.iter().map(|row| row.3))),
    ])?)
}

pub(crate) fn by_city(mode: PublishMode) -> TableOptions {
    TableOptions {
        partition_by: vec!["city".to_owned()],
        mode,
        key: if mode == PublishMode::Merge {
            vec!["id".to_owned()]
        } else {
            Vec::new()
        },
        sort: vec![SortKey::ascending("at"), SortKey::ascending("id")],
        ..TableOptions::default()
    }
}

pub(crate) fn input(partitions: &[Vec<RecordBatch>]) -> TestResult<Arc<dyn ExecutionPlan>> {
    let schema = partitions
        .iter()
        .flatten()
        .next()
        .ok_or("no batch")?
        .schema();
    Ok(MemorySourceConfig::try_new_exec(partitions, schema, None)?)
}

/// Stages the rows and works the change out.
pub(crate) async fn stage(
    table: &Table,
    run_id: &str,
    options: TableOptions,
    ctx: &SessionContext,
    partitions: &[Vec<RecordBatch>],
) -> TestResult<(Staging, Change)> {
    let input = input(partitions)?;
    let staging = table.begin(run_id, options, &input.schema()).await?;
    let staged = async {
        let rows = collect(staging.write_plan(input)?, ctx.task_ctx()).await?;
        let files = staging.staged(&rows)?;
        TestResult::Ok(staging.prepare(ctx, files).await?)
    };
    match staged.await {
        Ok(change) => Ok((staging, change)),
        Err(error) => {
            // As a driver does; where the store is dead this fails as well.
            let _ = staging.abandon().await;
            Err(error)
        }
    }
}

/// As [`stage`], rows of a table by city.
pub(crate) async fn stage_rows(
    table: &Table,
    run_id: &str,
    mode: PublishMode,
    rows: &[Event],
) -> TestResult<(Staging, Change)> {
    let (ctx, rows) = (session(None)?, events(rows)?);
    stage(table, run_id, by_city(mode), &ctx, &[vec![rows]]).await
}

/// A whole run.
pub(crate) async fn run_with(
    table: &Table,
    run_id: &str,
    options: TableOptions,
    rows: &[Event],
    info: CommitInfo,
) -> TestResult<Commit> {
    let ctx = session(None)?;
    let (staging, change) = stage(table, run_id, options, &ctx, &[vec![events(rows)?]]).await?;
    Ok(staging.publish(change, info).await?)
}

/// A whole run of a table by city.
pub(crate) async fn run(
    table: &Table,
    run_id: &str,
    mode: PublishMode,
    rows: &[Event],
    info: CommitInfo,
) -> TestResult<Commit> {
    run_with(table, run_id, by_city(mode), rows, info).await
}

pub(crate) fn info(cursor: i64) -> CommitInfo {
    CommitInfo {
        cursors: serde_json::json!({ "events": cursor }),
        ..CommitInfo::default()
    }
}

pub(crate) fn interval(cursor: i64) -> CommitInfo {
    let interval = Interval {
        start: format!("day {cursor}"),
        end: format!("day {}", cursor + 1),
    };
    CommitInfo {
        interval: Some(interval),
        ..info(cursor)
    }
}

/// No table yet, at `t` in a folder of its own, which is there as long as its guard.
pub(crate) fn new_table() -> TestResult<(TempDir, PathBuf, Table)> {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = table_at(&folder)?;
    Ok((parent, folder, table))
}

pub(crate) fn table_at(folder: &Path) -> TestResult<Table> {
    Ok(Table::at(folder.to_str().ok_or("path is not UTF-8")?)?)
}

/// The local folder of the rows that a run staged.
pub(crate) fn staged_dir(staging: &Staging) -> TestResult<PathBuf> {
    let url = staging.staged_url(&session(None)?)?;
    Ok(url.to_file_path().map_err(|()| "not a local folder")?)
}

/// The control folder of the table at `folder`.
pub(crate) fn control(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.spillway"))
}

/// Every file below `folder`, relative to it, sorted. A file that goes while looking is left out.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            // As it was listed: a folder that is gone by now must not be taken for a file.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                files.push(relative.display().to_string());
            }
        }
    }
    files.sort_unstable();
    files
}

/// The rows of one file as text; fails on anything but a whole, readable file of the format that its name says.
pub(crate) fn rows_of_file(path: &Path) -> TestResult<Vec<String>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.split_once('.').ok_or("no suffix")?.1 {
        "parquet" => rows_of_parquet(path),
        "avro" => {
            let file = BufReader::new(File::open(path)?);
            shown(arrow_avro::reader::ReaderBuilder::new().build(file)?)
        }
        "arrow" => shown(FileReader::try_new(File::open(path)?, None)?),
        suffix => {
            let mut lines = lines_of_file(path)?;
            if suffix.starts_with("csv") {
                lines.remove(0);
            }
            Ok(lines)
        }
    }
}

/// The lines of a file of text, whole ones.
pub(crate) fn lines_of_file(path: &Path) -> TestResult<Vec<String>> {
    let mut content = fs::read(path)?;
    content = match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("gz") => {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(content.as_slice()).read_to_end(&mut text)?;
            text
        }
        Some("zst") => zstd::decode_all(content.as_slice())?,
        _ => content,
    };
    let text = String::from_utf8(content)?;
    let text = text
        .strip_suffix('\n')
        .ok_or("the last line does not end")?;
    Ok(text.split('\n').map(str::to_owned).collect())
}

fn rows_of_parquet(path: &Path) -> TestResult<Vec<String>> {
    shown(ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?)
}

/// The rows of batches as text.
fn shown(
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> TestResult<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let values: Result<Vec<String>, _> = batch
                .columns()
                .iter()
                .map(|column| array_value_to_string(column, row))
                .collect();
            rows.push(values?.join("|"));
        }
    }
    Ok(rows)
}

/// What a reader of the folder sees: for each row its partition and its values, sorted.
pub(crate) fn rows_below(folder: &Path) -> TestResult<Vec<String>> {
    let mut rows = Vec::new();
    for file in files_below(folder) {
        let partition = file.rsplit_once('/').map_or("", |(partition, _)| partition);
        rows.extend(
            rows_of_file(&folder.join(&file))?
                .into_iter()
                .map(|row| format!("{partition}: {row}")),
        );
    }
    rows.sort_unstable();
    Ok(rows)
}

/// SHA-256 of every file below `folder`, by partition.
pub(crate) fn digests(commit: &Commit) -> BTreeMap<String, Vec<String>> {
    let mut digests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &commit.files {
        digests
            .entry(file.partition().to_owned())
            .or_default()
            .push(file.sha256.clone());
    }
    digests
}

/// T-1 and T-2 on a table at rest: the files are exactly those of the newest commit, with their digests and rows, and
/// nothing is staged, announced or unfinished.
pub(crate) async fn assert_at_rest(folder: &Path) -> TestResult {
    let commit = table_at(folder)?
        .current()
        .await?
        .ok_or("there is no commit")?;
    let named: Vec<String> = commit.files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(
        files_below(folder),
        named,
        "T-1: the visible files are those of the record"
    );
    for file in &commit.files {
        let content = fs::read(folder.join(&file.path))?;
        assert_eq!(
            hex::encode(Sha256::digest(&content)),
            file.sha256,
            "T-1: {} is complete",
            file.path
        );
        assert_eq!(
            rows_of_file(&folder.join(&file.path))?.len() as u64,
            file.rows,
            "T-2: rows of {}",
            file.path
        );
    }
    assert_eq!(
        commit.files.iter().map(|file| file.rows).sum::<u64>(),
        commit.totals.rows,
        "T-2"
    );
    assert!(
        !commit.cursors.is_null(),
        "T-3: the cursor is in the commit"
    );
    let left = files_below(&control(folder));
    assert!(
        left.contains(&format!("commits/{:08}.done", commit.number)),
        "the commit is finished: {left:?}"
    );
    let stray = left.iter().find(|file| {
        ["staging/", "intents/", "tmp/"]
            .iter()
            .any(|area| file.starts_with(area))
    });
    assert_eq!(stray, None, "nothing is left behind");
    Ok(())
}

/// All that an error says, with its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
