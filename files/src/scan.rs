//! The operator that reads files. Owns how files are dealt to partitions: in this process all partitions share one
//! [`Feed`](super::feed), so that each works as long as there is anything; on executors, which share nothing, each partition
//! has files, and slices of files, of its own.
//!
//! Ballista 55 takes the partitions of a task out of the leaves that it knows, and sends any other leaf whole to every task:
//! its rows would be there once for each. So the lists of files are rows of a table in memory, and this is an operator over
//! it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_datafusion_err, internal_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::bad_rows::{BadRows, Quarantine, sent_schema};
use super::counted::in_file;
use super::decode::{Decoder, Wanted};
use super::feed::{Feed, Piece};
use super::format::{Bytes, Format};
use super::listing::File;
use super::origin::Origin;

/// What is read, and how.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    /// The location, for people.
    pub location: String,
    /// What is said of their bytes.
    pub bytes: Bytes,
    /// What is read of them.
    pub wanted: Wanted,
    /// The files that all partitions read together; `None` if each has its own.
    pub(crate) shared: Option<Vec<File>>,
    /// Rows that are wanted at most, of each partition.
    pub limit: Option<usize>,
    /// Where bad rows go; without, the first one ends the query.
    pub bad_rows: Option<Arc<BadRows>>,
    /// Whether the bad rows are what is given, and not the others.
    pub only_bad: bool,
}

impl Scan {
    /// What the rows look like.
    fn schema(&self) -> SchemaRef {
        match self.only_bad {
            true => sent_schema(),
            false => self.wanted.schema(),
        }
    }
}

/// See the module.
pub struct FileScanExec {
    scan: Arc<Scan>,
    /// The files of each partition, a row each.
    lists: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// The feed of all partitions, once the first of them is executed.
    feed: Mutex<Option<Feed>>,
}

impl fmt::Debug for FileScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileScanExec")
            .field("scan", &self.scan)
            .finish_non_exhaustive()
    }
}

impl FileScanExec {
    /// Reads what the scan says, of these files, by partition.
    ///
    /// # Errors
    /// When the lists cannot be written down.
    pub(crate) fn new(scan: Scan, files: &[Vec<File>]) -> Result<Self> {
        let schema = Arc::new(Schema::new(vec![Field::new("file", DataType::Utf8, false)]));
        let lists: Result<Vec<Vec<RecordBatch>>> = files
            .iter()
            .map(|files| {
                let rows: std::result::Result<Vec<String>, _> =
                    files.iter().map(serde_json::to_string).collect();
                let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
                let rows: ArrayRef = Arc::new(StringArray::from(rows));
                Ok(vec![RecordBatch::try_new(Arc::clone(&schema), vec![rows])?])
            })
            .collect();
        let lists = MemorySourceConfig::try_new_exec(&lists?, schema, None)?;
        Ok(Self::over(Arc::new(scan), lists))
    }

    /// Reads what the scan says, of the files in these lists.
    fn over(scan: Arc<Scan>, lists: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(scan.schema()),
            Partitioning::UnknownPartitioning(lists.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            scan,
            lists,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            feed: Mutex::new(None),
        }
    }

    /// Where its bad rows go.
    pub(crate) fn bad_rows(&self) -> Option<&Arc<BadRows>> {
        self.scan.bad_rows.as_ref()
    }

    /// The files that it reads, where it was planned.
    pub(crate) fn files(&self) -> &[File] {
        self.scan.shared.as_deref().unwrap_or_default()
    }

    /// Reads of these files what is bad, by partition.
    ///
    /// # Errors
    /// When the lists cannot be written down.
    pub(crate) fn only_bad(&self, files: &[Vec<File>]) -> Result<Self> {
        let scan = Scan {
            only_bad: true,
            shared: None,
            limit: None,
            ..self.scan.as_ref().clone()
        };
        Self::new(scan, files)
    }

    /// How many partitions it has.
    pub(crate) fn partitions(&self) -> usize {
        self.lists.output_partitioning().partition_count()
    }

    /// What a partition takes its parts from; its own list is read first if it has files of its own.
    fn feed(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Source> {
        let Some(files) = &self.scan.shared else {
            let list = self.lists.execute(partition, Arc::clone(context))?;
            return Ok(Source::Listed(list));
        };
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = &*feed {
            return Ok(Source::Fed(feed.clone()));
        }
        let started = start(&self.scan, files.clone(), self.partitions(), context)?;
        Ok(Source::Fed(feed.insert(started).clone()))
    }
}

fn start(scan: &Scan, files: Vec<File>, streams: usize, context: &TaskContext) -> Result<Feed> {
    let (format, bytes) = (scan.wanted.format(), scan.bytes.clone());
    let feed = Feed::start(files, format, bytes, streams, context)?;
    Ok(feed.lenient(scan.bad_rows.is_some()))
}

/// Where the parts of a partition come from.
enum Source {
    /// From files whose list has to be read.
    Listed(SendableRecordBatchStream),
    /// From readers at work.
    Fed(Feed),
}

/// The files in a list.
async fn listed(list: &mut SendableRecordBatchStream) -> Result<Vec<File>> {
    let mut files = Vec::new();
    while let Some(rows) = list.try_next().await? {
        for row in rows.column(0).as_string::<i32>().iter().flatten() {
            let file = serde_json::from_str(row);
            files.push(file.map_err(|error| DataFusionError::External(Box::new(error)))?);
        }
    }
    Ok(files)
}

impl DisplayAs for FileScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FileScanExec: {} {}, files={}",
            self.scan.wanted.format.name(),
            self.scan.location,
            self.scan
                .shared
                .as_ref()
                .map_or_else(|| "listed".to_owned(), |files| files.len().to_string())
        )?;
        match self.scan.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for FileScanExec {
    fn name(&self) -> &str {
        "FileScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.lists]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [lists] => Ok(Arc::new(Self::over(
                Arc::clone(&self.scan),
                Arc::clone(lists),
            ))),
            _ => internal_err!("a scan of files has one input"),
        }
    }

    /// For another execution: a feed is read once.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::over(
            Arc::clone(&self.scan),
            Arc::clone(&self.lists),
        )))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let scan = &self.scan;
        let bad_rows = match (&scan.bad_rows, scan.only_bad) {
            // Each partition tells what it finds.
            (Some(rows), true) => Some(Arc::new(BadRows::new(&scan.location, rows.limits()))),
            (rows, _) => rows.clone(),
        };
        let batch_rows = context.session_config().batch_size();
        let state = Reading {
            source: self.feed(partition, &context)?,
            files: Vec::new(),
            scan: Arc::clone(&self.scan),
            context: Arc::clone(&context),
            decoder: Decoder::new(scan.wanted.clone(), batch_rows, bad_rows.clone()),
            piece: None,
            left: self.scan.limit,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        if let Some(bad_rows) = bad_rows.filter(|_| scan.only_bad) {
            let batches = futures::stream::once(state.bad_rows(bad_rows))
                .map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok)))
                .try_flatten();
            let rows = RecordBatchStreamAdapter::new(self.schema(), batches);
            return Ok(Box::pin(rows));
        }
        let rows = futures::stream::try_unfold(state, Reading::next);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// Files that are values say how many rows they are, as an estimate: a file can change before it is read.
    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if let (Format::Binary(binary), Some(files), None) = (
            &self.scan.wanted.format,
            &self.scan.shared,
            args.partition(),
        ) {
            let about = |sum: u64| Precision::Inexact(usize::try_from(sum).unwrap_or(usize::MAX));
            statistics.num_rows = about(files.iter().map(|file| binary.rows(file.size)).sum());
            statistics.total_byte_size = about(files.iter().map(|file| file.size).sum());
        }
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let scan = Scan {
            limit,
            ..self.scan.as_ref().clone()
        };
        Some(Arc::new(Self::over(
            Arc::new(scan),
            Arc::clone(&self.lists),
        )))
    }

    fn fetch(&self) -> Option<usize> {
        self.scan.limit
    }
}

/// A stream at work.
struct Reading {
    source: Source,
    /// The files of the partition's own list, once it is read.
    files: Vec<File>,
    scan: Arc<Scan>,
    context: Arc<TaskContext>,
    decoder: Decoder,
    /// The part at hand, and how far it is decoded.
    piece: Option<(Piece<String>, usize)>,
    left: Option<usize>,
    metrics: BaselineMetrics,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        match self.rows().await {
            Ok(rows) => Ok(rows.map(|rows| (rows, self))),
            Err(error) => Err(in_file(error, &self.files, &self.context).await),
        }
    }

    async fn rows(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            let Some((piece, at)) = self.piece.take() else {
                match &mut self.source {
                    Source::Fed(feed) => match feed.next().await? {
                        Some(piece) => {
                            self.decoder.begin(&piece);
                            self.piece = Some((piece, 0));
                        }
                        None => return Ok(None),
                    },
                    Source::Listed(list) => {
                        self.files = listed(list).await?;
                        let feed = start(&self.scan, self.files.clone(), 1, &self.context)?;
                        self.source = Source::Fed(feed);
                    }
                }
                continue;
            };
            let timer = self.metrics.elapsed_compute().timer();
            let decoded = self.decoder.decode(&piece, at)?;
            timer.done();
            let Some((mut rows, end)) = decoded else {
                continue;
            };
            self.piece = Some((piece, end));
            if let Some(left) = &mut self.left {
                rows = rows.slice(0, rows.num_rows().min(*left));
                *left -= rows.num_rows();
            }
            self.metrics.record_output(rows.num_rows());
            return Ok(Some(rows));
        }
    }
}

impl Reading {
    /// What is bad in all of its files, and how many rows are not.
    async fn bad_rows(mut self, found: Arc<BadRows>) -> Result<Vec<RecordBatch>> {
        while let Some((_, next)) = self.next().await? {
            self = next;
        }
        found.to_send()
    }
}

/// A scan as it is sent.
#[derive(Serialize, Deserialize)]
struct Sent {
    location: String,
    bytes: Bytes,
    format: Format,
    in_files: Vec<u8>,
    inferred: bool,
    partition_by: Vec<u8>,
    projection: Vec<usize>,
    limit: Option<usize>,
    quarantine: Option<Quarantine>,
    only_bad: bool,
    origin: Origin,
}

/// What a scan of files begins with when it is sent.
const MARK: &[u8] = b"spillway.files.scan.3\n";

fn schema_bytes(schema: &Schema) -> Vec<u8> {
    let encoded = datafusion::arrow::ipc::convert::IpcSchemaEncoder::new().schema_to_fb(schema);
    encoded.finished_data().to_vec()
}

fn schema_of(bytes: &[u8]) -> Result<Schema> {
    let read = datafusion::arrow::ipc::root_as_schema(bytes);
    let schema =
        read.map_err(|error| internal_datafusion_err!("a schema cannot be read: {error}"))?;
    Ok(datafusion::arrow::ipc::convert::fb_to_schema(schema))
}

/// The operator as bytes, if it is one of files.
///
/// # Errors
/// When it cannot be written down.
pub fn encode_operator(operator: &dyn ExecutionPlan) -> Result<Option<Vec<u8>>> {
    let Some(exec) = operator.downcast_ref::<FileScanExec>() else {
        return Ok(None);
    };
    let scan = &exec.scan;
    let sent = Sent {
        location: scan.location.clone(),
        bytes: scan.bytes.clone(),
        format: scan.wanted.format.clone(),
        in_files: schema_bytes(&scan.wanted.in_files),
        inferred: scan.wanted.inferred,
        partition_by: schema_bytes(&Schema::new(scan.wanted.partition_by.clone())),
        projection: scan.wanted.projection.clone(),
        limit: scan.limit,
        quarantine: scan.bad_rows.as_ref().map(|rows| rows.limits()),
        only_bad: scan.only_bad,
        origin: scan.wanted.origin.clone(),
    };
    let mut bytes = MARK.to_vec();
    serde_json::to_writer(&mut bytes, &sent)
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(Some(bytes))
}

/// Whether the bytes are an operator of files.
pub fn is_operator(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK)
}

/// The operator from its bytes: its partitions read their own files, because they may be in several processes.
///
/// # Errors
/// When the bytes are no such operator.
pub fn decode_operator(
    bytes: &[u8],
    inputs: &[Arc<dyn ExecutionPlan>],
) -> Result<Arc<dyn ExecutionPlan>> {
    let [lists] = inputs else {
        return internal_err!("a scan of files has one input");
    };
    let sent = bytes.strip_prefix(MARK).unwrap_or_default();
    let sent: Sent =
        serde_json::from_slice(sent).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let partition_by: Fields = schema_of(&sent.partition_by)?.fields;
    let in_files: SchemaRef = Arc::new(schema_of(&sent.in_files)?);
    let bad_rows = sent
        .quarantine
        .map(|limits| Arc::new(BadRows::new(&sent.location, limits)));
    let scan = Scan {
        location: sent.location,
        bytes: sent.bytes,
        wanted: Wanted {
            format: sent.format,
            in_files,
            inferred: sent.inferred,
            partition_by,
            projection: sent.projection,
            all_columns: bad_rows.is_some(),
            origin: sent.origin,
        },
        shared: None,
        limit: sent.limit,
        bad_rows,
        only_bad: sent.only_bad,
    };
    Ok(Arc::new(FileScanExec::over(
        Arc::new(scan),
        Arc::clone(lists),
    )))
}
