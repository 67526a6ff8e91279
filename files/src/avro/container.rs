//! The container: a header with the schema and the codec, then blocks. Owns that it is whole: a marker stands behind every block,
//! and nothing behind the last one.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use datafusion::object_store::ObjectStore;

use super::block::{Block, Codec, too_large};
use super::schema::Schema;
use crate::bytes::decompressed;
use crate::error::ReadError;
use crate::format::Bytes;
use crate::listing::File;
use crate::open::bytes_of;

/// What a file begins with.
const MAGIC: [u8; 4] = *b"Obj\x01";
/// What is said in a header may have so many bytes.
const MOST_METADATA: u64 = 64 << 20;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// Keys and values.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A file at work.
pub(crate) struct AvroFile {
    name: String,
    bytes: BufReader<Box<dyn Read + Send>>,
    /// Bytes that may still come; unknown behind a compression.
    left: Option<u64>,
    schema: Arc<Schema>,
    codec: Codec,
    /// What stands behind every block.
    marker: [u8; 16],
    /// The number of the next record, from 1.
    next: u64,
    /// A block may have so many bytes.
    most: usize,
}

impl AvroFile {
    /// Opens a file. `store` is that of a file that is not on this machine.
    ///
    /// # Errors
    /// When it is no Avro file.
    pub(crate) fn open(
        file: &File,
        store: Option<&Arc<dyn ObjectStore>>,
        bytes: &Bytes,
        most: usize,
    ) -> Result<Self, ReadError> {
        let unreadable =
            |error: io::Error| ReadError::of_file(&file.name, format!("cannot be read: {error}"));
        let raw = bytes_of(file, store, 0).map_err(unreadable)?;
        let (inner, compression) = decompressed(raw, bytes.compression).map_err(unreadable)?;
        let size = file.length().filter(|_| compression.is_none());
        Self::read(&file.name, inner, size, most)
    }

    /// Reads the header. `size` is that of the bytes, if it is known.
    fn read(
        name: &str,
        bytes: Box<dyn Read + Send>,
        size: Option<u64>,
        most: usize,
    ) -> Result<Self, ReadError> {
        let mut file = Self {
            name: name.to_owned(),
            bytes: BufReader::with_capacity(BUFFER, bytes),
            left: size,
            schema: Arc::new(Schema::of_nothing()),
            codec: Codec::Null,
            marker: [0; 16],
            next: 1,
            most,
        };
        if file.array::<4>()? != MAGIC {
            return Err(file.broken("it does not begin as one"));
        }
        let metadata = file.metadata()?;
        let find = |key: &str| {
            let found = metadata.iter().find(|(known, _)| known == key.as_bytes());
            found.map(|(_, value)| value.as_slice())
        };
        let schema = find("avro.schema").ok_or_else(|| file.broken("it has no schema"))?;
        let schema = Schema::parse(schema).map_err(|problem| file.broken(&problem))?;
        let codec = find("avro.codec").unwrap_or(b"null");
        let codec = Codec::named(&String::from_utf8_lossy(codec));
        let codec = codec.map_err(|problem| ReadError::of_file(name, problem))?;
        if schema.records().is_none() {
            return Err(ReadError::of_file(
                name,
                "its schema is of values that are no records, and rows are records",
            ));
        }
        file.schema = Arc::new(schema);
        file.codec = codec;
        file.marker = file.array()?;
        Ok(file)
    }

    /// Its schema.
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The next block that has records; `None` at the end.
    ///
    /// # Errors
    /// When the file is cut short, or a block is not what it says.
    pub(crate) fn next_block(&mut self) -> Result<Option<Block>, ReadError> {
        while !self.is_at_end()? {
            let count = self.number()?;
            let count = u64::try_from(count)
                .map_err(|_| self.broken("the number of a block's records is below zero"))?;
            let length = self.number()?;
            let length = usize::try_from(length)
                .map_err(|_| self.broken("the length of a block is below zero"))?;
            if self.left.is_some_and(|left| length as u64 > left) {
                return Err(self.cut());
            }
            if length > self.most {
                return Err(too_large(&self.name, self.most));
            }
            let bytes = self.take(length)?;
            if self.array::<16>()? != self.marker {
                return Err(self.broken("the marker behind a block is missing"));
            }
            let first = self.next;
            self.next = first.saturating_add(count);
            if count > 0 {
                return Ok(Some(Block {
                    codec: self.codec,
                    first,
                    count,
                    bytes,
                    most: self.most,
                }));
            }
        }
        Ok(None)
    }

    fn broken(&self, problem: &str) -> ReadError {
        ReadError::of_file(&self.name, format!("it is no whole Avro file: {problem}"))
    }

    fn cut(&self) -> ReadError {
        self.broken("it is cut short")
    }

    /// The error of a read.
    fn unread(&self, error: &io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut(),
            _ => self.broken(&error.to_string()),
        }
    }

    fn is_at_end(&mut self) -> Result<bool, ReadError> {
        use std::io::BufRead;
        match self.bytes.fill_buf() {
            Ok(buffer) => Ok(buffer.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.is_at_end(),
            Err(error) => Err(self.unread(&error)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut array = [0; N];
        let read = self.bytes.read_exact(&mut array);
        read.map_err(|error| self.unread(&error))?;
        self.left = self.left.map(|left| left.saturating_sub(N as u64));
        Ok(array)
    }

    /// Takes bytes that have to be there.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, ReadError> {
        // Where it is not known how many there are, memory grows with those that come.
        let mut taken = match self.left {
            Some(left) if count as u64 > left => return Err(self.cut()),
            Some(_) => Vec::with_capacity(count),
            None => Vec::new(),
        };
        let read = (&mut self.bytes).take(count as u64).read_to_end(&mut taken);
        read.map_err(|error| self.unread(&error))?;
        if taken.len() < count {
            return Err(self.cut());
        }
        self.left = self.left.map(|left| left.saturating_sub(count as u64));
        Ok(taken)
    }

    /// A number, as records have them.
    fn number(&mut self) -> Result<i64, ReadError> {
        let mut bytes = Vec::with_capacity(10);
        loop {
            let [byte] = self.array()?;
            bytes.push(byte);
            if byte & 0x80 == 0 || bytes.len() == 10 {
                let number = super::bytes::Reader::new(&bytes, 0, 0).long();
                return number.map_err(|problem| self.broken(&problem.problem));
            }
        }
    }

    /// What is said in the header: keys and values.
    fn metadata(&mut self) -> Result<Pairs, ReadError> {
        let (mut metadata, mut sum) = (Vec::new(), 0_u64);
        loop {
            let count = self.number()?;
            if count == 0 {
                return Ok(metadata);
            }
            if count < 0 {
                self.number()?;
            }
            for _ in 0..count.unsigned_abs() {
                let mut pair = [Vec::new(), Vec::new()];
                for part in &mut pair {
                    let length = u64::try_from(self.number()?)
                        .map_err(|_| self.broken("a length in its header is below zero"))?;
                    // Besides its bytes, a value takes memory for where they are.
                    sum = sum.saturating_add(length).saturating_add(32);
                    if sum > MOST_METADATA {
                        return Err(self.broken("its header is too long"));
                    }
                    *part = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                }
                let [key, value] = pair;
                metadata.push((key, value));
            }
        }
    }
}
