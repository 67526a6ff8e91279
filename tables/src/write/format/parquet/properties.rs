//! How the bytes of a file are decided on: the writer properties of each file, from the table's options and, where they
//! leave it open, from the file's first rows. Knows nothing of files or memory.
//!
//! Everything that a new version of the `parquet` crate might change is set here.

use std::collections::HashSet;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::Result;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use datafusion::parquet::schema::types::ColumnPath;

use crate::options::{Dictionary, Statistics, TableOptions};

/// The writer as the files name it. Without a version: equal rows must give equal bytes after an upgrade.
const CREATED_BY: &str = "spillway version 1";
/// Rows of a file that are looked at before its columns' encodings are chosen.
const SAMPLE_ROWS: usize = 2048;
/// A column is worth a dictionary if its values come this often in a row group, on average: a dictionary costs a hash
/// look-up for every row, and its own bytes.
const MIN_REPETITIONS: usize = 4;
/// The most different values that a dictionary is begun for: most types outgrow a page soon after.
const MAX_DICTIONARY_VALUES: usize = 16_384;

/// The part of the options that decides on the bytes.
#[derive(Debug)]
pub(super) struct ParquetEncoding {
    dictionary: Dictionary,
    builder: WriterPropertiesBuilder,
    /// The tables of a column's codec.
    codec_bytes: usize,
    /// Rows and bytes of a row group, at most.
    row_group: (usize, usize),
}

impl ParquetEncoding {
    /// `options` have been validated.
    pub(super) fn new(options: &TableOptions) -> Self {
        let compression = options
            .compression
            .to_parquet()
            .unwrap_or(Compression::UNCOMPRESSED);
        let mut builder = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(compression)
            // Row groups are cut by this crate.
            .set_max_row_group_row_count(None)
            .set_max_row_group_bytes(None)
            .set_write_batch_size(1024)
            .set_data_page_size_limit(1 << 20)
            .set_data_page_row_count_limit(20_000)
            .set_dictionary_enabled(matches!(
                options.dictionary,
                Dictionary::Automatic | Dictionary::All
            ))
            .set_dictionary_page_size_limit(1 << 20)
            .set_statistics_enabled(match options.statistics {
                Statistics::None => EnabledStatistics::None,
                Statistics::Chunk => EnabledStatistics::Chunk,
                Statistics::Page => EnabledStatistics::Page,
            })
            .set_statistics_truncate_length(Some(64))
            .set_column_index_truncate_length(Some(64));
        if let Dictionary::Columns(columns) = &options.dictionary {
            for column in columns {
                builder = builder.set_column_dictionary_enabled(path(column), true);
            }
        }
        for column in &options.bloom_filter {
            let most = options.row_group_rows.min(1 << 20) as u64;
            builder = builder
                .set_column_bloom_filter_enabled(path(column), true)
                .set_column_bloom_filter_max_ndv(path(column), most);
        }
        Self {
            dictionary: options.dictionary.clone(),
            builder,
            codec_bytes: match compression {
                Compression::UNCOMPRESSED => 0,
                Compression::ZSTD(_) => 768 << 10,
                Compression::GZIP(_) => 256 << 10,
                _ => 34 << 10,
            },
            row_group: (options.row_group_rows, options.row_group_bytes),
        }
    }

    /// Rows and bytes of a row group, at most.
    pub(super) fn row_group(&self) -> (usize, usize) {
        self.row_group
    }

    /// What an encoder of one column holds beside what it reports.
    pub(super) fn codec_bytes(&self) -> usize {
        self.codec_bytes
    }

    /// The properties of a file that begins with these rows and will have about so many in a row group.
    pub(super) fn properties(&self, first: &RecordBatch, rows: usize) -> Result<WriterProperties> {
        let mut builder = self.builder.clone();
        if self.dictionary == Dictionary::Automatic {
            let values = (rows / MIN_REPETITIONS).clamp(1, MAX_DICTIONARY_VALUES);
            let sample = sample(first);
            for (index, field) in first.schema().fields().iter().enumerate() {
                if !field.data_type().is_nested() && !repeats(first, index, &sample, values)? {
                    builder = builder.set_column_dictionary_enabled(path(field.name()), false);
                }
            }
        }
        Ok(builder.build())
    }
}

fn path(column: &str) -> ColumnPath {
    ColumnPath::new(vec![column.to_owned()])
}

/// Rows spread evenly over the batch, so that neighbours with one value do not count as a repetition.
fn sample(rows: &RecordBatch) -> UInt32Array {
    let step = rows.num_rows().div_ceil(SAMPLE_ROWS).max(1);
    (0..rows.num_rows())
        .step_by(step)
        .filter_map(|row| u32::try_from(row).ok())
        .collect()
}

/// Whether the column seems to have at most so many different values.
fn repeats(rows: &RecordBatch, column: usize, sample: &UInt32Array, most: usize) -> Result<bool> {
    let values = take(rows.column(column), sample, None)?;
    let mut hashes = vec![0; values.len()];
    create_hashes([&values], &RandomState::default(), &mut hashes)?;
    let distinct = hashes.iter().collect::<HashSet<_>>().len() as f64;
    // So many different ones would be expected if there were that many values, all equally frequent.
    let (rows, most) = (values.len() as f64, most as f64);
    let expected = most * (1.0 - (-rows / most).exp());
    // Small samples say little: there, some rows must repeat a value.
    Ok(distinct <= expected.min(rows - rows.min(16.0) / 2.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn dictionaries(options: &TableOptions) -> Vec<bool> {
        let rows = 8192_i64;
        let batch = RecordBatch::try_from_iter([
            (
                "few",
                Arc::new((0..rows).map(|n| n % 7).collect::<Int64Array>()) as ArrayRef,
            ),
            (
                "some",
                Arc::new(
                    (0..rows)
                        .map(|n| n * n * 7919 / 13 % 4001)
                        .collect::<Int64Array>(),
                ),
            ),
            (
                "runs",
                Arc::new((0..rows).map(|n| n / 4).collect::<Int64Array>()),
            ),
            (
                "text",
                Arc::new(
                    (0..rows)
                        .map(|n| Some(format!("text {n}")))
                        .collect::<StringArray>(),
                ),
            ),
            (
                "null",
                Arc::new((0..rows).map(|_| None::<i64>).collect::<Int64Array>()),
            ),
        ])
        .unwrap();
        let properties = ParquetEncoding::new(options)
            .properties(&batch, 65_536)
            .unwrap();
        ["few", "some", "runs", "text", "null"]
            .map(|column| properties.dictionary_enabled(&path(column)))
            .to_vec()
    }

    #[test]
    fn small_row_groups_have_fewer_dictionaries() {
        let values = (0..8192_i64).map(|n| n * n * 7919 / 13 % 4001);
        let values: ArrayRef = Arc::new(values.collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("some", values)]).unwrap();
        let options = ParquetEncoding::new(&TableOptions::default());
        for (rows, expected) in [(4_000, false), (40_000, true)] {
            let properties = options.properties(&batch, rows).unwrap();
            assert_eq!(properties.dictionary_enabled(&path("some")), expected);
        }
    }

    #[test]
    fn a_dictionary_is_for_columns_that_repeat_their_values() {
        let automatic = dictionaries(&TableOptions::default());
        assert_eq!(automatic, [true, true, false, false, true]);
        let option = |dictionary| TableOptions {
            dictionary,
            ..TableOptions::default()
        };
        assert_eq!(dictionaries(&option(Dictionary::All)), [true; 5]);
        assert_eq!(dictionaries(&option(Dictionary::None)), [false; 5]);
        let named = Dictionary::Columns(vec!["text".to_owned()]);
        assert_eq!(
            dictionaries(&option(named)),
            [false, false, false, true, false]
        );
    }
}
