//! Parquet, with the writer of the `parquet` crate.

mod properties;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::parquet::arrow::ArrowWriter;

use super::{FileEncoder, FileEncoding};
use crate::options::TableOptions;

use properties::ParquetEncoding;

/// How files of a table with these options are written.
pub(super) fn encoding(options: &TableOptions) -> Box<dyn FileEncoding> {
    Box::new(ParquetEncoding::new(options))
}

impl FileEncoding for ParquetEncoding {
    fn group_limits(&self) -> (usize, usize) {
        self.row_group()
    }

    fn begin(
        &self,
        schema: &SchemaRef,
        first: &RecordBatch,
        group_rows: usize,
    ) -> Result<Box<dyn FileEncoder>> {
        let properties = self.properties(first, group_rows)?;
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties))?;
        Ok(Box::new(ParquetEncoder {
            writer,
            codecs_bytes: schema.fields().len() * self.codec_bytes(),
            plain_bytes: 0,
        }))
    }
}

struct ParquetEncoder {
    writer: ArrowWriter<Vec<u8>>,
    /// What the codecs of the columns hold beside what the writer reports.
    codecs_bytes: usize,
    /// Of all row groups, once the file has ended.
    plain_bytes: u64,
}

impl FileEncoder for ParquetEncoder {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        Ok(self.writer.write(rows)?)
    }

    fn end_group(&mut self) -> Result<()> {
        Ok(self.writer.flush()?)
    }

    fn finish(&mut self) -> Result<()> {
        let metadata = self.writer.finish()?;
        let groups = metadata.row_groups().iter();
        let sizes = groups.map(|group| u64::try_from(group.total_byte_size()).unwrap_or_default());
        self.plain_bytes = sizes.sum();
        Ok(())
    }

    fn take_encoded(&mut self) -> Result<Vec<u8>> {
        self.writer.sync()?;
        // The crate warns of writing to the inner buffer; emptying it leaves its own count of bytes as it is.
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    fn group_bytes(&self) -> usize {
        self.writer.in_progress_size()
    }

    fn file_bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    fn memory(&self) -> usize {
        self.writer.memory_size() + self.codecs_bytes
    }

    fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }
}
