//! Outputs: write to staging, check what was staged, publish.
//!
//! Owns the order of the three and that nothing is published unless every check holds. How a table is written and
//! committed is `tables`'.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use engine::memory::executing;
use engine::standstill;
use tables::{
    Begun, Change, Claim, CommitInfo, Committed, Dictionary, Interval, Recovery, Staging, Table,
    TableOptions,
};

use super::context::RunContext;
use super::error::RunError;
use super::sources::absolute;
use crate::settings::RunSettings;
use language::{self, Assert, Bound, DictionaryChoice, Output, SourceText};

/// An output whose table is open and whose lease is ours.
#[derive(Debug)]
pub struct OpenOutput {
    /// As declared.
    pub output: Output,
    /// Where the table is.
    pub location: String,
    /// What its query reads in place.
    reads: String,
    pub(super) staging: Staging,
}

/// What opening an output came to.
#[derive(Debug)]
pub enum Opened {
    /// Its rows are to be written.
    Open(Box<OpenOutput>),
    /// They were committed by a process before this one.
    Committed(Box<Published>),
}

/// An output that is staged but not yet published.
#[derive(Debug)]
pub struct StagedOutput {
    open: OpenOutput,
    staged: tables::Staged,
    scanned: u64,
}

/// An output of which all is there that publishing needs.
#[derive(Debug)]
pub struct PreparedOutput {
    open: OpenOutput,
    change: Change,
}

/// What publishing an output came to.
#[derive(Debug, Clone)]
pub struct Published {
    /// The output's name.
    pub name: String,
    /// Where the table is.
    pub location: String,
    /// How it was published.
    pub mode: String,
    /// Partition columns, for the reader's command.
    pub partitioned: bool,
    /// Who made the change, and which.
    pub made: Made,
    /// The number of the commit: the one that has the rows.
    pub commit: u64,
    /// The run that made it: another one, where nothing changed or the same was asked for before.
    pub run_id: String,
    /// The table as it is now.
    pub totals: tables::Totals,
    /// How long readers could see a partition with both its old and its new files; `None` for no time at all.
    pub window: Option<std::time::Duration>,
    /// What could not be cleared away afterwards.
    pub uncleared: Option<String>,
}

/// By which process an output was published.
#[derive(Debug, Clone)]
pub enum Made {
    /// By this one.
    Now(Change),
    /// By one before: of this run, or of one that was asked for the same.
    Before(Committed),
}

impl Published {
    /// As an error names it.
    pub fn commit_of(&self) -> String {
        format!("commit {} of {}", self.commit, self.location)
    }

    /// Rows that were written, before any merge.
    pub fn rows(&self) -> u64 {
        match &self.made {
            Made::Now(change) => change.rows_staged,
            Made::Before(committed) => committed.rows_staged,
        }
    }

    /// Bytes of the files that were added.
    pub fn bytes(&self) -> u64 {
        match &self.made {
            Made::Now(change) => change.bytes_written,
            Made::Before(committed) => committed.added.bytes,
        }
    }
}

/// What an output is called: the step that it writes, or its location when it has a query of its own.
pub fn name(output: &Output) -> String {
    output.relation.as_ref().map_or_else(
        || output.location.clone(),
        |relation| relation.value.clone(),
    )
}

/// How the table of `output` is laid out and published.
pub fn table_options(output: &Output, settings: &RunSettings) -> TableOptions {
    let options = &output.options;
    let texts = |names: &[language::Name]| names.iter().map(|name| name.value.clone()).collect();
    let number = |number: NonZeroU64| usize::try_from(number.get()).unwrap_or(usize::MAX);
    let defaults = TableOptions::default();
    TableOptions {
        partition_by: texts(&output.partition_by),
        mode: options.publish,
        key: texts(&options.key),
        order: options.order.iter().map(sort_key).collect(),
        key_scope: options.key_scope,
        contract: options.contract,
        sort: options.sort.iter().map(sort_key).collect(),
        split_rows: options.split_rows.map(NonZeroU64::get),
        compression: options.compression.unwrap_or(defaults.compression),
        row_group_rows: options
            .row_group_rows
            .map_or(settings.load_batch_size.value, number),
        row_group_bytes: options
            .row_group_size
            .map_or(defaults.row_group_bytes, number),
        target_file_bytes: options
            .target_file_size
            .map_or(defaults.target_file_bytes, NonZeroU64::get),
        dictionary: match &options.dictionary {
            None => defaults.dictionary,
            Some(DictionaryChoice::Every(true)) => Dictionary::All,
            Some(DictionaryChoice::Every(false)) => Dictionary::None,
            Some(DictionaryChoice::Columns(columns)) => Dictionary::Columns(texts(columns)),
        },
        statistics: options.statistics.unwrap_or(defaults.statistics),
        bloom_filter: texts(&options.bloom_filter),
    }
}

fn sort_key(key: &language::SortKey) -> tables::SortKey {
    tables::SortKey {
        column: key.column.value.clone(),
        descending: key.descending,
        nulls_first: key.nulls_first,
    }
}

/// Where the table of `output` is: a path from the root of the file system, or the URL as written.
pub fn table_location(output: &Output) -> String {
    if output.location.contains("://") {
        output.location.clone()
    } else {
        absolute(std::path::Path::new(&output.location))
            .display()
            .to_string()
    }
}

/// Opens the table: finishes what an earlier process left, takes the lease, compares the schemas. Nothing is read yet.
/// `checked` says whether the staged rows will be read back by [`check`]; if not, storages can save a copy of them.
///
/// An output whose commit is there already is not opened: see [`Table::begin_once`].
///
/// # Errors
/// [`RunError::Table`]: another writer is at work, the schema does not fit, the folder cannot be written, an appended
/// interval is another's. [`RunError::Unfinished`] if a commit is there that could not be finished.
pub async fn open(
    run: &RunContext,
    output: Output,
    schema: &Schema,
    reads: &str,
    checked: bool,
    claim: Claim,
) -> Result<Opened, RunError> {
    let location = table_location(&output);
    let failed = |source| table_failed(&location, source);
    let table = Table::open(&location, &run.storage).map_err(failed)?;
    let options = table_options(&output, &run.settings);
    let begun = table
        .begin_once(&run.attempt.run.to_string(), options, schema, claim)
        .await
        .map_err(failed)?;
    match begun {
        Begun::Committed(committed) => {
            tell_recovery(run, &location, &committed.recovery).await?;
            Ok(Opened::Committed(Box::new(Published {
                name: name(&output),
                mode: output.options.publish.to_string(),
                partitioned: !output.partition_by.is_empty(),
                commit: committed.number,
                run_id: committed.run_id.clone(),
                totals: committed.totals,
                window: None,
                uncleared: None,
                location,
                made: Made::Before(*committed),
            })))
        }
        Begun::Staging(mut staging) => {
            tell_recovery(run, &location, staging.recovery()).await?;
            if !checked {
                staging.rows_are_not_read();
            }
            Ok(Opened::Open(Box::new(OpenOutput {
                reads: String::from(reads),
                output,
                location,
                staging: *staging,
            })))
        }
    }
}

async fn tell_recovery(
    run: &RunContext,
    location: &str,
    recovery: &Recovery,
) -> Result<(), RunError> {
    if let Some(commit) = recovery.rolled_forward {
        run.warn(format!(
            "commit {commit} of {location} had been decided but not finished; it is now"
        ))
        .await?;
    }
    Ok(())
}

fn table_failed(location: &str, source: tables::Error) -> RunError {
    if source.leaves_commit() {
        return RunError::Unfinished(Box::new(source));
    }
    RunError::Table {
        location: location.to_owned(),
        source: Box::new(source),
    }
}

impl OpenOutput {
    /// Runs the plan and stages its rows as files that no reader sees.
    ///
    /// # Errors
    /// [`RunError::Engine`] when the query fails, [`RunError::Table`] when its rows cannot be stored.
    pub async fn stage(
        mut self,
        run: &RunContext,
        ctx: &SessionContext,
        plan: &LogicalPlan,
    ) -> Result<StagedOutput, (RunError, Box<Self>)> {
        match self.files(run, ctx, plan).await {
            Ok((staged, scanned)) => Ok(StagedOutput::new(self, staged, scanned)),
            Err(error) => Err((error, Box::new(self))),
        }
    }

    async fn files(
        &mut self,
        run: &RunContext,
        ctx: &SessionContext,
        plan: &LogicalPlan,
    ) -> Result<(tables::Staged, u64), RunError> {
        self.sample(run, ctx, plan).await?;
        let physical = self.physical(run, ctx, plan).await?;
        let writing = self
            .staging
            .write_plan(physical)
            .map_err(|error| self.table_failed(error))?;
        let batches = self.collected(run, ctx, Arc::clone(&writing)).await?;
        let staged = self
            .staging
            .staged(&batches)
            .map_err(|error| self.table_failed(error))?;
        Ok((staged, scanned_rows(writing.as_ref())))
    }

    /// Looks at the rows first, if large partitions are to be split.
    async fn sample(
        &mut self,
        run: &RunContext,
        ctx: &SessionContext,
        plan: &LogicalPlan,
    ) -> Result<(), RunError> {
        let query = self.staging.sample_query(plan);
        let Some(query) = query.map_err(|error| self.table_failed(error))? else {
            return Ok(());
        };
        let physical = self.physical(run, ctx, &query).await?;
        let sampling = self.staging.sample_plan(physical);
        let Some(sampling) = sampling.map_err(|error| self.table_failed(error))? else {
            return Ok(());
        };
        let sampled = self.collected(run, ctx, sampling).await?;
        let split = self.staging.split(&sampled);
        split.map_err(|error| self.table_failed(error)).map(|_| ())
    }

    async fn physical(
        &self,
        run: &RunContext,
        ctx: &SessionContext,
        plan: &LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>, RunError> {
        let (state, plan) = (ctx.state(), plan.clone());
        run.query(async move { state.create_physical_plan(&plan).await })
            .await?
            .map_err(|error| self.query_failed(error))
    }

    async fn collected(
        &self,
        run: &RunContext,
        ctx: &SessionContext,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<Vec<RecordBatch>, RunError> {
        let _executing = executing(&plan);
        let stands_still = async {
            // What is written far away may be waited for as well.
            if self.location.contains("://") {
                return std::future::pending().await;
            }
            standstill(&plan).await
        };
        tokio::select! {
            rows = run.query(collect(Arc::clone(&plan), ctx.task_ctx())) => {
                rows?.map_err(|error| self.query_failed(error))
            }
            report = stands_still => Err(RunError::Standstill {
                output: name(&self.output),
                report: Box::new(report),
            }),
        }
    }

    /// Lets go of the table; what was staged is removed.
    ///
    /// # Errors
    /// [`RunError::Table`] when staging cannot be removed.
    pub async fn abandon(self) -> Result<(), RunError> {
        let location = self.location;
        self.staging
            .abandon()
            .await
            .map_err(|source| RunError::Table {
                location,
                source: Box::new(source),
            })
    }

    pub(super) fn query_failed(&self, error: DataFusionError) -> RunError {
        let mut doing = format!("the query of the output `{}`", name(&self.output));
        if !self.reads.is_empty() {
            doing = format!("{doing}, which reads {},", self.reads);
        }
        RunError::Engine {
            doing,
            source: Box::new(error),
        }
    }

    pub(super) fn table_failed(&self, source: tables::Error) -> RunError {
        table_failed(&self.location, source)
    }

    /// Where the table's log was when this run opened it.
    pub fn log_position(&self) -> u64 {
        self.staging.log_position()
    }
}

impl StagedOutput {
    /// Staged, of a query that took so many rows from its sources.
    pub(super) fn new(open: OpenOutput, staged: tables::Staged, scanned: u64) -> Self {
        Self {
            open,
            staged,
            scanned,
        }
    }

    /// Rows that the query took from its sources, landed ones included.
    pub fn scanned(&self) -> u64 {
        self.scanned
    }

    /// Rows and bytes that were staged.
    pub fn size(&self) -> (u64, u64) {
        (self.staged.rows(), self.staged.bytes())
    }

    /// Makes the staged rows readable in `ctx` under the name of the view that they came from.
    fn register(&self, ctx: &SessionContext, schema: &Schema) -> Result<(), DataFusionError> {
        let Some(relation) = &self.open.output.relation else {
            return Ok(());
        };
        let failed = |error: tables::Error| DataFusionError::External(Box::new(error));
        let folder = self.open.staging.staged_url(ctx).map_err(failed)?;
        let partitions: Vec<(String, DataType)> = self
            .open
            .output
            .partition_by
            .iter()
            .filter_map(|name| {
                Some((
                    name.value.clone(),
                    schema
                        .field_with_name(&name.value)
                        .ok()?
                        .data_type()
                        .clone(),
                ))
            })
            .collect();
        let stored = schema
            .fields()
            .iter()
            .filter(|field| !partitions.iter().any(|(name, _)| name == field.name()));
        let stored = Schema::new(stored.cloned().collect::<Vec<_>>());
        let url = ListingTableUrl::try_new(folder, None)?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
            .with_file_extension(".parquet")
            .with_table_partition_cols(partitions);
        let config = ListingTableConfig::new(url)
            .with_listing_options(options)
            .with_schema(Arc::new(stored));
        ctx.deregister_table(relation.value.as_str())?;
        ctx.register_table(
            relation.value.as_str(),
            Arc::new(ListingTable::try_new(config)?),
        )?;
        Ok(())
    }

    /// Works out what publishing would change; for a merge, makes the files that replace published ones. Decides nothing.
    ///
    /// # Errors
    /// [`RunError::Table`], with the output to be abandoned. [`RunError::Interrupted`] and [`RunError::Memory`] without it: the
    /// threads of the query still have it, and the next run clears up.
    pub async fn prepare(
        self,
        run: &RunContext,
        ctx: &SessionContext,
    ) -> Result<PreparedOutput, (RunError, Option<Box<OpenOutput>>)> {
        let Self { open, staged, .. } = self;
        let ctx = ctx.clone();
        let prepared = run.query(async move {
            let change = open.staging.prepare(&ctx, staged).await;
            (open, change)
        });
        match prepared.await {
            Ok((open, Ok(change))) => Ok(PreparedOutput { open, change }),
            Ok((open, Err(error))) => Err((open.table_failed(error), Some(Box::new(open)))),
            Err(stopped) => Err((stopped, None)),
        }
    }

    /// The output without what was staged of it, to be abandoned.
    pub fn into_open(self) -> OpenOutput {
        self.open
    }
}

impl PreparedOutput {
    /// Decides, and makes the rows visible. An unchanged table gets no new file.
    ///
    /// # Errors
    /// [`RunError::Table`]: nothing of this output is published. [`RunError::Unfinished`]: its commit stands, or may.
    pub async fn publish(self, info: CommitInfo) -> Result<Published, RunError> {
        let Self { open, change } = self;
        let OpenOutput {
            output,
            location,
            staging,
            ..
        } = open;
        let commit = staging
            .publish(change.clone(), info)
            .await
            .map_err(|source| table_failed(&location, source))?;
        Ok(Published {
            name: name(&output),
            mode: output.options.publish.to_string(),
            partitioned: !output.partition_by.is_empty(),
            commit: commit.number,
            run_id: commit.run_id,
            totals: commit.totals,
            window: commit.window,
            uncleared: commit.uncleared,
            location,
            made: Made::Now(change),
        })
    }

    /// The output, to be abandoned.
    pub fn into_open(self) -> OpenOutput {
        self.open
    }
}

/// Rows that came out of the leaves of an executed plan.
fn scanned_rows(plan: &dyn ExecutionPlan) -> u64 {
    let children = plan.children();
    if children.is_empty() {
        return plan
            .metrics()
            .and_then(|metrics| metrics.output_rows())
            .unwrap_or(0) as u64;
    }
    children
        .into_iter()
        .map(|child| scanned_rows(child.as_ref()))
        .sum()
}

/// Evaluates every `ASSERT` over what was staged: views that are outputs are read back from their staged files.
///
/// # Errors
/// [`RunError::Checks`] with a line for each that does not hold.
pub async fn check(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    staged: &[StagedOutput],
    schemas: &BTreeMap<String, Schema>,
) -> Result<u64, RunError> {
    for output in staged {
        let name = name(&output.open.output);
        if let Some(schema) = schemas.get(&name) {
            output
                .register(ctx, schema)
                .map_err(|error| RunError::Engine {
                    doing: format!("reading back what was staged for `{name}`"),
                    source: Box::new(error),
                })?;
        }
    }
    let mut failed = Vec::new();
    for assert in &bound.asserts {
        let (ctx, asked, source) = (ctx.clone(), assert.clone(), Arc::clone(bound.source_text()));
        let answered = run.query(async move { holds(&ctx, &asked, &source).await });
        if !answered.await?? {
            let file = bound.source_text().file();
            failed.push(format!(
                "check failed: {} ({file}:{})",
                assert.message, assert.span.start.line
            ));
        }
    }
    if failed.is_empty() {
        Ok(bound.asserts.len() as u64)
    } else {
        Err(RunError::Checks { failed })
    }
}

async fn holds(
    ctx: &SessionContext,
    assert: &Assert,
    source: &Arc<SourceText>,
) -> Result<bool, RunError> {
    let plan = language::plan_assert(assert, source, ctx)
        .await
        .map_err(RunError::Definition)?;
    let failed = |error| RunError::Engine {
        doing: format!("the check `{}`", assert.message),
        source: Box::new(error),
    };
    let batches = ctx
        .execute_logical_plan(plan)
        .await
        .map_err(failed)?
        .collect()
        .await
        .map_err(failed)?;
    Ok(batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| batch.column(0).as_any().downcast_ref::<BooleanArray>())
        // A condition that is NULL is not known to hold.
        .is_some_and(|column| column.is_valid(0) && column.value(0)))
}

/// What a commit says of the run that made it. The cursor of a source that is read by interval is the interval with the
/// parameters it was read with: the same request has the same cursor.
pub fn commit_info(bound: &Bound, rows_read: u64) -> CommitInfo {
    let parameters: BTreeMap<&String, Option<String>> = bound
        .parameters
        .iter()
        .map(|(name, value)| (name, value.text()))
        .collect();
    CommitInfo {
        cursors: serde_json::json!({ "parameters": parameters }),
        interval: interval(bound),
        plan_fingerprint: Some(bound.fingerprint.clone()),
        rows_read: Some(rows_read),
    }
}

/// The interval of data that is asked for.
pub fn interval(bound: &Bound) -> Option<Interval> {
    let edge = |name: &str| bound.parameters.get(name)?.text();
    edge("data_date_start")
        .zip(edge("data_date_end"))
        .map(|(start, end)| Interval { start, end })
}
