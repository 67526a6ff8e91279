//! The formats that the files of a table may have. Owns their names, the suffixes of their files, how they may be compressed,
//! and which types they hold exactly; how rows become bytes is `write::format`'s.

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use serde::{Deserialize, Serialize};

use super::encoding::{Compression, GZIP_LEVEL, ZSTD_LEVEL};

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
    /// Avro object container files.
    Avro,
}

impl Format {
    /// Every format with its name in pipelines.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("PARQUET", Self::Parquet),
        ("CSV", Self::Csv),
        ("JSON", Self::Json),
        ("ARROW", Self::Arrow),
        ("AVRO", Self::Avro),
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
            // The only one that every reader must have.
            Self::Avro => Compression::Deflate(GZIP_LEVEL),
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
            (Self::Avro, _) => "avro",
        }
    }

    /// The format and the compression of a file of this name, in any case; `None` if its suffixes say neither.
    ///
    /// ```
    /// use tables::{Compression, Format};
    /// assert_eq!(Format::of_file_name("a.b.csv.gz"), Some((Format::Csv, Compression::Gzip(6))));
    /// assert_eq!(Format::of_file_name("A.NDJSON"), Some((Format::Json, Compression::None)));
    /// assert_eq!(Format::of_file_name("a.parquet.gz"), None);
    /// ```
    pub fn of_file_name(name: &str) -> Option<(Self, Compression)> {
        let name = name.to_ascii_lowercase();
        let (rest, last) = name.rsplit_once('.')?;
        let compression = match last {
            "gz" | "gzip" => Some(Compression::Gzip(GZIP_LEVEL)),
            "zst" | "zstd" => Some(Compression::Zstd(ZSTD_LEVEL)),
            _ => None,
        };
        let suffix = match compression {
            Some(_) => rest.rsplit_once('.')?.1,
            None => last,
        };
        let format = match suffix {
            "csv" => Self::Csv,
            "json" | "jsonl" | "ndjson" => Self::Json,
            "parquet" | "parq" | "pq" => Self::Parquet,
            "arrow" | "ipc" | "feather" => Self::Arrow,
            "avro" => Self::Avro,
            _ => return None,
        };
        match compression {
            None => Some((format, format.default_compression())),
            Some(compression) => format.is_text().then_some((format, compression)),
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
            "avro",
        ]
        .contains(&text)
    }

    /// Whether files can be compressed so.
    ///
    /// # Errors
    /// With what can be.
    pub fn check_compression(self, compression: Compression) -> Result<(), String> {
        compression.check_level()?;
        match (self, compression) {
            (Self::Parquet, compression) => compression.to_parquet().map(drop),
            (
                Self::Csv | Self::Json,
                Compression::None | Compression::Gzip(_) | Compression::Zstd(_),
            )
            | (Self::Arrow, Compression::None | Compression::Lz4)
            | (
                Self::Avro,
                Compression::None
                | Compression::Deflate(_)
                | Compression::Snappy
                | Compression::Zstd(_),
            ) => Ok(()),
            (Self::Csv | Self::Json, _) => Err(format!(
                "{} files are compressed with gzip or zstd, or not at all (none)",
                self.name()
            )),
            (Self::Avro, _) => Err(
                "AVRO files are compressed with deflate, snappy or zstd, or not at all (none)"
                    .to_owned(),
            ),
            // With zstd, every open file would hold a codec.
            (Self::Arrow, _) => {
                Err("ARROW files are compressed with lz4, or not at all (none)".to_owned())
            }
        }
    }

    /// Whether files hold a column: its name, and every value of its (normalized) type.
    ///
    /// # Errors
    /// As [`Format::check_type`].
    pub(crate) fn check_column(self, column: &Field) -> Result<(), String> {
        if self == Self::Avro {
            avro_name(column.name())?;
        }
        self.check_type(column.data_type())
    }

    /// Whether files hold every value of this (normalized) type exactly, as far as a type can tell.
    ///
    /// # Errors
    /// With why not, and what to do.
    fn check_type(self, data_type: &DataType) -> Result<(), String> {
        match self {
            Self::Parquet | Self::Arrow => Ok(()),
            Self::Csv if data_type.is_nested() => Err(format!(
                "CSV has no values of type {data_type}: take its parts as columns of their own, or store the output as JSON"
            )),
            Self::Csv => plain_text(self, data_type),
            Self::Avro => avro(data_type),
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

/// Whether Avro has a type that is this one.
fn avro(data_type: &DataType) -> Result<(), String> {
    match data_type {
        DataType::List(item) => avro(item.data_type()),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| {
            avro_name(field.name())?;
            avro(field.data_type())
        }),
        DataType::UInt64 => {
            Err("AVRO has no integers above 2^63: cast it to DECIMAL(20, 0)".to_owned())
        }
        DataType::Float16 => Err("AVRO has no floats of 16 bits: cast it to REAL".to_owned()),
        DataType::Time64(TimeUnit::Nanosecond) => Err(
            "AVRO has no times in nanoseconds: cast it, as in arrow_cast(…, 'Time64(Microsecond)')"
                .to_owned(),
        ),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *scale < 0 || i16::from(*scale) > i16::from(*precision) =>
        {
            Err(format!(
                "AVRO has no {data_type}: cast it to a scale from 0 to {precision}"
            ))
        }
        DataType::Map(..) => Err(format!(
            "{data_type} is not written to AVRO: make it a list of its entries with map_entries(…)"
        )),
        DataType::FixedSizeList(item, _) => Err(format!(
            "AVRO has no lists of fixed length: cast it to a list of {}",
            item.data_type()
        )),
        DataType::Binary | DataType::FixedSizeBinary(_) => Ok(()),
        plain => plain_text(Format::Avro, plain),
    }
}

/// Whether Avro takes a name.
fn avro_name(name: &str) -> Result<(), String> {
    let begins = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let fits = name.bytes().next().is_some_and(begins)
        && name
            .bytes()
            .all(|byte| begins(byte) || byte.is_ascii_digit());
    if fits {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name in AVRO, which are letters of ASCII, digits and _: give it another one with AS"
    ))
}
