//! Files as values: a row for each, or for each of its chunks. Owns the columns of such a table, and that a value has no more
//! bytes than there is memory for.

use std::io::{self, Read};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use datafusion::arrow::buffer::{Buffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::object_store::ObjectStore;

use super::error::ReadError;
use super::format::Binary;
use super::listing::File;
use super::open::bytes_of;

/// The column with the bytes.
pub(crate) const CONTENT: &str = "content";

/// The columns: which file, and what is in it.
pub(crate) fn schema() -> SchemaRef {
    let modified = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("modified", modified, true),
        Field::new("length", DataType::Int64, false),
        Field::new("chunk", DataType::Int64, false),
        Field::new(CONTENT, DataType::Binary, true),
    ]))
}

/// A file at work.
pub(crate) struct BinaryFile {
    file: File,
    /// Its bytes, if anybody wants them.
    bytes: Option<Box<dyn Read + Send>>,
    /// Bytes of a value at most.
    chunk_bytes: u64,
    chunk: u64,
    ended: bool,
}

impl BinaryFile {
    /// Opens a file. A value has `most` bytes at most.
    ///
    /// # Errors
    /// When it cannot be opened, or a value would have more bytes.
    pub(crate) fn open(
        file: &File,
        store: Option<&Arc<dyn ObjectStore>>,
        binary: &Binary,
        most: usize,
    ) -> Result<Self, ReadError> {
        if file.length().is_none() {
            return Err(ReadError::of_file(
                &file.name,
                "the server does not say how long it is, which its row says",
            )
            .with_help("read it as TEXT, or from where it has a length"));
        }
        let chunk_bytes = binary.chunk_bytes.unwrap_or(file.size.max(1));
        let longest = chunk_bytes.min(file.size);
        if binary.with_content && longest > most as u64 {
            let most = most >> 20;
            return Err(ReadError::of_file(
                &file.name,
                format!("a value of {longest} bytes is longer than {most} MiB, which is the most that one may have in the memory of this run"),
            )
            .of_memory()
            .with_help("read it in pieces with the option `chunk_bytes '1MiB'`, or give more memory with `--memory`"));
        }
        let bytes = match binary.with_content {
            true => Some(bytes_of(file, store, 0).map_err(|error| unreadable(file, &error))?),
            false => None,
        };
        Ok(Self {
            file: file.clone(),
            bytes,
            chunk_bytes,
            chunk: 0,
            ended: false,
        })
    }

    /// The next chunk; `None` at the end. A file without bytes is one chunk.
    ///
    /// # Errors
    /// When the file cannot be read, or has not the bytes that it had when it was listed.
    pub(crate) fn next_rows(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        let from = self.chunk * self.chunk_bytes;
        let length = self.chunk_bytes.min(self.file.size - from);
        self.ended = from + length == self.file.size;
        let content = self.content(length)?;
        let row = self.row(content);
        let row = row.map_err(|error| ReadError::of_file(&self.file.name, error.to_string()))?;
        self.chunk += 1;
        Ok(Some(row))
    }

    fn content(&mut self, length: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(bytes) = &mut self.bytes else {
            return Ok(None);
        };
        // A byte more at the end shows that the file has grown.
        let wanted = length + u64::from(self.ended);
        let mut content = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
        let read = bytes.take(wanted).read_to_end(&mut content);
        read.map_err(|error| unreadable(&self.file, &error))?;
        match content.len() as u64 == length {
            true => Ok(Some(content)),
            false => Err(ReadError::of_file(
                &self.file.name,
                format!(
                    "it had {} bytes when it was listed, and has others now",
                    self.file.size
                ),
            )
            .with_help("read it again when nobody writes it")),
        }
    }

    fn row(&self, content: Option<Vec<u8>>) -> Result<RecordBatch, ArrowError> {
        let modified = (self.file.modified != 0).then_some(self.file.modified);
        let content = match content {
            Some(content) => {
                let offsets = OffsetBuffer::from_lengths([content.len()]);
                BinaryArray::try_new(offsets, Buffer::from_vec(content), None)?
            }
            None => BinaryArray::new_null(1),
        };
        let number = |value: u64| Int64Array::from(vec![i64::try_from(value).unwrap_or(i64::MAX)]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![self.file.name.as_str()])),
            Arc::new(TimestampNanosecondArray::from(vec![modified]).with_timezone("UTC")),
            Arc::new(number(self.file.size)),
            Arc::new(number(self.chunk)),
            Arc::new(content),
        ];
        RecordBatch::try_new(schema(), columns)
    }
}

fn unreadable(file: &File, error: &io::Error) -> ReadError {
    ReadError::of_file(&file.name, format!("cannot be read: {error}"))
}
