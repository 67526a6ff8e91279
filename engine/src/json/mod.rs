//! JSON files, read no deeper than their reader can stand. Owns the limit and the place where it is kept: between the bytes of a
//! file and Arrow's reader. Taking values apart is Arrow's.
//!
//! Arrow's reader keeps nested values in a list, but to say that a value is of the wrong type it writes it out by
//! recursion: a text column that holds a few million `[` ended the process. Each process that executes a plan puts
//! [`limit_json_depth`] in front of it, as the way of a scan to executors is fixed by the engine.

mod depth;
mod store;

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, JsonSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::object_store::ObjectStore;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};

use self::store::Checked;

/// The plan, whose scans of JSON files end with an error where a value nests more than 128 levels deep. That is also the
/// limit of every other reader of JSON in the product.
///
/// # Errors
/// When an operator cannot be given other inputs, which is a fault of the operator.
pub fn limit_json_depth(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let limited = node.downcast_ref::<DataSourceExec>().and_then(limited);
        Ok(match limited {
            Some(scan) => Transformed::yes(scan as Arc<dyn ExecutionPlan>),
            None => Transformed::no(node),
        })
    })
    .data()
}

fn limited(scan: &DataSourceExec) -> Option<Arc<DataSourceExec>> {
    let (config, _) = scan.downcast_to_file_source::<JsonSource>()?;
    let source = ShallowJson {
        json: Arc::clone(config.file_source()),
    };
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(Arc::new(source))
        .build();
    Some(DataSourceExec::from_data_source(config))
}

/// [`limit_json_depth`] as the last rule of a session that executes what it plans.
#[derive(Debug)]
pub(crate) struct LimitJsonDepth;

impl PhysicalOptimizerRule for LimitJsonDepth {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        limit_json_depth(plan)
    }

    fn name(&self) -> &str {
        "limit_json_depth"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The engine's source of JSON files over checked bytes.
#[derive(Clone)]
struct ShallowJson {
    json: Arc<dyn FileSource>,
}

impl FileSource for ShallowJson {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        Ok(Arc::new(Opener {
            json: Arc::clone(&self.json),
            store: object_store,
            config: base_config.clone(),
            partition,
        }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.json.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self {
            json: self.json.with_batch_size(batch_size),
        })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.json.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.json.metrics()
    }

    fn file_type(&self) -> &str {
        self.json.file_type()
    }

    fn fmt_extra(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.json.fmt_extra(kind, f)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.json.try_pushdown_projection(projection)?;
        Ok(pushed.map(|json| Arc::new(Self { json }) as Arc<dyn FileSource>))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.json.apply_expressions(f)
    }
}

struct Opener {
    json: Arc<dyn FileSource>,
    store: Arc<dyn ObjectStore>,
    config: FileScanConfig,
    partition: usize,
}

impl Opener {
    fn over(&self, store: Arc<dyn ObjectStore>) -> Result<Arc<dyn FileOpener>> {
        let mut config = self.config.clone();
        config.file_compression_type = FileCompressionType::UNCOMPRESSED;
        self.json.create_file_opener(store, &config, self.partition)
    }
}

impl FileOpener for Opener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        if file.range.is_some() {
            // The source refuses a part of a file in a format that cannot be read in parts.
            drop(self.over(Arc::clone(&self.store))?.open(file.clone())?);
        }
        let compression = self.config.file_compression_type;
        let whole = PartitionedFile {
            range: None,
            ..file.clone()
        };
        let checked = Checked::new(Arc::clone(&self.store), file, compression);
        self.over(Arc::new(checked))?.open(whole)
    }
}

#[cfg(test)]
mod tests;
