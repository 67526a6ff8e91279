//! Avro object container files. Owns the file: its header, its blocks of rows, how a block is compressed. What the schema says is
//! [`schema`]'s, what a value looks like [`values`]'.
//!
//! The writer of the `arrow-avro` crate puts a random marker between blocks; here it is a function of the schema, so that equal
//! rows are equal bytes.

mod schema;
mod values;

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

use super::{FileEncoder, FileEncoding};
use crate::options::Compression;

use values::{Row, long};

/// What a file begins with.
const MAGIC: &[u8] = b"Obj\x01";
/// Bytes of a block before it is compressed.
const BLOCK_BYTES: usize = 1 << 20;
/// What a block is taken to shrink to before any of it was compressed.
const EXPECTED_RATIO: f64 = 0.5;

/// How files are written that are compressed so.
pub(super) fn encoding(compression: Compression) -> Box<dyn FileEncoding> {
    Box::new(AvroEncoding { compression })
}

#[derive(Debug)]
struct AvroEncoding {
    compression: Compression,
}

impl AvroEncoding {
    /// Its name in the file.
    fn codec(&self) -> &'static str {
        match self.compression {
            Compression::Deflate(_) => "deflate",
            Compression::Snappy => "snappy",
            Compression::Zstd(_) => "zstandard",
            // No other one is valid for these files.
            _ => "null",
        }
    }
}

impl FileEncoding for AvroEncoding {
    fn group_limits(&self) -> (usize, usize) {
        (usize::MAX, BLOCK_BYTES)
    }

    fn begin(&self, schema: &SchemaRef, _: &RecordBatch, _: usize) -> Result<Box<dyn FileEncoder>> {
        let schema = schema::of(schema)?.to_string();
        let mut sync = [0; 16];
        sync.copy_from_slice(&Sha256::digest(&schema)[..16]);
        let mut header = MAGIC.to_vec();
        let entries = [
            ("avro.schema", schema.as_str()),
            ("avro.codec", self.codec()),
        ];
        long(entries.len() as i64, &mut header);
        for text in entries.iter().flat_map(|(key, value)| [key, value]) {
            long(text.len() as i64, &mut header);
            header.extend_from_slice(text.as_bytes());
        }
        header.push(0);
        header.extend_from_slice(&sync);
        Ok(Box::new(AvroEncoder {
            compression: self.compression,
            sync,
            block: Vec::new(),
            rows: 0,
            encoded_bytes: header.len() as u64,
            encoded: header,
            plain_bytes: 0,
        }))
    }
}

struct AvroEncoder {
    compression: Compression,
    sync: [u8; 16],
    /// Rows of the block, and how many there are.
    block: Vec<u8>,
    rows: i64,
    /// Bytes of the file that nobody took yet.
    encoded: Vec<u8>,
    plain_bytes: u64,
    encoded_bytes: u64,
}

impl FileEncoder for AvroEncoder {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let row = Row::of(rows)?;
        for at in 0..rows.num_rows() {
            row.write(at, &mut self.block)?;
        }
        self.rows += rows.num_rows() as i64;
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let before = self.encoded.len();
        let packed = packed(self.compression, &self.block)?;
        let content = packed.as_ref().unwrap_or(&self.block);
        long(self.rows, &mut self.encoded);
        long(content.len() as i64, &mut self.encoded);
        self.encoded.extend_from_slice(content);
        self.encoded.extend_from_slice(&self.sync);
        self.plain_bytes += self.block.len() as u64;
        self.encoded_bytes += (self.encoded.len() - before) as u64;
        self.block.clear();
        self.rows = 0;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.end_group()
    }

    fn take_encoded(&mut self) -> Result<Vec<u8>> {
        Ok(std::mem::take(&mut self.encoded))
    }

    fn group_bytes(&self) -> usize {
        self.block.len()
    }

    fn file_bytes(&self) -> usize {
        let ratio = match (self.compression, self.plain_bytes) {
            (Compression::None, _) => 1.0,
            (_, 0) => EXPECTED_RATIO,
            (_, plain) => self.encoded_bytes as f64 / plain as f64,
        };
        let open = (self.block.len() as f64 * ratio) as usize;
        usize::try_from(self.encoded_bytes)
            .unwrap_or(usize::MAX)
            .saturating_add(open)
    }

    fn memory(&self) -> usize {
        self.block.capacity() + self.encoded.capacity()
    }

    fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }
}

/// A compressed block; `None` if it stays as it is.
fn packed(compression: Compression, block: &[u8]) -> Result<Option<Vec<u8>>> {
    Ok(Some(match compression {
        Compression::Deflate(level) => {
            let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
            encoder.write_all(block)?;
            encoder.finish()?
        }
        Compression::Zstd(level) => zstd::bulk::compress(block, level)?,
        Compression::Snappy => {
            let mut packed = snap::raw::Encoder::new()
                .compress_vec(block)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            // Avro's snappy has a checksum of what was compressed behind it.
            let mut crc = flate2::Crc::new();
            crc.update(block);
            packed.extend_from_slice(&crc.sum().to_be_bytes());
            packed
        }
        _ => return Ok(None),
    }))
}
