//! Text into compressed files that every reader takes for one. Owns that nothing of a codec is kept between two groups of lines.

use datafusion::error::Result;
use flate2::{Compress, Compression as Level, Crc, FlushCompress};

use crate::options::Compression;

/// What a gzip file of an unknown time and system begins with.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A last block of deflate with nothing in it.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Bytes of the file for which there is always room.
const ROOM: usize = 256 << 10;

/// Compresses a file, group by group.
pub(super) enum Compressor {
    None,
    Gzip(Gzip),
    /// Each group is a frame with a checksum of its own; frames one after the other are a file.
    Zstd(i32),
}

/// One member, whose blocks end at a byte where a group does, so that the next one needs nothing of those before it.
pub(super) struct Gzip {
    level: Level,
    begun: bool,
    crc: Crc,
}

impl Compressor {
    pub(super) fn new(compression: Compression) -> Self {
        match compression {
            Compression::Gzip(level) => Self::Gzip(Gzip {
                level: Level::new(level),
                begun: false,
                crc: Crc::new(),
            }),
            Compression::Zstd(level) => Self::Zstd(level),
            // No other one is valid for files of text.
            _ => Self::None,
        }
    }

    pub(super) fn shrinks(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Adds `text`, which is empty afterwards, to the file.
    pub(super) fn add(&mut self, text: &mut Vec<u8>, file: &mut Vec<u8>) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        match self {
            Self::None if file.is_empty() => {
                let room = text.capacity().min(text.len() * 2);
                *file = std::mem::replace(text, Vec::with_capacity(room));
                return Ok(());
            }
            Self::None => file.extend_from_slice(text),
            Self::Gzip(gzip) => gzip.add(text, file)?,
            Self::Zstd(level) => {
                let mut codec = zstd::bulk::Compressor::new(*level)?;
                codec.include_checksum(true)?;
                file.extend_from_slice(&codec.compress(text)?);
            }
        }
        text.clear();
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(&self, file: &mut Vec<u8>) {
        if let Self::Gzip(gzip) = self {
            file.extend_from_slice(&LAST_BLOCK);
            file.extend_from_slice(&gzip.crc.sum().to_le_bytes());
            // Of the length, the last 32 bits.
            file.extend_from_slice(&gzip.crc.amount().to_le_bytes());
        }
    }
}

impl Gzip {
    fn add(&mut self, text: &[u8], file: &mut Vec<u8>) -> Result<()> {
        if !self.begun {
            file.extend_from_slice(&GZIP_HEADER);
            self.begun = true;
        }
        self.crc.update(text);
        let mut deflate = Compress::new(self.level, false);
        let mut taken = 0;
        loop {
            file.reserve(ROOM);
            deflate
                .compress_vec(&text[taken..], file, FlushCompress::Sync)
                .map_err(std::io::Error::from)?;
            taken = usize::try_from(deflate.total_in()).unwrap_or(text.len());
            // While there is no room left, there may be more to come, up to the byte at which the blocks end.
            if taken == text.len() && file.len() < file.capacity() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn compressed(compression: Compression, groups: &[&str]) -> Vec<u8> {
        let mut compressor = Compressor::new(compression);
        let mut file = Vec::new();
        for group in groups {
            compressor
                .add(&mut group.as_bytes().to_vec(), &mut file)
                .unwrap();
        }
        compressor.finish(&mut file);
        file
    }

    #[test]
    fn groups_are_one_file_for_every_codec() {
        // What hardly shrinks fills the room, more than once.
        let mut state = 1_u64;
        let long: String = (0..1_500_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                char::from(b' ' + (state >> 58) as u8)
            })
            .collect();
        let groups = ["a,b\n", long.as_str(), "", "the end\n"];
        let plain = groups.concat();
        assert_eq!(
            compressed(Compression::None, &groups),
            plain.as_bytes(),
            "none"
        );
        for level in [0, 1, 6, 9] {
            // A decoder of one member: what is behind it would be left.
            let file = compressed(Compression::Gzip(level), &groups);
            let mut decoder = GzDecoder::new(file.as_slice());
            let mut text = String::new();
            decoder.read_to_string(&mut text).unwrap();
            assert_eq!(text, plain, "gzip({level})");
            assert!(decoder.into_inner().is_empty(), "gzip({level})");
        }
        for level in [1, 3, 19] {
            let file = compressed(Compression::Zstd(level), &groups);
            let text = zstd::decode_all(file.as_slice()).unwrap();
            assert_eq!(text, plain.as_bytes(), "zstd({level})");
        }
    }
}
