//! How the files of a table are encoded: compression, dictionaries, statistics. Owns their spelling in pipelines.

use std::str::FromStr;

use datafusion::parquet::basic::{Compression as ParquetCompression, GzipLevel, ZstdLevel};
use serde::{Deserialize, Serialize};

use super::OptionProblem;

/// How files, or the pages in them, are compressed. Not every format has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy: fast, and read by everything.
    Snappy,
    /// Zstandard with its level, 1 to 22.
    Zstd(i32),
    /// Gzip with its level, 0 to 9.
    Gzip(u32),
    /// What gzip compresses with, bare, with its level, 0 to 9.
    Deflate(u32),
    /// LZ4, the raw block format of the Parquet specification.
    Lz4,
}

pub(super) const ZSTD_LEVEL: i32 = 3;
pub(super) const GZIP_LEVEL: u32 = 6;

impl Compression {
    /// Whether the codec has its level.
    pub(super) fn check_level(self) -> Result<(), String> {
        match self {
            Self::Deflate(level) if level > 9 => {
                Err(format!("deflate has levels 0 to 9, not {level}"))
            }
            Self::Deflate(_) => Ok(()),
            other => other.to_parquet().map(drop),
        }
    }

    pub(crate) fn to_parquet(self) -> Result<ParquetCompression, String> {
        Ok(match self {
            Self::Deflate(_) => {
                return Err("PARQUET files are compressed with gzip instead".to_owned());
            }
            Self::None => ParquetCompression::UNCOMPRESSED,
            Self::Snappy => ParquetCompression::SNAPPY,
            Self::Lz4 => ParquetCompression::LZ4_RAW,
            Self::Zstd(level) => {
                let level = ZstdLevel::try_new(level)
                    .map_err(|_| format!("zstd has levels 1 to 22, not {level}"))?;
                ParquetCompression::ZSTD(level)
            }
            Self::Gzip(level) => {
                let level = GzipLevel::try_new(level)
                    .map_err(|_| format!("gzip has levels 0 to 9, not {level}"))?;
                ParquetCompression::GZIP(level)
            }
        })
    }
}

impl FromStr for Compression {
    type Err = OptionProblem;

    /// Reads `snappy`, `lz4`, `none`, `zstd`, `zstd(9)`, `gzip`, `gzip(9)`, `deflate`.
    fn from_str(text: &str) -> Result<Self, OptionProblem> {
        let problem = |reason: String| OptionProblem {
            option: "compression",
            name: Some(text.to_owned()),
            reason,
            candidates: ["snappy", "zstd", "gzip", "deflate", "lz4", "none"]
                .map(str::to_owned)
                .to_vec(),
        };
        let lower = text.trim().to_ascii_lowercase();
        let (name, level) = match lower.split_once('(') {
            None => (lower.as_str(), None),
            Some((name, rest)) => match rest
                .strip_suffix(')')
                .and_then(|level| level.trim().parse::<i32>().ok())
            {
                Some(level) => (name.trim_end(), Some(level)),
                None => {
                    return Err(problem(
                        "a level is a number in parentheses, as in zstd(3)".to_owned(),
                    ));
                }
            },
        };
        let compression = match (name, level) {
            ("none" | "uncompressed", None) => Self::None,
            ("snappy", None) => Self::Snappy,
            ("lz4", None) => Self::Lz4,
            ("zstd", level) => Self::Zstd(level.unwrap_or(ZSTD_LEVEL)),
            ("gzip", None) => Self::Gzip(GZIP_LEVEL),
            ("gzip", Some(level)) => Self::Gzip(
                u32::try_from(level)
                    .map_err(|_| problem(format!("gzip has levels 0 to 9, not {level}")))?,
            ),
            ("deflate", None) => Self::Deflate(GZIP_LEVEL),
            ("deflate", Some(level)) => Self::Deflate(
                u32::try_from(level)
                    .map_err(|_| problem(format!("deflate has levels 0 to 9, not {level}")))?,
            ),
            ("none" | "uncompressed" | "snappy" | "lz4", Some(_)) => {
                return Err(problem(format!("{name} has no level")));
            }
            _ => return Err(problem("there is no such compression".to_owned())),
        };
        compression.check_level().map_err(problem)?;
        Ok(compression)
    }
}

/// Which columns are dictionary-encoded. A dictionary makes columns with few different values much smaller; for others
/// it costs time and memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dictionary {
    /// Those that repeat their values, by the first rows of each file.
    #[default]
    Automatic,
    /// All columns, each until its dictionary has outgrown a page.
    All,
    /// No column.
    None,
    /// These columns.
    Columns(Vec<String>),
}

/// Which statistics the files hold about their values, for readers that skip what cannot match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistics {
    /// None.
    None,
    /// Least and greatest value and NULLs of each column in each row group.
    Chunk,
    /// Those, and the same for every page.
    #[default]
    Page,
}

impl Statistics {
    /// Every choice with its name in pipelines.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("chunk", Self::Chunk),
        ("page", Self::Page),
    ];
}
