//! Files that give rows and not text. Owns which reader a format of them has.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::object_store::ObjectStore;

use super::arrow::{ArrowFile, open_rows};
use super::binary::{self, BinaryFile};
use super::error::ReadError;
use super::format::{Bytes, Format};
use super::listing::File;

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

/// The columns of a file of rows.
///
/// # Errors
/// When it cannot be read as the format.
pub(crate) fn schema_of(
    file: &File,
    store: Option<&Arc<dyn ObjectStore>>,
    format: &Format,
    bytes: &Bytes,
) -> Result<SchemaRef, ReadError> {
    Ok(match format {
        Format::Binary(_) => binary::schema(),
        _ => open_rows(file, store, bytes, MOST_LOOKED_AT)?.schema(),
    })
}
