//! Files that say what columns they have. Owns which reader a format of them has, if it gives rows.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::object_store::ObjectStore;

use super::arrow::{ArrowFile, open_rows};
use super::avro::container::AvroFile;
use super::avro::{decode, types};
use super::binary::{self, BinaryFile};
use super::error::ReadError;
use super::format::{Bytes, Format};
use super::listing::File;
use super::types::check_schema;

/// A message of a file that is looked at may have so many bytes.
const MOST_LOOKED_AT: usize = 1 << 30;

/// A file of rows at work.
pub(crate) enum RowsFile {
    /// Arrow IPC.
    Arrow(Box<ArrowFile>),
    /// The file is the value.
    Binary(BinaryFile),
}

impl RowsFile {
    /// Opens a file of rows. `store` is that of a file that is not on this machine; what is read at once has `most` bytes at most.
    ///
    /// # Errors
    /// When it cannot be read as the format.
    pub(crate) fn open(
        file: &File,
        store: Option<&Arc<dyn ObjectStore>>,
        format: &Format,
        bytes: &Bytes,
        most: usize,
    ) -> Result<Self, ReadError> {
        Ok(match format {
            Format::Binary(binary) => Self::Binary(BinaryFile::open(file, store, binary, most)?),
            _ => Self::Arrow(Box::new(open_rows(file, store, bytes, most)?)),
        })
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// When the file is not whole.
    pub(crate) fn next_rows(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        match self {
            Self::Arrow(file) => file.next_rows(),
            Self::Binary(file) => file.next_rows(),
        }
    }
}

/// The columns of a file that says what it has; those that no column can be are left out if others are declared.
///
/// # Errors
/// When it cannot be read as the format.
pub(crate) fn schema_of(
    file: &File,
    store: Option<&Arc<dyn ObjectStore>>,
    format: &Format,
    bytes: &Bytes,
    declared: Option<&Schema>,
) -> Result<SchemaRef, ReadError> {
    Ok(match format {
        Format::Binary(_) => binary::schema(),
        Format::Avro => {
            let open = AvroFile::open(file, store, bytes, MOST_LOOKED_AT)?;
            let schema = open.schema();
            let columns = decode::columns(&file.name, schema, |name, id| {
                declared.is_none_or(|columns| columns.field_with_name(name).is_ok())
                    || types::data_type(schema, id).is_ok()
            })?;
            check_schema(&file.name, &columns)?;
            Arc::new(columns)
        }
        _ => open_rows(file, store, bytes, MOST_LOOKED_AT)?.schema(),
    })
}
