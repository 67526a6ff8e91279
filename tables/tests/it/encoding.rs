//! What the options say about the files is what their footers say; and how files are named.

use std::fs::File;
use std::path::PathBuf;

use datafusion::arrow::array::RecordBatch;
use datafusion::parquet::basic::{Compression as ParquetCompression, Encoding};
use datafusion::parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use tables::{Dictionary, SortKey, Statistics, TableOptions};
use tempfile::TempDir;

use crate::support::{TestResult, files_below, info, ints, session, stage, table_at, texts};

const ROWS: i64 = 30_000;

/// One partition: a column that repeats seven values, one that repeats none, and texts.
fn rows() -> TestResult<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("part", ints((0..ROWS).map(|_| Some(1)))),
        ("few", ints((0..ROWS).map(|row| Some(row % 7)))),
        ("id", ints((0..ROWS).map(Some))),
        (
            "text",
            texts((0..ROWS).map(|row| Some(format!("text {row}")))),
        ),
    ])?)
}

/// The footer of the one file that these options give; sorted and unsorted.
async fn footers(options: TableOptions) -> TestResult<[ParquetMetaData; 2]> {
    let sorted = TableOptions {
        sort: vec![SortKey::ascending("id")],
        ..options.clone()
    };
    Ok([footer(options).await?, footer(sorted).await?])
}

async fn footer(options: TableOptions) -> TestResult<ParquetMetaData> {
    let parent = TempDir::new()?;
    let files = written(&parent, options).await?;
    assert_eq!(files.len(), 1, "{files:?}");
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.try_parse(&File::open(&files[0])?)?;
    Ok(reader.finish()?)
}

async fn written(parent: &TempDir, options: TableOptions) -> TestResult<Vec<PathBuf>> {
    let folder = parent.path().join("t");
    let options = TableOptions {
        partition_by: vec!["part".to_owned()],
        ..options
    };
    let input = [vec![
        rows()?.slice(0, 10_000),
        rows()?.slice(10_000, 20_000),
    ]];
    let (staging, change) = stage(
        &table_at(&folder)?,
        "run-1",
        options,
        &session(None)?,
        &input,
    )
    .await?;
    staging.publish(change, info(1)).await?;
    Ok(files_below(&folder)
        .into_iter()
        .map(|file| folder.join(file))
        .collect())
}

fn column<'a>(footer: &'a ParquetMetaData, name: &str) -> TestResult<&'a ColumnChunkMetaData> {
    let columns = footer.row_group(0).columns();
    columns
        .iter()
        .find(|column| column.column_path().string() == name)
        .ok_or_else(|| format!("no column {name}").into())
}

fn has_dictionary(footer: &ParquetMetaData, name: &str) -> TestResult<bool> {
    let column = column(footer, name)?;
    let used = column.encodings().any(|encoding| {
        encoding == Encoding::RLE_DICTIONARY || encoding == Encoding::PLAIN_DICTIONARY
    });
    Ok(used && column.dictionary_page_offset().is_some())
}

#[tokio::test]
async fn dictionaries_are_where_the_option_or_the_values_say() -> TestResult {
    for (dictionary, expected) in [
        (Dictionary::Automatic, [true, false, false]),
        (Dictionary::All, [true, true, true]),
        (Dictionary::None, [false, false, false]),
        (
            Dictionary::Columns(vec!["text".to_owned()]),
            [false, false, true],
        ),
    ] {
        let options = TableOptions {
            dictionary: dictionary.clone(),
            ..TableOptions::default()
        };
        for footer in footers(options).await? {
            for (name, expected) in ["few", "id", "text"].into_iter().zip(expected) {
                assert_eq!(
                    has_dictionary(&footer, name)?,
                    expected,
                    "{name}, {dictionary:?}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn statistics_are_as_fine_as_the_option_says() -> TestResult {
    for (statistics, of_chunks, of_pages) in [
        (Statistics::None, false, false),
        (Statistics::Chunk, true, false),
        (Statistics::Page, true, true),
    ] {
        let options = TableOptions {
            statistics,
            ..TableOptions::default()
        };
        for footer in footers(options).await? {
            let column = column(&footer, "id")?;
            let chunk = column
                .statistics()
                .is_some_and(|values| values.min_bytes_opt().is_some());
            assert_eq!(chunk, of_chunks, "{statistics:?}");
            assert_eq!(
                column.column_index_offset().is_some(),
                of_pages,
                "{statistics:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn bloom_filters_are_on_the_named_columns_only() -> TestResult {
    let options = TableOptions {
        bloom_filter: vec!["id".to_owned()],
        ..TableOptions::default()
    };
    for footer in footers(options).await? {
        assert!(column(&footer, "id")?.bloom_filter_offset().is_some());
        assert!(column(&footer, "text")?.bloom_filter_offset().is_none());
    }
    Ok(())
}

#[tokio::test]
async fn row_groups_end_at_their_rows_or_bytes() -> TestResult {
    let by_rows = TableOptions {
        row_group_rows: 9_000,
        ..TableOptions::default()
    };
    for footer in footers(by_rows).await? {
        let rows: Vec<i64> = footer
            .row_groups()
            .iter()
            .map(|group| group.num_rows())
            .collect();
        assert_eq!(rows, [9_000, 9_000, 9_000, 3_000]);
    }
    let by_bytes = TableOptions {
        row_group_bytes: 100_000,
        dictionary: Dictionary::None,
        ..TableOptions::default()
    };
    for footer in footers(by_bytes).await? {
        assert!(footer.num_row_groups() >= 3, "{}", footer.num_row_groups());
        assert_eq!(
            column(&footer, "id")?.compression(),
            ParquetCompression::ZSTD(Default::default())
        );
    }
    Ok(())
}

#[tokio::test]
async fn names_carry_the_run_and_two_writers_of_a_partition_never_share_one() -> TestResult {
    let mut names = Vec::new();
    for sort in [
        vec![],
        vec![],
        vec![SortKey::ascending("id")],
        vec![SortKey::ascending("id")],
    ] {
        let parent = TempDir::new()?;
        let options = TableOptions {
            sort,
            ..TableOptions::default()
        };
        let files = written(&parent, options).await?;
        let name = files[0].file_name().and_then(|name| name.to_str());
        let parts: Vec<String> = name
            .and_then(|name| name.strip_suffix(".parquet"))
            .ok_or("no name")?
            .split('-')
            .map(str::to_owned)
            .collect();
        assert_eq!((parts[0].as_str(), parts[1].as_str()), ("part", "00000"));
        names.push(parts[2..].to_vec());
    }
    // Without an order: the run, and what the writer adds. With one: the run alone.
    assert!(names[0].len() > names[2].len(), "{names:?}");
    assert_ne!(names[0].last(), names[1].last());
    Ok(())
}
