//! A table on an S3 server of this process, and whole runs on it: what the tests of object stores share.

use std::collections::BTreeMap;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::physical_plan::collect;
use tables::storage::{self, StorageTraffic};
use tables::{
    Change, Commit, CommitInfo, PublishMode, Staging, StorageOptions, Table, TableOptions,
};
use testkit::s3::{Behaviour, S3Options, S3Server};
use url::Url;

use crate::support::{Event, TestResult, by_city, events, input, session};

pub(crate) const MODES: [PublishMode; 4] = [
    PublishMode::Append,
    PublishMode::Overwrite,
    PublishMode::Replace,
    PublishMode::Merge,
];

pub(crate) const FIRST: [Event; 4] = [
    Event(1, "Ghent", 10, Some("a")),
    Event(2, "Ghent", 20, None),
    Event(3, "Oulu", 30, Some("b")),
    Event(4, "Riga", 40, Some("c")),
];
pub(crate) const SECOND: [Event; 4] = [
    Event(2, "Ghent", 21, Some("changed")),
    Event(3, "Oulu", 30, Some("b")),
    Event(5, "Oulu", 50, Some("new")),
    Event(6, "Turku", 60, None),
];

/// A server with a table on it.
pub(crate) struct Lake {
    pub(crate) server: S3Server,
    pub(crate) options: StorageOptions,
}

impl Lake {
    pub(crate) fn start(behaviour: Behaviour) -> TestResult<Self> {
        let server = S3Server::start(S3Options {
            behaviour,
            ..S3Options::default()
        })?;
        let options = StorageOptions::from_variables(server.environment());
        Ok(Self { server, options })
    }

    pub(crate) fn location(&self) -> String {
        format!("s3://{}/raw/events", self.server.bucket())
    }

    pub(crate) fn table(&self) -> TestResult<Table> {
        Ok(Table::open(&self.location(), &self.options)?)
    }

    pub(crate) fn traffic(&self) -> TestResult<StorageTraffic> {
        Ok(storage::bucket(&Url::parse(&self.location())?, &self.options)?.traffic())
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Bytes> {
        self.server
            .objects("raw/events/")
            .into_iter()
            .map(|(key, content)| (key.replacen("raw/events/", "", 1), content))
            .collect()
    }

    /// What a reader that lists the table sees; fails on a file that is not whole.
    pub(crate) fn rows(&self) -> TestResult<Vec<String>> {
        rows_of(&self.files())
    }

    /// As [`run`], by a table that is opened for it.
    pub(crate) async fn run(
        &self,
        run_id: &str,
        mode: PublishMode,
        rows: &[Event],
        readable: bool,
        info: CommitInfo,
    ) -> TestResult<Commit> {
        run(&self.table()?, run_id, mode, rows, readable, info).await
    }

    /// T-1, T-2: the visible objects are those of the newest commit, and no attempt left anything.
    pub(crate) async fn assert_at_rest(&self) -> TestResult {
        let commit = self.table()?.current().await?.ok_or("there is no commit")?;
        let named: Vec<&str> = commit.files.iter().map(|file| file.path.as_str()).collect();
        let files = self.files();
        assert_eq!(files.keys().collect::<Vec<_>>(), named, "T-1");
        for file in &commit.files {
            assert_eq!(files[&file.path].len() as u64, file.bytes, "T-1");
        }
        assert_eq!(self.rows()?.len() as u64, commit.totals.rows, "T-2");
        assert_eq!(self.server.pending_uploads(), [], "no upload is left");
        for area in ["staging/", "intents/", "probe/"] {
            let left = self.server.objects(&format!("raw/.events.spillway/{area}"));
            assert!(left.is_empty(), "left behind: {:?}", left.keys());
        }
        let done = format!("raw/.events.spillway/commits/{:08}.done", commit.number);
        assert!(
            self.server.object(&done).is_some(),
            "the commit is finished"
        );
        Ok(())
    }
}

pub(crate) fn rows_of(files: &BTreeMap<String, Bytes>) -> TestResult<Vec<String>> {
    let mut rows = Vec::new();
    for (path, content) in files {
        let partition = path.rsplit_once('/').map_or("", |(partition, _)| partition);
        for batch in ParquetRecordBatchReaderBuilder::try_new(content.clone())?.build()? {
            let batch = batch?;
            for row in 0..batch.num_rows() {
                let values: Result<Vec<String>, _> = batch
                    .columns()
                    .iter()
                    .map(|column| array_value_to_string(column, row))
                    .collect();
                rows.push(format!("{partition}: {}", values?.join("|")));
            }
        }
    }
    rows.sort_unstable();
    Ok(rows)
}

/// Stages rows, where checks could read them or not.
pub(crate) async fn stage(
    table: &Table,
    run_id: &str,
    options: TableOptions,
    batch: RecordBatch,
    readable: bool,
) -> TestResult<(Staging, Change)> {
    let ctx = session(None)?;
    let input = input(&[vec![batch]])?;
    let mut staging = table.begin(run_id, options, &input.schema()).await?;
    if !readable {
        staging.rows_are_not_read();
    }
    let rows = collect(staging.write_plan(input)?, ctx.task_ctx()).await?;
    let files = staging.staged(&rows)?;
    let change = staging.prepare(&ctx, files).await?;
    Ok((staging, change))
}

pub(crate) async fn run(
    table: &Table,
    run_id: &str,
    mode: PublishMode,
    rows: &[Event],
    readable: bool,
    info: CommitInfo,
) -> TestResult<Commit> {
    let (staging, change) = stage(table, run_id, by_city(mode), events(rows)?, readable).await?;
    Ok(staging.publish(change, info).await?)
}
