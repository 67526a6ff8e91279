//! The columns that are in the folders of files. Owns their types, and which files a query needs by their values.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};

use super::decode::partition_value;
use super::error::ReadError;
use super::listing::File;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Partitions {
    fields: Fields,
}

impl Partitions {
    /// Of these names; as declared among the columns, else texts.
    pub(crate) fn new(names: &[String], declared: Option<&Schema>) -> Self {
        let field = |name: &String| {
            let known = declared.and_then(|columns| columns.field_with_name(name).ok().cloned());
            Arc::new(known.unwrap_or_else(|| Field::new(name, DataType::Utf8, true)))
        };
        Self {
            fields: names.iter().map(field).collect(),
        }
    }

    /// The columns.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The columns of a table that are in files.
    pub(crate) fn without(&self, columns: &Schema) -> Schema {
        let of_files = columns
            .fields()
            .iter()
            .filter(|field| !self.has(field.name()));
        Schema::new(of_files.cloned().collect::<Vec<_>>())
    }

    /// All columns of a table.
    pub(crate) fn behind(&self, in_files: &Schema) -> SchemaRef {
        let all = in_files.fields().iter().chain(&self.fields);
        Arc::new(Schema::new(all.cloned().collect::<Vec<_>>()))
    }

    /// No column is in files and in the names of their folders: which of the two values would be right?
    ///
    /// # Errors
    /// With the column.
    pub(crate) fn check_names<'a>(
        &self,
        file: &str,
        mut names: impl Iterator<Item = &'a str>,
    ) -> std::result::Result<(), ReadError> {
        match names.find(|name| self.has(name)) {
            None => Ok(()),
            Some(name) => Err(ReadError::of_file(
                file,
                format!("the column `{name}` is in the file and in the names of its folders"),
            )
            .with_help("leave it out of PARTITIONED BY, and the folders are folders only")),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name() == name)
    }

    /// Whether a filter can be answered by the folders of files alone.
    fn answers(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        !columns.is_empty()
            && !filter.is_volatile()
            && columns.iter().all(|column| self.has(&column.name))
    }

    /// What becomes of filters: those over these columns alone are answered, of others it is `others`.
    pub(crate) fn supports(
        &self,
        filters: &[&Expr],
        others: &TableProviderFilterPushDown,
    ) -> Vec<TableProviderFilterPushDown> {
        let supported = filters.iter().map(|filter| match self.answers(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => others.clone(),
        });
        supported.collect()
    }

    /// For every file, whether it may have rows that pass the filters.
    ///
    /// # Errors
    /// When a folder's name is no value of its column.
    pub(crate) fn needed<'a>(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        files: &(impl ExactSizeIterator<Item = &'a File> + Clone),
    ) -> Result<Vec<bool>> {
        let mut needed = vec![true; files.len()];
        let mut filters = filters
            .iter()
            .filter(|filter| self.answers(filter))
            .peekable();
        if filters.peek().is_none() || needed.is_empty() {
            return Ok(needed);
        }
        let columns = self.fields.iter().enumerate().map(|(index, field)| {
            let values: Result<Vec<ArrayRef>> = files
                .clone()
                .map(|file| {
                    let value = file.partition.get(index).and_then(Option::as_deref);
                    partition_value(field, value, &file.name)
                })
                .collect();
            let values = values?;
            Ok(concat(
                &values.iter().map(AsRef::as_ref).collect::<Vec<_>>(),
            )?)
        });
        let columns: Result<Vec<ArrayRef>> = columns.collect();
        let schema = Schema::new(self.fields.clone());
        let of_files = RecordBatch::try_new(Arc::new(schema.clone()), columns?)?;
        let schema = DFSchema::try_from(schema)?;
        for filter in filters {
            let filter = state.create_physical_expr(unqualified(filter.clone())?, &schema)?;
            let matches = filter.evaluate(&of_files)?.into_array(needed.len())?;
            if let Some(matches) = matches.as_any().downcast_ref::<BooleanArray>() {
                for (needed, matches) in needed.iter_mut().zip(matches) {
                    *needed &= matches == Some(true);
                }
            }
        }
        Ok(needed)
    }
}

fn unqualified(filter: Expr) -> Result<Expr> {
    let transformed = filter.transform(|node| {
        Ok(match node {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            node => Transformed::no(node),
        })
    });
    transformed.data()
}
