//! The formats, and what of them can be said. Owns the suffixes of their files and what a scan is told of them.

use encoding_rs::Encoding;
use serde::{Deserialize, Serialize};

use super::bytes::{self, Compression};
use super::csv::{Detect, Dialect};
use super::json::{Layout, Path};
use super::web;

/// How the records of files are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Delimiter-separated values.
    Csv(Csv),
    /// JSON.
    Json(Json),
    /// Lines of text.
    Text,
    /// The files themselves, as values.
    Binary(Binary),
    /// Avro object container files.
    Avro,
    /// Arrow IPC, files and streams.
    Arrow,
}

/// What is said of delimiter-separated values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Csv {
    /// How values are told apart.
    pub dialect: Dialect,
    /// The delimiter, if it is said; else it is of the file's suffix.
    pub delimiter: Option<u8>,
    /// What of the dialect is to be found in the files; `None` for nothing.
    pub detect: Option<Detect>,
    /// Whether fields are columns by their place and not by the names in the header.
    pub by_position: bool,
}

/// What is said of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Json {
    /// How documents are told apart; `None` to see it in each file.
    pub layout: Option<Layout>,
    /// Where the list is whose items are rows; `None` if the documents are.
    pub path: Option<Path>,
}

/// What is said of files that are values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// Bytes of a value, if a file is not one.
    pub chunk_bytes: Option<u64>,
    /// Whether anybody wants what is in them; the rest is known without reading them.
    pub with_content: bool,
}

impl Binary {
    /// How many rows a file of so many bytes is.
    pub(crate) fn rows(&self, size: u64) -> u64 {
        let chunk_bytes = self.chunk_bytes.unwrap_or(size);
        size.div_ceil(chunk_bytes.max(1)).max(1)
    }
}

impl Default for Binary {
    fn default() -> Self {
        Self {
            chunk_bytes: None,
            with_content: true,
        }
    }
}

/// What no record may be longer than.
pub(crate) const LONGEST_RECORD: usize = 1 << 30;

/// What is said of the bytes of files, whatever is in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// What they are compressed with, `Some(None)` for nothing; `None` to see it in each file.
    pub compression: Option<Option<Compression>>,
    /// How they are encoded, by a label of the WHATWG; `None` for UTF-8, or what a byte order mark says.
    pub encoding: Option<String>,
    /// About so many bytes of text are read, and decoded, at once.
    pub part_bytes: usize,
    /// How long a record may be where files are looked at before they are read. A scan goes by the memory of its process.
    #[serde(skip, default = "longest")]
    pub longest_record: usize,
}

fn longest() -> usize {
    LONGEST_RECORD
}

impl Default for Bytes {
    fn default() -> Self {
        Self {
            compression: None,
            encoding: None,
            part_bytes: 1 << 20,
            longest_record: LONGEST_RECORD,
        }
    }
}

impl Bytes {
    /// The declared encoding.
    pub fn encoding(&self) -> Option<&'static Encoding> {
        self.encoding.as_deref().and_then(bytes::encoding)
    }
}

impl Format {
    /// Suffixes of its files; none if any file is one.
    pub fn suffixes(&self) -> &'static [&'static str] {
        match self {
            Self::Csv(_) => &["csv", "tsv", "tab", "psv", "dsv"],
            Self::Json(_) => &["json", "jsonl", "ndjson", "geojson"],
            Self::Text => &["txt", "text", "log"],
            Self::Binary(_) => &[],
            Self::Avro => &["avro"],
            Self::Arrow => &["arrow", "arrows", "ipc", "feather"],
        }
    }

    /// Whether its files give rows and not text.
    pub(crate) fn is_of_rows(&self) -> bool {
        matches!(self, Self::Binary(_) | Self::Arrow)
    }

    /// Its name in a definition.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Csv(_) => "CSV",
            Self::Json(_) => "JSON",
            Self::Text => "TEXT",
            Self::Binary(_) => "BINARY",
            Self::Avro => "AVRO",
            Self::Arrow => "ARROW",
        }
    }
}

impl Csv {
    /// The dialect of a file of that name.
    pub fn dialect_of(&self, name: &str) -> Dialect {
        // The query of an address is no name.
        let name = match web::is_web(name) {
            true => name.split('?').next().unwrap_or(name),
            false => name,
        };
        let lower = name.to_ascii_lowercase();
        let has = |suffix: &str| {
            lower
                .rsplit('/')
                .next()
                .is_some_and(|name| name.split('.').skip(1).any(|part| part == suffix))
        };
        let by_suffix = match () {
            () if has("tsv") || has("tab") => b'\t',
            () if has("psv") => b'|',
            () => b',',
        };
        Dialect {
            delimiter: self.delimiter.unwrap_or(by_suffix),
            ..self.dialect.clone()
        }
    }
}
