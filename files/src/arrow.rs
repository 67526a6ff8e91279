//! Arrow IPC, as files and as streams. Owns that every length in a file is compared with the file before anything is allocated
//! by it; values are Arrow's to decode and to check.
//!
//! A file has the same messages as a stream, one after the other, with a footer behind. They are read in that order, and the
//! footer has to say that all of them were there.
//! Format: <https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc>

use std::io::{self, Read};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamDecoder;
use datafusion::arrow::ipc::{self, Message, MessageHeader, root_as_footer, root_as_message};
use datafusion::object_store::ObjectStore;

use super::bytes::decompressed;
use super::error::ReadError;
use super::format::Bytes;
use super::listing::File;
use super::open::bytes_of;

/// What a file begins and ends with.
const MAGIC: &[u8; 6] = b"ARROW1";
/// What is before the length of a message, since version 0.15 of the format.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Bytes that may be between what a file begins with and its first message.
const MOST_PADDING: u64 = 512;
/// The description of a message may have so many bytes.
const MOST_METADATA: usize = 64 << 20;

/// An Arrow file at work.
pub(crate) struct ArrowFile {
    name: String,
    bytes: Box<dyn Read + Send>,
    /// Bytes that may still come; unknown behind a compression.
    left: Option<u64>,
    decoder: StreamDecoder,
    schema: Option<SchemaRef>,
    is_file: bool,
    batches: usize,
    /// Whether the decoder has the beginning of the next message already.
    continued: bool,
    /// A message may have so many bytes, compressed and not.
    most: usize,
    ended: bool,
}

impl ArrowFile {
    /// Reads the beginning, up to the schema. `size` is that of the bytes, if it is known.
    ///
    /// # Errors
    /// When it is no Arrow file, or the schema has types that no table can have.
    pub(crate) fn open(
        name: &str,
        mut bytes: Box<dyn Read + Send>,
        size: Option<u64>,
        most: usize,
    ) -> Result<Self, ReadError> {
        let mut beginning = [0; 8];
        let is_file = match bytes.read_exact(&mut beginning) {
            Ok(()) => beginning.starts_with(MAGIC),
            Err(error) => return Err(broken(name, &format!("it has no schema ({error})"))),
        };
        let (mut skipped, mut first) = (0, beginning.to_vec());
        if is_file {
            // Writers pad what is before the first message to 8 bytes, or to 64.
            first = vec![0; 4];
            while first == [0; 4] && skipped < MOST_PADDING {
                let read = bytes.read_exact(&mut first);
                read.map_err(|_| broken(name, "it is cut short"))?;
                skipped += 4;
            }
            skipped += 4;
        }
        let whole = Box::new(io::Cursor::new(first).chain(bytes));
        let mut file = Self {
            name: name.to_owned(),
            bytes: whole,
            left: size.map(|size| size.saturating_sub(skipped)),
            decoder: StreamDecoder::new(),
            schema: None,
            is_file,
            batches: 0,
            continued: false,
            most,
            ended: false,
        };
        while file.schema.is_none() {
            if file.message()?.is_some() {
                return Err(broken(name, "rows come before the schema"));
            }
            if file.ended {
                return Err(broken(name, "it has no schema"));
            }
        }
        Ok(file)
    }

    /// The columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema
            .clone()
            .unwrap_or_else(|| Arc::new(datafusion::arrow::datatypes::Schema::empty()))
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// When the file is cut short, or a message is not what it says.
    pub(crate) fn next_rows(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        while !self.ended {
            if let Some(rows) = self.message()? {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    fn broken(&self, problem: &str) -> ReadError {
        broken(&self.name, problem)
    }

    /// Takes bytes that have to be there.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, ReadError> {
        let beyond = self.left.is_some_and(|left| count as u64 > left);
        let cut = || broken(&self.name, "it is cut short");
        if beyond {
            return Err(cut());
        }
        let mut taken = Vec::new();
        let read = (&mut self.bytes).take(count as u64).read_to_end(&mut taken);
        read.map_err(|error| broken(&self.name, &error.to_string()))?;
        if taken.len() < count {
            return Err(broken(&self.name, "it is cut short"));
        }
        self.left = self.left.map(|left| left.saturating_sub(count as u64));
        Ok(taken)
    }

    /// The length of the next message's description; `None` at the end.
    fn length(&mut self) -> Result<Option<([u8; 4], usize)>, ReadError> {
        if !self.is_file && self.left == Some(0) {
            return Ok(None);
        }
        let mut word = [0; 4];
        if let Err(error) = self.bytes.read_exact(&mut word) {
            return match error.kind() {
                // A stream may end without saying so.
                io::ErrorKind::UnexpectedEof if !self.is_file => Ok(None),
                _ => Err(self.broken("it is cut short")),
            };
        }
        self.left = self.left.map(|left| left.saturating_sub(4));
        if word == CONTINUATION {
            let length = self.take(4)?;
            word.copy_from_slice(&length);
        }
        let length = i32::from_le_bytes(word);
        match usize::try_from(length) {
            Ok(0) => Ok(None),
            Ok(length) if length <= MOST_METADATA => Ok(Some((word, length))),
            _ => Err(self.broken("the length of a message is not possible")),
        }
    }

    /// Reads one message.
    fn message(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        let Some((word, length)) = self.length()? else {
            self.end()?;
            return Ok(None);
        };
        let metadata = self.take(length)?;
        let message = root_as_message(&metadata)
            .map_err(|_| self.broken("a message cannot be understood"))?;
        let body = usize::try_from(message.bodyLength())
            .map_err(|_| self.broken("the length of a message is not possible"))?;
        if body > self.most {
            let most = self.most >> 20;
            return Err(self
                .broken(&format!("rows that are stored together have {} MiB, and {most} MiB are the most in the memory of this run", body >> 20))
                .of_memory());
        }
        if self.left.is_some_and(|left| body as u64 > left) {
            return Err(self.broken("it is cut short"));
        }
        check_buffers(&message, body).map_err(|problem| self.broken(problem))?;
        if let (None, Some(schema)) = (&self.schema, message.header_as_schema()) {
            let schema = ipc::convert::fb_to_schema(schema);
            super::types::check_schema(&self.name, &schema)?;
            self.schema = Some(Arc::new(schema));
        }
        let is_rows = message.header_type() == MessageHeader::RecordBatch;
        let body = self.take(body)?;
        if is_rows {
            self.batches += 1;
            self.check_compressed(&metadata, &body)?;
        }
        let mut whole = Vec::with_capacity(12 + metadata.len() + body.len());
        if !std::mem::take(&mut self.continued) {
            whole.extend_from_slice(&CONTINUATION);
        }
        whole.extend_from_slice(&word);
        whole.extend_from_slice(&metadata);
        whole.extend_from_slice(&body);
        if body.is_empty() {
            // The decoder looks at what has no body when more comes.
            whole.extend_from_slice(&CONTINUATION);
            self.continued = true;
        }
        drop(body);
        let (mut whole, mut rows) = (Buffer::from_vec(whole), None);
        while !whole.is_empty() {
            let decoded = self.decoder.decode(&mut whole);
            let decoded = decoded.map_err(|error| broken(&self.name, &error.to_string()))?;
            rows = rows.or(decoded);
        }
        Ok(rows)
    }

    /// What compressed buffers say that they become is no more than a message may have.
    fn check_compressed(&self, metadata: &[u8], body: &[u8]) -> Result<(), ReadError> {
        let message =
            root_as_message(metadata).map_err(|_| self.broken("a message cannot be understood"))?;
        let Some(batch) = message.header_as_record_batch() else {
            return Ok(());
        };
        let (Some(_), Some(buffers)) = (batch.compression(), batch.buffers()) else {
            return Ok(());
        };
        let mut sum: u64 = 0;
        for buffer in buffers {
            let start = usize::try_from(buffer.offset()).unwrap_or(usize::MAX);
            let Some(length) = body.get(start..).and_then(|rest| rest.first_chunk::<8>()) else {
                continue;
            };
            if buffer.length() >= 8 {
                sum = sum.saturating_add(u64::try_from(i64::from_le_bytes(*length)).unwrap_or(0));
            }
        }
        match sum > self.most as u64 {
            true => Err(self
                .broken(&format!("rows that are stored together become {} MiB, and {} MiB are the most in the memory of this run", sum >> 20, self.most >> 20))
                .of_memory()),
            false => Ok(()),
        }
    }

    /// At the end of the messages; a file has a footer that counts them.
    fn end(&mut self) -> Result<(), ReadError> {
        self.ended = true;
        if !self.is_file {
            return Ok(());
        }
        let mut footer = Vec::new();
        let read = (&mut self.bytes)
            .take(MOST_METADATA as u64)
            .read_to_end(&mut footer);
        read.map_err(|error| broken(&self.name, &error.to_string()))?;
        let not_whole = || broken(&self.name, "it is cut short: the footer is missing");
        let before = footer.strip_suffix(MAGIC).ok_or_else(not_whole)?;
        let (before, length) = before.split_last_chunk::<4>().ok_or_else(not_whole)?;
        let length = usize::try_from(i32::from_le_bytes(*length)).map_err(|_| not_whole())?;
        let start = before.len().checked_sub(length).ok_or_else(not_whole)?;
        let footer = root_as_footer(&before[start..])
            .map_err(|_| self.broken("its footer cannot be understood"))?;
        let said = footer.recordBatches().map_or(0, |batches| batches.len());
        match said == self.batches {
            true => Ok(()),
            false => Err(self.broken(&format!(
                "its footer says {said} batches, and {} are there",
                self.batches
            ))),
        }
    }
}

/// Opens a file of rows. `store` is that of a file that is not on this machine.
///
/// # Errors
/// As [`ArrowFile::open`].
pub(crate) fn open_rows(
    file: &File,
    store: Option<&Arc<dyn ObjectStore>>,
    bytes: &Bytes,
    most: usize,
) -> Result<ArrowFile, ReadError> {
    let unreadable =
        |error: io::Error| ReadError::of_file(&file.name, format!("cannot be read: {error}"));
    let raw = bytes_of(file, store, 0).map_err(unreadable)?;
    let (inner, compression) = decompressed(raw, bytes.compression).map_err(unreadable)?;
    let size = file.length().filter(|_| compression.is_none());
    ArrowFile::open(&file.name, inner, size, most)
}

fn broken(name: &str, problem: &str) -> ReadError {
    let line = problem.lines().next().unwrap_or_default();
    ReadError::of_file(name, format!("it is no whole Arrow file: {line}"))
}

/// Every buffer is within the body of its message, and no node has less than no rows.
fn check_buffers(message: &Message<'_>, body: usize) -> Result<(), &'static str> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message
            .header_as_dictionary_batch()
            .and_then(|dictionary| dictionary.data()),
        MessageHeader::Schema => return Ok(()),
        _ => return Err("a message is of a kind that tables do not have"),
    };
    let batch: ipc::RecordBatch<'_> = batch.ok_or("a message cannot be understood")?;
    for buffer in batch.buffers().into_iter().flatten() {
        let range = usize::try_from(buffer.offset())
            .ok()
            .zip(usize::try_from(buffer.length()).ok());
        let end = range.and_then(|(offset, length)| offset.checked_add(length));
        if end.is_none_or(|end| end > body) {
            return Err("a buffer is not within its message");
        }
    }
    let rows = batch.length();
    let is_possible = |rows: i64| (0..=i64::from(i32::MAX)).contains(&rows);
    if !is_possible(rows) {
        return Err("the number of rows is not possible");
    }
    // Without a bitmap, and in columns of NULL, nothing else says how many there are.
    for node in batch.nodes().into_iter().flatten() {
        if !is_possible(node.null_count()) || node.length() < 0 {
            return Err("the number of rows is not possible");
        }
    }
    Ok(())
}
