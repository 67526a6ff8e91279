//! The options of a table as its commit log keeps them, so that a table can be looked after without the pipeline that
//! made it. Owns their spelling in the log; what they mean is [`TableOptions`].

use serde::{Deserialize, Serialize};

use crate::options::{
    Compression, Dictionary, Format, KeyScope, PublishMode, SortKey, Statistics, TableOptions,
};
use crate::schema_policy::SchemaPolicy;

/// More rows in a row group, or more bytes in one or in a file, are as good as no limit; and sums of them fit.
const MAX_ROWS: usize = 1 << 40;
const MAX_BYTES: usize = 1 << 50;

/// How the newest publishing run laid the table out. Care of the table (compaction, retention) carries it over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOptions {
    /// How that run published. In `merge` the rows are also ordered by the key.
    pub publish: PublishMode,
    /// The columns that identify a row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The order of rows within a partition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<LogSortKey>,
    /// Rows of a file in a partition that is split; `None` where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_rows: Option<u64>,
    /// The format of the files.
    #[serde(default, skip_serializing_if = "is_parquet")]
    pub format: Format,
    /// Whether a run writes one file, or one in each partition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_file: bool,
    /// Compression as a pipeline spells it, such as `zstd(3)`.
    pub compression: String,
    /// Rows in a row group, at most.
    pub row_group_rows: usize,
    /// Encoded bytes in a row group, about, at most.
    pub row_group_bytes: usize,
    /// A file of about this many bytes is closed and another begun.
    pub target_file_bytes: u64,
    /// Dictionary-encoded columns.
    #[serde(default)]
    pub dictionary: Dictionary,
    /// Statistics in the files.
    #[serde(default)]
    pub statistics: Statistics,
    /// Columns with Bloom filters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bloom_filter: Vec<String>,
}

/// One column of the recorded order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSortKey {
    /// The column's name.
    pub column: String,
    /// Greatest first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub descending: bool,
    /// NULLs before all values.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nulls_first: bool,
}

impl LogOptions {
    /// What the log keeps of the options of a run.
    pub(crate) fn of(options: &TableOptions) -> Self {
        Self {
            publish: options.mode,
            key: options.key.clone(),
            sort: options
                .sort
                .iter()
                .map(|key| LogSortKey {
                    column: key.column.clone(),
                    descending: key.descending,
                    nulls_first: key.nulls_first,
                })
                .collect(),
            split_rows: options.split_rows,
            format: options.format,
            single_file: options.single_file,
            compression: spelled(options.compression),
            row_group_rows: options.row_group_rows,
            row_group_bytes: options.row_group_bytes,
            target_file_bytes: options.target_file_bytes,
            dictionary: options.dictionary.clone(),
            statistics: options.statistics,
            bloom_filter: options.bloom_filter.clone(),
        }
    }

    /// The options that write files as that run did.
    pub(crate) fn to_options(&self, partition_by: &[String]) -> TableOptions {
        TableOptions {
            partition_by: partition_by.to_vec(),
            mode: self.publish,
            key: self.key.clone(),
            sort: self
                .sort
                .iter()
                .map(|key| SortKey {
                    column: key.column.clone(),
                    descending: key.descending,
                    nulls_first: key.nulls_first,
                })
                .collect(),
            split_rows: self.split_rows.map(|rows| rows.max(1)),
            format: self.format,
            single_file: self.single_file,
            // A compression that a newer program wrote is no reason to leave the table alone.
            compression: self
                .compression
                .parse()
                .ok()
                .filter(|compression| self.format.check_compression(*compression).is_ok())
                .unwrap_or(self.format.default_compression()),
            // These decide on rows that arrive, and maintenance brings none.
            order: Vec::new(),
            key_scope: KeyScope::default(),
            contract: SchemaPolicy::default(),
            row_group_rows: self.row_group_rows.clamp(1, MAX_ROWS),
            row_group_bytes: self.row_group_bytes.clamp(1, MAX_BYTES),
            target_file_bytes: self.target_file_bytes.clamp(1, MAX_BYTES as u64),
            dictionary: self.dictionary.clone(),
            statistics: self.statistics,
            bloom_filter: self.bloom_filter.clone(),
        }
    }
}

/// What tables were before they could be anything else.
fn is_parquet(format: &Format) -> bool {
    *format == Format::Parquet
}

/// A compression as [`Compression`]'s `FromStr` reads it.
fn spelled(compression: Compression) -> String {
    match compression {
        Compression::None => "none".to_owned(),
        Compression::Snappy => "snappy".to_owned(),
        Compression::Lz4 => "lz4".to_owned(),
        Compression::Zstd(level) => format!("zstd({level})"),
        Compression::Gzip(level) => format!("gzip({level})"),
        Compression::Deflate(level) => format!("deflate({level})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_same_after_a_round_through_the_log() {
        for (format, compression) in [
            (Format::Parquet, Compression::None),
            (Format::Parquet, Compression::Snappy),
            (Format::Parquet, Compression::Lz4),
            (Format::Csv, Compression::Zstd(19)),
            (Format::Json, Compression::Gzip(9)),
            (Format::Avro, Compression::Deflate(9)),
        ] {
            let options = TableOptions {
                partition_by: vec!["day".to_owned()],
                mode: PublishMode::Merge,
                key: vec!["id".to_owned()],
                sort: vec![SortKey {
                    column: "at".to_owned(),
                    descending: true,
                    nulls_first: true,
                }],
                split_rows: Some(6),
                format,
                single_file: true,
                compression,
                row_group_rows: 7,
                row_group_bytes: 8,
                target_file_bytes: 9,
                dictionary: Dictionary::Columns(vec!["city".to_owned()]),
                statistics: Statistics::Chunk,
                bloom_filter: vec!["id".to_owned()],
                ..TableOptions::default()
            };
            let text = serde_json::to_string(&LogOptions::of(&options)).unwrap();
            let again: LogOptions = serde_json::from_str(&text).unwrap();
            assert_eq!(again.to_options(&options.partition_by), options, "{text}");
        }
    }
}
