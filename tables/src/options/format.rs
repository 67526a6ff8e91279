//! The formats that the files of a table may have. Owns their names, the suffixes of their files, how they may be compressed,
//! and which types they hold exactly; how rows become bytes is `write::format`'s.

use datafusion::arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use super::encoding::{Compression, ZSTD_LEVEL};

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Parquet. The only one that is read back, by merging and compacting.
    #[default]
    Parquet,
    /// Comma-separated values with a header.
    Csv,
    /// JSON, an object a line.
    Json,
    /// Arrow IPC files.
    Arrow,
}

impl Format {
    /// Every format with its name in pipelines.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("PARQUET", Self::Parquet),
        ("CSV", Self::Csv),
        ("JSON", Self::Json),
        ("ARROW", Self::Arrow),
    ];

    /// Its name in pipelines.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, format)| *format == self);
        found.map_or("", |(name, _)| name)
    }

    /// How files are compressed if nothing is said.
    pub fn default_compression(self) -> Compression {
        match self {
            Self::Parquet => Compression::Zstd(ZSTD_LEVEL),
            Self::Csv | Self::Json => Compression::None,
            Self::Arrow => Compression::Lz4,
        }
    }

    /// Whether published files are read again where that is what it takes: to merge, to compact, to widen a column.
    pub fn is_read_back(self) -> bool {
        self == Self::Parquet
    }

    /// Whether a file is text, in which a number has no width.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Json)
    }

    /// What the names of files end with, after a dot.
    pub(crate) fn suffix(self, compression: Compression) -> &'static str {
        match (self, compression) {
            (Self::Parquet, _) => "parquet",
            (Self::Csv, Compression::Gzip(_)) => "csv.gz",
            (Self::Csv, Compression::Zstd(_)) => "csv.zst",
            (Self::Csv, _) => "csv",
            (Self::Json, Compression::Gzip(_)) => "jsonl.gz",
            (Self::Json, Compression::Zstd(_)) => "jsonl.zst",
            (Self::Json, _) => "jsonl",
            (Self::Arrow, _) => "arrow",
        }
    }

    /// Whether the name of a data file may end so, after its first dot.
    pub(crate) fn is_suffix(text: &str) -> bool {
        [
            "parquet",
            "csv",
            "csv.gz",
            "csv.zst",
            "jsonl",
            "jsonl.gz",
            "jsonl.zst",
            "arrow",
        ]
        .contains(&text)
    }

    /// Whether files can be compressed so.
    ///
    /// # Errors
    /// With what can be.
    pub fn check_compression(self, compression: Compression) -> Result<(), String> {
        compression.to_parquet()?;
        match (self, compression) {
            (Self::Parquet, _)
            | (
                Self::Csv | Self::Json,
                Compression::None | Compression::Gzip(_) | Compression::Zstd(_),
            )
            | (Self::Arrow, Compression::None | Compression::Lz4) => Ok(()),
            (Self::Csv | Self::Json, _) => Err(format!(
                "{} files are compressed with gzip or zstd, or not at all (none)",
                self.name()
            )),
            // With zstd, every open file would hold a codec.
            (Self::Arrow, _) => {
                Err("ARROW files are compressed with lz4, or not at all (none)".to_owned())
            }
        }
    }

    /// Whether files hold every value of this (normalized) type exactly, as far as a type can tell.
    ///
    /// # Errors
    /// With why not, and what to do.
    pub(crate) fn check_type(self, data_type: &DataType) -> Result<(), String> {
        match self {
            Self::Parquet | Self::Arrow => Ok(()),
            Self::Csv if data_type.is_nested() => Err(format!(
                "CSV has no values of type {data_type}: take its parts as columns of their own, or store the output as JSON"
            )),
            Self::Csv => plain_text(self, data_type),
            Self::Json => match data_type {
                DataType::List(item) => self.check_type(item.data_type()),
                DataType::Struct(fields) => fields
                    .iter()
                    .try_for_each(|field| self.check_type(field.data_type())),
                DataType::Map(..) => Err(format!(
                    "JSON has no values of type {data_type}: make it a list of its entries with map_entries(…)"
                )),
                DataType::FixedSizeList(item, _) => Err(format!(
                    "JSON has no lists of fixed length: cast it to a list of {}",
                    item.data_type()
                )),
                plain => plain_text(self, plain),
            },
        }
    }
}

/// Whether each value of a type has a text that is that value again.
fn plain_text(format: Format, data_type: &DataType) -> Result<(), String> {
    let name = format.name();
    match data_type {
        DataType::Binary | DataType::FixedSizeBinary(_) => Err(format!(
            "{name} has no bytes: make them text, as in encode(…, 'base64')"
        )),
        DataType::Float16 => Err(format!(
            "{name} is not read as {data_type} again: cast it to REAL"
        )),
        DataType::Boolean
        | DataType::Utf8
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => Ok(()),
        integer if integer.is_integer() => Ok(()),
        other => Err(format!("{name} has no values of type {other}: cast it")),
    }
}
