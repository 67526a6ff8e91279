//! The bytes of a file as text: where they are, what they are compressed with and how they are encoded. Owns that compression
//! and byte order marks are seen in the bytes, whatever the file is called, and that nothing is replaced on the way to UTF-8.

use std::io::{self, BufReader, Read};

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use serde::{Deserialize, Serialize};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
    /// bzip2, of any number of streams.
    Bzip2,
    /// xz, of any number of streams.
    Xz,
}

impl Compression {
    /// The compressions that there are, by the names that a definition has for them.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("gzip", Self::Gzip),
        ("zstd", Self::Zstd),
        ("bzip2", Self::Bzip2),
        ("xz", Self::Xz),
    ];

    /// What begins with these bytes.
    pub fn of(beginning: &[u8]) -> Option<Self> {
        match beginning {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    /// Suffixes of file names that say so.
    pub const SUFFIXES: [&'static str; 6] = ["gz", "gzip", "zst", "zstd", "bz2", "xz"];

    fn reader(self, bytes: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes)?),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(bytes)),
            Self::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(bytes)),
        })
    }
}

/// A file that is being read as text.
pub(crate) struct Text {
    bytes: Box<dyn Read + Send>,
    /// Bytes that were read and not yet given.
    ahead: Vec<u8>,
    decoder: Option<encoding_rs::Decoder>,
    ended: bool,
    /// Bytes of the mark before its text, if the text is as it stands in the file.
    pub mark_bytes: u64,
    /// What it is compressed with.
    pub compression: Option<Compression>,
    /// How it is encoded.
    pub encoding: &'static Encoding,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text")
            .field("compression", &self.compression)
            .field("encoding", &self.encoding.name())
            .finish_non_exhaustive()
    }
}

/// The encoding that a definition names.
pub fn encoding(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label_no_replacement(label.as_bytes())
}

impl Text {
    /// Of a file. What is declared wins over what is seen; a declared compression that the bytes do not have is an error when
    /// they are read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn open(
        bytes: Box<dyn Read + Send>,
        declared_compression: Option<Option<Compression>>,
        declared_encoding: Option<&'static Encoding>,
    ) -> io::Result<Self> {
        let (mut bytes, compression) = decompressed(bytes, declared_compression)?;
        let mut ahead = beginning(&mut bytes)?;
        let (seen, mark) = match ahead.as_slice() {
            [0xef, 0xbb, 0xbf, ..] => (Some(UTF_8), 3),
            [0xff, 0xfe, ..] => (Some(UTF_16LE), 2),
            [0xfe, 0xff, ..] => (Some(UTF_16BE), 2),
            _ => (None, 0),
        };
        let encoding = declared_encoding.or(seen).unwrap_or(UTF_8);
        if seen == Some(encoding) {
            ahead.drain(..mark);
        }
        let is_marked = seen == Some(encoding) && encoding == UTF_8;
        let decoder = (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling());
        Ok(Self {
            bytes,
            ahead,
            decoder,
            ended: false,
            mark_bytes: if is_marked { mark as u64 } else { 0 },
            compression,
            encoding,
        })
    }

    /// Of the middle of a file that is UTF-8 and not compressed.
    pub(crate) fn plain(bytes: Box<dyn Read + Send>) -> Self {
        Self {
            bytes,
            ahead: Vec::new(),
            decoder: None,
            ended: false,
            mark_bytes: 0,
            compression: None,
            encoding: UTF_8,
        }
    }

    /// Adds up to `most` bytes of the file, more or less, to `text`, and tells whether there may be more. What is added is
    /// UTF-8 if the file is of another encoding; bytes of a file that is UTF-8 are given as they are, unchecked.
    ///
    /// # Errors
    /// When the file cannot be read, or has bytes that its encoding does not have.
    pub(crate) fn read(&mut self, text: &mut Vec<u8>, most: usize) -> io::Result<bool> {
        let Some(decoder) = &mut self.decoder else {
            text.append(&mut self.ahead);
            return fill(&mut self.bytes, text, most);
        };
        let more = fill(&mut self.bytes, &mut self.ahead, most)?;
        if self.ended {
            return Ok(false);
        }
        self.ended = !more;
        let mut from = 0;
        loop {
            let source = &self.ahead[from..];
            let room = decoder
                .max_utf8_buffer_length_without_replacement(source.len())
                .unwrap_or(most);
            let start = text.len();
            text.resize(start + room, 0);
            let (result, read, written) =
                decoder.decode_to_utf8_without_replacement(source, &mut text[start..], !more);
            text.truncate(start + written);
            from += read;
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    let name = self.encoding.name();
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("a byte sequence is no {name}"),
                    ));
                }
            }
        }
        self.ahead.clear();
        Ok(more)
    }
}

/// What is in a file, behind its compression. What is declared wins over what is seen.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn decompressed(
    mut bytes: Box<dyn Read + Send>,
    declared: Option<Option<Compression>>,
) -> io::Result<(Box<dyn Read + Send>, Option<Compression>)> {
    let beginning = beginning(&mut bytes)?;
    let compression = declared.unwrap_or_else(|| Compression::of(&beginning));
    let whole = io::Cursor::new(beginning).chain(bytes);
    let bytes: Box<dyn Read + Send> = match compression {
        Some(compression) => compression.reader(BufReader::with_capacity(1 << 18, whole))?,
        None => Box::new(whole),
    };
    Ok((bytes, compression))
}

/// Up to sixteen bytes.
fn beginning(bytes: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::with_capacity(16);
    bytes.take(16).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// Adds `most` bytes to `buffer`, fewer at the end of the file only, and tells whether that may not be reached.
fn fill(bytes: &mut impl Read, buffer: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let start = buffer.len();
    buffer.resize(start + most, 0);
    let mut filled = start;
    while filled < buffer.len() {
        match bytes.read(&mut buffer[filled..]) {
            Ok(0) => {
                buffer.truncate(filled);
                return Ok(false);
            }
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                buffer.truncate(filled);
                return Err(error);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rstest::rstest;

    use super::*;

    fn text(
        bytes: Vec<u8>,
        encoding: Option<&'static Encoding>,
        most: usize,
    ) -> io::Result<String> {
        let mut file = Text::open(Box::new(io::Cursor::new(bytes)), None, encoding)?;
        let mut text = Vec::new();
        while file.read(&mut text, most)? {}
        Ok(String::from_utf8(text).unwrap())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[rstest]
    #[case(1)]
    #[case(7)]
    #[case(1 << 20)]
    fn compressions_and_marks_are_seen_in_the_bytes(#[case] most: usize) {
        let plain = "größe,日本,😀\n".repeat(5);
        let two_members = [gzip(plain.as_bytes()), gzip(b"more")].concat();
        assert_eq!(
            text(two_members, None, most).unwrap(),
            format!("{plain}more")
        );
        let zstd = zstd::encode_all(plain.as_bytes(), 1).unwrap();
        assert_eq!(text(zstd, None, most).unwrap(), plain);
        let marked = ["\u{feff}".as_bytes(), plain.as_bytes()].concat();
        assert_eq!(text(marked, None, most).unwrap(), plain);
        let utf_16: Vec<u8> = std::iter::once(0xfeff)
            .chain(plain.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(text(utf_16, None, most).unwrap(), plain);
        let latin = vec![b'g', b'r', 0xf6, 0xdf, b'e', 0x80];
        assert_eq!(
            text(latin, encoding("windows-1252"), most).unwrap(),
            "größe€"
        );
        assert_eq!(text(Vec::new(), None, most).unwrap(), "");
    }

    #[test]
    fn a_file_that_is_cut_short_is_an_error() {
        let whole = gzip("a,b\n1,2\n".repeat(100).as_bytes());
        let error = text(whole[..whole.len() - 9].to_vec(), None, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let half = vec![0xff, 0xfe, b'a', 0, b'b'];
        assert!(text(half, None, 1 << 20).is_err());
    }
}
