//! What a format of text has to answer.

use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;

/// Writes rows as lines.
pub(super) trait Lines: Send {
    /// What a file begins with.
    fn begin(&self, text: &mut Vec<u8>);

    /// Adds a line for each row.
    fn write(&self, rows: &RecordBatch, text: &mut Vec<u8>) -> Result<()>;
}
