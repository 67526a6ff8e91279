//! The rows that the writing operator gives: one for each staged file. Owns their columns, and that what was written can
//! be read back, whatever process made it.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, AsArray, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;

use crate::log::DataFile;

/// A file that a run staged: one row of the operator's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// The partition path, such as `year=2026`; empty in a table without partition columns.
    pub partition: String,
    /// The file's name, unique in the table.
    pub name: String,
    /// Its key in the staging area.
    pub staged: String,
    /// What the storage needs to publish it, beside its keys; empty on the local filesystem.
    pub upload: String,
    /// The how manieth file of its partition it is in this run, from 0.
    pub ordinal: u32,
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// What that was before it was compressed.
    pub plain_bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Rows whose key had, by its hash, come before in the partition; `Some(0)` proves that there are no duplicates.
    /// `None` when keys were not watched.
    pub repeated_keys: Option<u64>,
}

impl StagedFile {
    /// No file: what a row of the operator's output says when it only counts discarded rows.
    fn none() -> Self {
        Self {
            partition: String::new(),
            name: String::new(),
            staged: String::new(),
            upload: String::new(),
            ordinal: 0,
            rows: 0,
            bytes: 0,
            plain_bytes: 0,
            sha256: String::new(),
            repeated_keys: None,
        }
    }

    /// The path under which it would be published, relative to the table.
    pub(crate) fn path(&self) -> String {
        if self.partition.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.partition, self.name)
        }
    }

    pub(crate) fn into_data_file(self) -> DataFile {
        DataFile {
            path: self.path(),
            rows: self.rows,
            bytes: self.bytes,
            sha256: self.sha256,
        }
    }
}

const COLUMNS: [(&str, DataType, bool); 12] = [
    ("partition", DataType::Utf8, false),
    ("name", DataType::Utf8, false),
    ("staged", DataType::Utf8, false),
    ("upload", DataType::Utf8, false),
    ("ordinal", DataType::UInt32, false),
    ("rows", DataType::UInt64, false),
    ("bytes", DataType::UInt64, false),
    ("sha256", DataType::Utf8, false),
    ("repeated_keys", DataType::UInt64, true),
    ("discarded", DataType::UInt64, false),
    ("part", DataType::UInt32, true),
    ("plain_bytes", DataType::UInt64, false),
];

/// The columns of the operator's output: one row per staged file.
pub(super) fn row_schema() -> SchemaRef {
    let fields: Vec<Field> = COLUMNS
        .into_iter()
        .map(|(name, data_type, nullable)| Field::new(name, data_type, nullable))
        .collect();
    Arc::new(Schema::new(fields))
}

/// One row per file, and one without a name for the rows that were discarded, if any were, and for the part of the
/// plan that these rows are of, if it has a number.
pub(super) fn to_rows(
    files: &[StagedFile],
    discarded: u64,
    part: Option<u32>,
) -> Result<RecordBatch> {
    let mut files = files.to_vec();
    if discarded > 0 || part.is_some() {
        files.push(StagedFile::none());
    }
    let text = |get: fn(&StagedFile) -> &str| {
        Arc::new(StringArray::from_iter_values(files.iter().map(get)))
    };
    let number = |get: fn(&StagedFile) -> u64| {
        Arc::new(UInt64Array::from_iter_values(files.iter().map(get)))
    };
    let batch = RecordBatch::try_new(
        row_schema(),
        vec![
            text(|file| &file.partition),
            text(|file| &file.name),
            text(|file| &file.staged),
            text(|file| &file.upload),
            Arc::new(UInt32Array::from_iter_values(
                files.iter().map(|file| file.ordinal),
            )),
            number(|file| file.rows),
            number(|file| file.bytes),
            text(|file| &file.sha256),
            Arc::new(UInt64Array::from_iter(
                files.iter().map(|file| file.repeated_keys),
            )),
            Arc::new(UInt64Array::from_iter_values(
                files
                    .iter()
                    .map(|file| if file.name.is_empty() { discarded } else { 0 }),
            )),
            Arc::new(UInt32Array::from_iter(
                files
                    .iter()
                    .map(|file| part.filter(|_| file.name.is_empty())),
            )),
            number(|file| file.plain_bytes),
        ],
    )?;
    Ok(batch)
}

/// The operator's output.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// The staged files.
    pub(crate) files: Vec<StagedFile>,
    /// Rows that are in none of them.
    pub(crate) discarded: u64,
    /// The partitions of the plan that ran, where they have numbers: each is there as often as it ran to its end.
    pub(crate) task_partitions: Vec<u32>,
}

/// Reads the operator's output, whatever process made it.
pub(crate) fn read_rows(batches: &[RecordBatch]) -> Result<Rows> {
    let expected = row_schema();
    let mut rows = Rows::default();
    for batch in batches {
        if batch.schema().fields() != expected.fields() {
            return internal_err!(
                "the plan's output is not that of the writer: {}",
                batch.schema()
            );
        }
        let text = |column: usize, row: usize| {
            batch
                .column(column)
                .as_string::<i32>()
                .value(row)
                .to_owned()
        };
        let number = |column: usize, row: usize| {
            batch.column(column).as_primitive::<UInt64Type>().value(row)
        };
        for row in 0..batch.num_rows() {
            rows.discarded += number(9, row);
            let part = batch.column(10);
            if part.is_valid(row) {
                rows.task_partitions
                    .push(part.as_primitive::<UInt32Type>().value(row));
            }
            if text(1, row).is_empty() {
                continue;
            }
            rows.files.push(StagedFile {
                partition: text(0, row),
                name: text(1, row),
                staged: text(2, row),
                upload: text(3, row),
                ordinal: batch.column(4).as_primitive::<UInt32Type>().value(row),
                rows: number(5, row),
                bytes: number(6, row),
                plain_bytes: number(11, row),
                sha256: text(7, row),
                repeated_keys: batch.column(8).is_valid(row).then(|| number(8, row)),
            });
        }
    }
    Ok(rows)
}
