//! The columns that decide where a row of a split partition goes. Owns how their values compare.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;

use crate::layout::PartitionColumns;
use crate::log_options::{LogOptions, LogSortKey};
use crate::options::TableOptions;
use crate::schema::TableSchema;

/// The columns that decide where a row goes.
#[derive(Debug, Clone)]
pub(crate) struct SplitKeys {
    /// The columns of the rows.
    pub(crate) schema: TableSchema,
    pub(crate) log_options: LogOptions,
    /// Rows that a range should have.
    pub(super) range_rows: u64,
    /// Columns whose values may not fit; see `discard`.
    pub(crate) checked: Vec<String>,
}

impl SplitKeys {
    /// Of rows with all columns of a table. `None` unless its options ask for splitting.
    pub(crate) fn new(
        schema: &TableSchema,
        options: &TableOptions,
        checked: &[String],
    ) -> Option<Self> {
        options.split_rows.map(|range_rows| Self {
            schema: schema.clone(),
            log_options: LogOptions::of(options),
            range_rows,
            checked: checked.to_vec(),
        })
    }

    /// The same, of rows that have no other columns.
    pub(crate) fn alone(&self) -> Self {
        let needed = |name: &String| {
            self.schema.is_partition(name) || self.sort().iter().any(|key| key.column == *name)
        };
        let fields = self.schema.columns().fields().iter();
        let fields: Vec<FieldRef> = fields
            .filter(|field| needed(field.name()))
            .cloned()
            .collect();
        let checked = self.checked.iter().filter(|name| needed(name));
        Self {
            schema: TableSchema::of(fields, self.schema.partition_by()),
            log_options: self.log_options.clone(),
            range_rows: self.range_rows,
            checked: checked.cloned().collect(),
        }
    }

    /// The names of the columns.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.schema
            .columns()
            .fields()
            .iter()
            .map(|field| field.name())
    }

    fn sort(&self) -> &[LogSortKey] {
        &self.log_options.sort
    }

    pub(super) fn partition(&self) -> PartitionColumns {
        PartitionColumns::of(&self.schema)
    }

    pub(super) fn sort_columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let columns = self.sort().iter().map(|key| {
            let index = self.schema.columns().index_of(&key.column)?;
            Ok(Arc::clone(batch.column(index)))
        });
        columns.collect()
    }

    /// Brings values of the sort columns to bytes that compare as the order does.
    pub(super) fn converter(&self) -> Result<RowConverter> {
        let fields = self.sort().iter().map(|key| {
            let field = self.schema.columns().field_with_name(&key.column)?;
            let options = SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            };
            Ok(SortField::new_with_options(
                field.data_type().clone(),
                options,
            ))
        });
        Ok(RowConverter::new(fields.collect::<Result<_>>()?)?)
    }
}
