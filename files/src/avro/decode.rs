//! Records to columns. Owns that a block has exactly the records that it says, and how many of them become rows at once.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema as Columns, SchemaRef};
use datafusion::arrow::error::ArrowError;

use super::block::Block;
use super::bytes::Reader;
use super::column::{Column, skip};
use super::schema::{Schema, TypeId};
use super::types;
use crate::error::{Problem, ReadError};

/// Memory that the values of some rows may take besides their texts: so many times what a block may have, and this at least.
const MEMORY: (usize, usize) = (4, 64 << 20);
/// Records without a byte that a block may have.
const MOST_EMPTY: u64 = 1 << 20;

/// Reads the records of one file.
#[derive(Debug)]
pub(crate) struct AvroDecoder {
    file: String,
    schema: Arc<Schema>,
    columns: SchemaRef,
    /// For every field of a record, what is done with it.
    fields: Vec<Step>,
    /// Where the next record of the block at hand begins.
    at: usize,
}

#[derive(Debug)]
enum Step {
    Read(Column),
    Skip(TypeId),
}

impl AvroDecoder {
    /// For those of these columns that the file has.
    ///
    /// # Errors
    /// When a field of the file is no column.
    pub(crate) fn new(
        file: &str,
        schema: &Arc<Schema>,
        wanted: &Columns,
    ) -> Result<Self, ReadError> {
        let is_wanted = |name: &str, _| wanted.field_with_name(name).is_ok();
        let columns = columns(file, schema, is_wanted)?;
        let fields = schema.records().unwrap_or_default().iter();
        let fields = fields.map(|(name, id)| match columns.field_with_name(name) {
            Ok(field) => Column::new(schema, *id, field.data_type())
                .map(Step::Read)
                .ok_or_else(|| ReadError::of_file(file, format!("`{name}` cannot be read"))),
            Err(_) => Ok(Step::Skip(*id)),
        });
        Ok(Self {
            file: file.to_owned(),
            schema: Arc::clone(schema),
            fields: fields.collect::<Result<_, _>>()?,
            columns: Arc::new(columns),
            at: 0,
        })
    }

    /// Rows of the records behind the first `done` ones, `most` of them at most; `None` if there are no more.
    ///
    /// # Errors
    /// With the number of a record that cannot be read.
    pub(crate) fn decode(
        &mut self,
        block: &Block,
        done: usize,
        most: usize,
    ) -> Result<Option<RecordBatch>, ReadError> {
        if done == 0 {
            self.at = 0;
            self.check_count(block)?;
        }
        // Less than what the offsets of texts can tell.
        let most_memory = i32::MAX.unsigned_abs() as usize;
        let memory = block.most.saturating_mul(MEMORY.0);
        let memory = memory.clamp(MEMORY.1, most_memory);
        let mut reader = Reader::new(&block.bytes, self.at, memory);
        let left = usize::try_from(block.count - done as u64).unwrap_or(usize::MAX);
        let mut rows = 0;
        while rows < left.min(most.max(1)) && reader.left() > memory / 2 {
            let record = self.record(&mut reader);
            record.map_err(|(name, problem)| {
                let number = block.first + done as u64 + rows as u64;
                let mut error =
                    ReadError::of_file(&self.file, format!("record {number}: {}", problem.problem));
                error.column = name;
                error
            })?;
            rows += 1;
        }
        self.at = reader.position();
        if rows == left && self.at < block.bytes.len() {
            let last = block.first + (block.count - 1);
            return Err(broken(
                &self.file,
                &format!("there are more bytes behind record {last} than records"),
            ));
        }
        if rows == 0 {
            return Ok(None);
        }
        let batch = self.batch(rows);
        let batch = batch.map_err(|error| ReadError::of_file(&self.file, error.to_string()))?;
        Ok(Some(batch))
    }

    /// Records have bytes, if not all of their values are NULL.
    fn check_count(&self, block: &Block) -> Result<(), ReadError> {
        match block.count > (block.bytes.len() as u64).max(MOST_EMPTY) {
            true => Err(broken(
                &self.file,
                &format!(
                    "{} records cannot be in {} bytes",
                    block.count,
                    block.bytes.len()
                ),
            )),
            false => Ok(()),
        }
    }

    fn record(&mut self, reader: &mut Reader<'_>) -> Result<(), (Option<String>, Problem)> {
        let names = self.schema.records().unwrap_or_default();
        for (step, (name, _)) in self.fields.iter_mut().zip(names) {
            let done = match step {
                Step::Read(column) => column.append(reader),
                Step::Skip(id) => skip(&self.schema, *id, reader, 0),
            };
            done.map_err(|problem| (Some(name.clone()), problem))?;
        }
        Ok(())
    }

    fn batch(&mut self, rows: usize) -> Result<RecordBatch, ArrowError> {
        let columns = self.fields.iter_mut().filter_map(|step| match step {
            Step::Read(column) => Some(column.finish()),
            Step::Skip(_) => None,
        });
        let columns: Result<Vec<ArrayRef>, ArrowError> = columns.collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.columns), columns?, &options)
    }
}

/// The columns of a file, those that are wanted.
///
/// # Errors
/// With the one that cannot be a column.
pub(crate) fn columns(
    file: &str,
    schema: &Schema,
    is_wanted: impl Fn(&str, TypeId) -> bool,
) -> Result<Columns, ReadError> {
    types::columns(schema, is_wanted).map_err(|no_column| ReadError {
        column: Some(no_column.name),
        ..ReadError::of_file(file, no_column.problem)
            .with_help("declare the columns that are wanted, without this one")
    })
}

fn broken(file: &str, problem: &str) -> ReadError {
    ReadError::of_file(file, format!("it is no whole Avro file: {problem}"))
}
