//! A scan of the engine's under [`guard`](super::guard): what makes its reader panic is an error of a file, like all else that
//! is wrong with one. Owns where the guard is put; which files are read is the scan's.
//!
//! It is put around scans last, when a plan is about to be executed: optimizers know what may be pushed into a scan, and
//! nothing of an operator that stands before it. Executors put it there themselves, so it is never sent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Statistics, internal_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};

use super::error::ReadError;
use super::guard::{GaveUp, guarded};
use super::web;

/// The plan with every scan of files under guard.
///
/// # Errors
/// When an operator of it cannot be given another input.
pub fn guard_scans(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let scanned = node
            .downcast_ref::<DataSourceExec>()
            .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>())
            .map(files_of);
        Ok(match scanned {
            Some(files) => Transformed::yes(Arc::new(GuardedScan { scan: node, files }) as _),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// What a message says of the files of a scan: any of them may be the one that is being read.
fn files_of(config: &FileScanConfig) -> String {
    let files = config.file_groups.iter().flat_map(|group| group.iter());
    let mut paths: Vec<&str> = files
        .map(|file| file.object_meta.location.as_ref())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let store = config.object_store_url.as_str();
    let whole = |path: &str| match store.strip_prefix("file://") {
        Some(root) => format!("{root}{path}"),
        None => web::shown(store, path),
    };
    match paths.as_slice() {
        [] => String::from("no file"),
        [path] => whole(path),
        [first, .., last] => format!(
            "one of {} files from {} to {}",
            paths.len(),
            whole(first),
            whole(last)
        ),
    }
}

/// The scan, for whoever looks at the plan; see the module.
#[derive(Debug)]
struct GuardedScan {
    scan: Arc<dyn ExecutionPlan>,
    files: String,
}

impl DisplayAs for GuardedScan {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scan.fmt_as(kind, f)
    }
}

impl ExecutionPlan for GuardedScan {
    fn name(&self) -> &str {
        self.scan.name()
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(self.scan.as_ref())
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.scan.apply_expressions(apply)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [] => Ok(self),
            _ => internal_err!("a scan has no input"),
        }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            scan: Arc::clone(&self.scan).reset_state()?,
            files: self.files.clone(),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = guarded(|| self.scan.execute(partition, context));
        let rows = rows.map_err(|GaveUp| ReadError::gave_up(&self.files))??;
        Ok(Box::pin(Guarded {
            schema: rows.schema(),
            rows: Some(rows),
            error: ReadError::gave_up(&self.files),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.scan.metrics()
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.scan.statistics_from_inputs(inputs, args)
    }
}

/// Rows until the reader gives up, and nothing more of it then.
struct Guarded {
    schema: SchemaRef,
    rows: Option<SendableRecordBatchStream>,
    error: ReadError,
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(rows) = &mut self.rows else {
            return Poll::Ready(None);
        };
        match guarded(|| rows.poll_next_unpin(context)) {
            Ok(polled) => polled.map_err(|error| match web::as_read_error(&error) {
                Some(told) => told.into(),
                None => error,
            }),
            Err(GaveUp) => {
                // Its reader is in no state to be asked again.
                let _ = guarded(|| self.rows = None);
                Poll::Ready(Some(Err(self.error.clone().into())))
            }
        }
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
