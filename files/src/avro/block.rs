//! The blocks of a file: a number of records, compressed or not. Owns the codecs, and that a block becomes no larger than what
//! there is memory for.

use std::io::{self, Read};

use crate::error::ReadError;

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Not at all.
    Null,
    /// Deflate, without a frame.
    Deflate,
    /// Snappy, with a checksum behind.
    Snappy,
    /// Zstandard.
    Zstandard,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

impl Codec {
    const NAMES: [(&'static str, Self); 6] = [
        ("null", Self::Null),
        ("deflate", Self::Deflate),
        ("snappy", Self::Snappy),
        ("zstandard", Self::Zstandard),
        ("bzip2", Self::Bzip2),
        ("xz", Self::Xz),
    ];

    /// The codec of that name.
    ///
    /// # Errors
    /// In words, when there is none.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, codec)| *codec).ok_or_else(|| {
            let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "it is compressed with `{name}`, which is none of {}",
                names.join(", ")
            )
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Block {
    /// How its bytes are compressed.
    pub codec: Codec,
    /// The number of its first record, from 1.
    pub first: u64,
    /// Records.
    pub count: u64,
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// Bytes that they may have at most, and the values in them.
    pub most: usize,
}

impl Block {
    /// The block with its bytes as they were before they were compressed.
    ///
    /// # Errors
    /// When they cannot be, or would be too many.
    pub(crate) fn unpacked(self, file: &str) -> Result<Self, ReadError> {
        let unpacked = unpacked(self.codec, &self.bytes, self.most);
        let bytes = match unpacked {
            None => self.bytes,
            Some(Ok(bytes)) if bytes.len() <= self.most => bytes,
            Some(Ok(_)) => return Err(too_large(file, self.most)),
            Some(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(too_large(file, self.most));
            }
            Some(Err(error)) => {
                let problem = format!(
                    "it is no whole Avro file: what follows record {} cannot be decompressed: {error}",
                    self.first - 1
                );
                return Err(ReadError::of_file(file, problem));
            }
        };
        Ok(Self {
            codec: Codec::Null,
            bytes,
            ..self
        })
    }
}

/// The error of a block that is larger than what there is memory for.
pub(crate) fn too_large(file: &str, most: usize) -> ReadError {
    let most = most >> 20;
    let problem = format!(
        "records that are stored together have more than {most} MiB, which is the most in the memory of this run"
    );
    ReadError::of_file(file, problem).of_memory()
}

/// The bytes, a few more than `most` of them at most; `None` if they are not compressed.
fn unpacked(codec: Codec, bytes: &[u8], most: usize) -> Option<io::Result<Vec<u8>>> {
    let reader: Box<dyn Read + '_> = match codec {
        Codec::Null => return None,
        Codec::Snappy => return Some(snappy(bytes, most)),
        Codec::Deflate => Box::new(flate2::read::DeflateDecoder::new(bytes)),
        Codec::Zstandard => match zstd::stream::read::Decoder::with_buffer(bytes) {
            Ok(decoder) => Box::new(decoder),
            Err(error) => return Some(Err(error)),
        },
        Codec::Bzip2 => Box::new(bzip2::read::BzDecoder::new(bytes)),
        Codec::Xz => Box::new(liblzma::read::XzDecoder::new(bytes)),
    };
    let mut unpacked = Vec::new();
    let read = reader.take(most as u64 + 1).read_to_end(&mut unpacked);
    Some(read.map(|_| unpacked))
}

/// Bytes that a byte of Snappy becomes at most, about.
const SNAPPY_TIMES: usize = 64;

fn snappy(bytes: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let invalid = |problem: &'static str| io::Error::new(io::ErrorKind::InvalidData, problem);
    let (packed, checksum) = bytes
        .split_last_chunk::<4>()
        .ok_or_else(|| invalid("the checksum is missing"))?;
    let length = snap::raw::decompress_len(packed).map_err(io::Error::other)?;
    if length > packed.len().saturating_mul(SNAPPY_TIMES) {
        return Err(invalid("it says that it is longer than it can be"));
    }
    if length > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut decoder = snap::raw::Decoder::new();
    let unpacked = decoder.decompress_vec(packed).map_err(io::Error::other)?;
    let mut sum = flate2::Crc::new();
    sum.update(&unpacked);
    match sum.sum() == u32::from_be_bytes(*checksum) {
        true => Ok(unpacked),
        false => Err(invalid("its checksum is of other bytes")),
    }
}
