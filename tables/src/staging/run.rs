//! A run that writes into the staging area of a table: it holds the lease, makes the plan that writes, and ends by
//! publishing or abandoning. Owns what is staged; the writing is `write`, the end of a run is `publish`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{Column, DataFusionError};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use sha2::{Digest, Sha256};
use url::Url;

use crate::commit::{CommitAction, CommitMode, Requirements};
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::listeners::Listeners;
use crate::log::{self, Commit, Intent, Transaction};
use crate::log_options::LogOptions;
use crate::options::TableOptions;
use crate::recover::Recovery;
use crate::schema::TableSchema;
use crate::schema_policy::Agreement;
use crate::store::Store;
use crate::write::{self, Rows, Split, SplitKeys, StagedFile, WriteSpec};

/// A run between [`crate::Table::begin`] and [`Staging::publish`] or [`Staging::abandon`]. Readers see nothing of it.
///
/// Dropping it gives the lease back and leaves the staged files to the next run, which drops them.
#[derive(Debug)]
pub struct Staging {
    pub(super) store: Arc<dyn Store>,
    pub(super) listeners: Listeners,
    pub(super) lease: Lease,
    pub(super) run_id: String,
    pub(super) token: String,
    pub(super) options: TableOptions,
    /// What the commit will be, and what that asks for.
    pub(super) mode: CommitMode,
    pub(super) requirements: Requirements,
    /// What the commit will say about the table's options.
    pub(super) recorded: Option<LogOptions>,
    pub(super) agreed: Agreement,
    pub(super) base: Option<Commit>,
    /// The newest record when the run began; its own is the next.
    pub(super) base_number: u64,
    /// What the commit will say about who made it.
    pub(super) transaction: Option<Transaction>,
    /// What the run found when it began.
    pub(super) recovery: Recovery,
    /// Whether somebody reads the staged rows before they are published.
    pub(super) readable: bool,
    /// The staging folder of the rows to be published.
    pub(super) rows: String,
    /// How the rows' partitions are split among streams, once they were sampled.
    pub(super) split: Option<(SplitKeys, Split)>,
}

/// A table whose lease a run has, and which is at rest.
#[derive(Debug)]
pub(crate) struct AtRest {
    pub(crate) lease: Lease,
    pub(crate) recovery: Recovery,
    pub(crate) base: Option<Commit>,
    /// The number of the newest record, which is not the base's if there are only fences; 0 without one.
    pub(crate) base_number: u64,
}

/// What a run is for.
#[derive(Debug)]
pub(crate) struct Purpose<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) action: &'a dyn CommitAction,
    pub(crate) options: TableOptions,
    /// What the commit will say about who made it.
    pub(crate) transaction: Option<Transaction>,
}

/// What executing the plan of [`Staging::write_plan`] staged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Staged {
    /// The files.
    pub files: Vec<StagedFile>,
    /// Rows that are in none of them, because contract `discard_row` left them out.
    pub rows_discarded: u64,
}

impl Staged {
    /// Rows in the files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes of the files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// What those were before they were compressed.
    pub fn plain_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.plain_bytes).sum()
    }
}

impl Staging {
    /// Announces the run in the table's control folder: from now on there may be staged files of it.
    pub(crate) async fn announce(
        store: &Arc<dyn Store>,
        table: &AtRest,
        purpose: &Purpose<'_>,
    ) -> Result<String> {
        let token = token(purpose.run_id, table.lease.epoch());
        let intent = Intent::new(
            purpose.run_id,
            &token,
            table.lease.epoch(),
            table.base_number,
            purpose.action.mode(),
        );
        let key = log::intent_key(&token);
        store.put(&key, log::to_json(&key, &intent)?).await?;
        Ok(token)
    }

    /// The announced run `token`, which may stage files of the schema that was agreed on.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        listeners: Listeners,
        table: AtRest,
        purpose: Purpose<'_>,
        agreed: Agreement,
        token: String,
    ) -> Self {
        let requirements = purpose.action.requirements();
        let recorded = match &table.base {
            Some(base) if requirements.carries_options => base.options.clone(),
            _ => Some(LogOptions::of(&purpose.options)),
        };
        Self {
            store,
            listeners,
            lease: table.lease,
            run_id: purpose.run_id.to_owned(),
            rows: write::rows_folder(&token, None),
            token,
            options: purpose.options,
            mode: purpose.action.mode(),
            requirements,
            recorded,
            agreed,
            base: table.base,
            base_number: table.base_number,
            transaction: purpose.transaction,
            recovery: table.recovery,
            readable: true,
            split: None,
        }
    }

    /// Says that nobody will read the staged rows before they are published: then a storage may keep them where they
    /// cannot be read, which saves it a copy of each file. A `merge` reads them itself and is not affected. To be said
    /// before [`Staging::write_plan`].
    pub fn rows_are_not_read(&mut self) {
        self.readable = self.requirements.key;
    }

    /// The schema that is written: the table's with what this run changes in it, or this run's own if the table is new
    /// or replaced with another.
    pub fn schema(&self) -> &TableSchema {
        &self.agreed.schema
    }

    /// Whether published files hold a column in a narrower type than the schema that is written.
    pub(crate) fn widens(&self) -> bool {
        self.agreed.widened
    }

    /// How files are written. Of the publish mode in it only the order of the rows follows: what the commit will be is
    /// the action's.
    pub(crate) fn options(&self) -> &TableOptions {
        &self.options
    }

    /// The storage of the table.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where the table is.
    pub fn location(&self) -> &str {
        self.store.location()
    }

    /// What was put in order before this run began: [`crate::Table::begin`] recovers first.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The commit that this run builds on; `None` for the first.
    pub fn base(&self) -> Option<&Commit> {
        self.base.as_ref()
    }

    /// The number of the newest record when the run began, 0 without one. Every commit of this run comes after it; see
    /// [`crate::Claim::since`].
    pub fn log_position(&self) -> u64 {
        self.base_number
    }

    /// Wraps a plan so that executing it stages its rows. The result gives one row per staged file, for
    /// [`Staging::staged`]; every partition of it must be executed, to its end, once.
    ///
    /// With an order (`sort`, or `merge`) the rows are sorted first, spilling to disk as the memory pool demands, and
    /// the files are the same bytes for the same rows. Without one the rows are gathered per partition of the table.
    ///
    /// # Errors
    /// [`Error::Write`] if the input's columns are not those given to [`crate::Table::begin`].
    pub fn write_plan(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let spec = self.write_spec();
        write::plan(input, spec, self.split.as_ref(), None)
            .map_err(|source| self.write_error(source))
    }

    /// The part of the query that is looked at before its rows are written, if partitions are to be split: the columns
    /// that decide where a row goes. To be planned, and given to [`Staging::sample_plan`].
    ///
    /// # Errors
    /// [`Error::Write`] if the query does not have the columns given to [`crate::Table::begin`].
    pub fn sample_query(&self, query: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let Some(keys) = self.split_keys() else {
            return Ok(None);
        };
        let keys = keys.alone();
        let columns = query.schema().iter().filter_map(|(table, field)| {
            let column = Column::from((table, field));
            keys.names()
                .any(|name| name == field.name())
                .then_some(Expr::Column(column))
        });
        LogicalPlanBuilder::from(query.clone())
            .project(columns)
            .and_then(LogicalPlanBuilder::build)
            .map(Some)
            .map_err(|source| self.write_error(source))
    }

    /// Wraps the plan of [`Staging::sample_query`] so that executing it gives what [`Staging::split`] reads. `None` if no
    /// partition can be large, by the number of rows that the plan is known to have: then nothing is split.
    ///
    /// # Errors
    /// [`Error::Write`] as above.
    pub fn sample_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match self.split_keys() {
            Some(keys) => {
                write::sample_plan(input, &keys).map_err(|source| self.write_error(source))
            }
            None => Ok(None),
        }
    }

    /// Lets the plans that write from now on split the partitions by what was sampled, and gives the number of rows that
    /// were looked at. A sample that lacks rows, or has some twice, makes other files, not other rows.
    ///
    /// # Errors
    /// [`Error::Write`] if the rows are not those of [`Staging::sample_plan`].
    pub fn split(&mut self, sampled: &[RecordBatch]) -> Result<u64> {
        let Some(keys) = self.split_keys() else {
            let source = DataFusionError::Internal("partitions are not to be split".to_owned());
            return Err(self.write_error(source));
        };
        let split = Split::read(&keys, sampled).map_err(|source| self.write_error(source))?;
        let rows = split.rows();
        self.split = Some((keys, split));
        Ok(rows)
    }

    fn split_keys(&self) -> Option<SplitKeys> {
        SplitKeys::new(self.schema(), &self.options, &self.agreed.checked)
    }

    pub(super) fn write_spec(&self) -> WriteSpec {
        let spec = self
            .spec(self.schema())
            .discarding(&self.agreed.checked)
            .readable(self.readable);
        if self.requirements.replaces_files {
            spec.replacing(self.base())
        } else {
            spec
        }
    }

    /// What writes rows of all partitions into the run's staging area. `schema` is the table's or a part of it.
    pub(crate) fn spec(&self, schema: &TableSchema) -> WriteSpec {
        WriteSpec::new(Arc::clone(&self.store), &self.token, schema, &self.options)
    }

    /// What writes rows of one partition into `folder` of the run's staging area.
    pub(crate) fn spec_of_partition(
        &self,
        folder: &str,
        partition: &str,
        options: &TableOptions,
    ) -> WriteSpec {
        WriteSpec::of_partition(
            Arc::clone(&self.store),
            &self.token,
            folder,
            partition,
            self.schema(),
            options,
        )
    }

    pub(super) fn write_error(&self, source: DataFusionError) -> Error {
        Error::Write {
            table: self.store.location().to_owned(),
            source,
        }
    }

    /// Reads the rows that the plan of [`Staging::write_plan`] gave.
    ///
    /// # Errors
    /// [`Error::StagedFile`] if a file is reported twice, or is not of this run: then the rows must not be published,
    /// because some would be there twice.
    pub fn staged(&self, batches: &[RecordBatch]) -> Result<Staged> {
        self.staged_in(&self.rows, batches)
    }

    /// As [`Staging::staged`], of a folder of the staging area.
    fn staged_in(&self, folder: &str, batches: &[RecordBatch]) -> Result<Staged> {
        let rows = write::read_rows(batches).map_err(|source| self.write_error(source))?;
        self.checked(folder, rows)
    }

    /// The files, of that folder of the staging area and each once.
    pub(super) fn checked(&self, folder: &str, rows: Rows) -> Result<Staged> {
        let folder = format!("{folder}/");
        let mut seen = HashMap::new();
        for file in &rows.files {
            let refuse = |reason: &str| Error::StagedFile {
                path: file.staged.clone(),
                reason: reason.to_owned(),
            };
            if !file.staged.starts_with(&folder) {
                return Err(refuse(
                    "which is not a file of this run; execute the plan of this run",
                ));
            }
            if seen.insert(&file.staged, ()).is_some() {
                return Err(refuse(
                    "twice: a part of the plan ran more than once; start the run again",
                ));
            }
        }
        Ok(Staged {
            files: rows.files,
            rows_discarded: rows.discarded,
        })
    }

    /// The folder of the rows this run staged, laid out as the table is, for checks before publishing; `ctx` can open
    /// it afterwards. It exists once a file is staged. In `merge` these are the arriving rows.
    ///
    /// # Errors
    /// [`Error::Store`] if the folder has no URL. After [`Staging::rows_are_not_read`] the folder may be empty.
    pub fn staged_url(&self, ctx: &SessionContext) -> Result<Url> {
        self.open_to(ctx);
        Ok(self.store.staged_url(&self.rows)?)
    }

    /// Makes the table's storage known to a session.
    pub(crate) fn open_to(&self, ctx: &SessionContext) {
        if let Some((url, store)) = self.store.object_store() {
            ctx.runtime_env().register_object_store(&url, store);
        }
    }
}

/// Names an attempt: in its staging area and in its files. No name is ever used twice: not by the same run in another
/// epoch, and not by two runs that both believe to have the same epoch.
fn token(run_id: &str, epoch: u64) -> String {
    let digest = Sha256::digest(format!("{run_id}\n{epoch}\n{}", uuid::Uuid::new_v4()));
    hex::encode(&digest[..6])
}
