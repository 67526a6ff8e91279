//! Formats of text: UTF-8, a row a line, whole groups of lines compressed by themselves. Owns what they share: the buffer, and
//! when it is compressed. What a row looks like is [`csv`]'s and [`json`]'s.
//!
//! Lines are written into one buffer that is compressed when it is full, so an open file holds no codec: hundreds of partitions
//! may be open at once.

mod calendar;

mod compress;
mod csv;
mod json;
mod lines;
mod refusal;
mod scalar;

use std::fmt;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::Result;

use super::{FileEncoder, FileEncoding};
use crate::options::Compression;

use compress::Compressor;
use lines::Lines;

/// Text that is compressed, and given to the storage, at once.
const GROUP_BYTES: usize = 2 << 20;
/// What text is taken to shrink to before any of it was compressed.
const EXPECTED_RATIO: f64 = 0.25;

/// How CSV files are written.
pub(super) fn csv(compression: Compression) -> Box<dyn FileEncoding> {
    Box::new(TextEncoding {
        compression,
        lines: |schema| Box::new(csv::CsvLines::new(schema)),
    })
}

/// How files of JSON lines are written.
pub(super) fn json(compression: Compression) -> Box<dyn FileEncoding> {
    Box::new(TextEncoding {
        compression,
        lines: |schema| Box::new(json::JsonLines::new(schema)),
    })
}

struct TextEncoding {
    compression: Compression,
    lines: fn(&Schema) -> Box<dyn Lines>,
}

impl fmt::Debug for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextEncoding")
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

impl FileEncoding for TextEncoding {
    fn group_limits(&self) -> (usize, usize) {
        // Lines know of no groups: only bytes count.
        (usize::MAX, GROUP_BYTES)
    }

    fn begin(&self, schema: &SchemaRef, _: &RecordBatch, _: usize) -> Result<Box<dyn FileEncoder>> {
        let lines = (self.lines)(schema);
        let mut text = Vec::new();
        lines.begin(&mut text);
        Ok(Box::new(TextEncoder {
            lines,
            text,
            compressor: Compressor::new(self.compression),
            encoded: Vec::new(),
            plain_bytes: 0,
            encoded_bytes: 0,
        }))
    }
}

struct TextEncoder {
    lines: Box<dyn Lines>,
    /// Lines of the group.
    text: Vec<u8>,
    compressor: Compressor,
    /// Bytes of the file that nobody took yet.
    encoded: Vec<u8>,
    plain_bytes: u64,
    encoded_bytes: u64,
}

impl TextEncoder {
    fn expected(&self, text: usize) -> usize {
        if !self.compressor.shrinks() {
            return text;
        }
        let ratio = match self.plain_bytes {
            0 => EXPECTED_RATIO,
            plain => self.encoded_bytes as f64 / plain as f64,
        };
        (text as f64 * ratio) as usize
    }
}

impl FileEncoder for TextEncoder {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.lines.write(rows, &mut self.text)
    }

    fn end_group(&mut self) -> Result<()> {
        let before = self.encoded.len();
        self.plain_bytes += self.text.len() as u64;
        self.compressor.add(&mut self.text, &mut self.encoded)?;
        self.encoded_bytes += (self.encoded.len() - before) as u64;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.end_group()?;
        self.compressor.finish(&mut self.encoded);
        Ok(())
    }

    fn take_encoded(&mut self) -> Result<Vec<u8>> {
        Ok(std::mem::take(&mut self.encoded))
    }

    fn group_bytes(&self) -> usize {
        self.text.len()
    }

    fn file_bytes(&self) -> usize {
        let ended = usize::try_from(self.encoded_bytes).unwrap_or(usize::MAX);
        ended.saturating_add(self.expected(self.text.len()))
    }

    fn memory(&self) -> usize {
        self.text.capacity() + self.encoded.capacity()
    }

    fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }
}
