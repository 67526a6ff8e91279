//! What a format of files has to answer.

use std::fmt;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;

/// How the files of one table are written.
pub(crate) trait FileEncoding: fmt::Debug + Send + Sync {
    /// The rows and the bytes at which a group of rows is ended. What an open file holds is bounded by that.
    fn group_limits(&self) -> (usize, usize);

    /// Begins a file of these columns, which begins with the rows `first` and will have about `group_rows` in a row group.
    fn begin(
        &self,
        schema: &SchemaRef,
        first: &RecordBatch,
        group_rows: usize,
    ) -> Result<Box<dyn FileEncoder>>;
}

/// A file being encoded. The bytes are a function of the calls.
pub(crate) trait FileEncoder: Send {
    /// Adds rows to the row group.
    fn write(&mut self, rows: &RecordBatch) -> Result<()>;

    /// Ends the row group.
    fn end_group(&mut self) -> Result<()>;

    /// Ends the file.
    fn finish(&mut self) -> Result<()>;

    /// The encoded bytes since the last call; only ended row groups have any.
    fn take_encoded(&mut self) -> Result<Vec<u8>>;

    /// About the bytes that the row group would have in the file if it ended now.
    fn group_bytes(&self) -> usize;

    /// The same of the file.
    fn file_bytes(&self) -> usize;

    /// Bytes that are held for the row group.
    fn memory(&self) -> usize;

    /// The bytes of the file before they were compressed, once it has ended.
    fn plain_bytes(&self) -> u64;
}
