//! What each publish mode does to published rows, what a rerun does, and what a run refuses before it reads a row.

use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::ListingOptions;
use std::sync::Arc;
use tables::{Change, Error, PublishMode};

use crate::support::{
    Event, TestResult, assert_at_rest, info, interval, new_table, rows_below, run, session,
    stage_rows, staged_dir,
};

pub(crate) const FIRST: [Event; 3] = [
    Event(1, "Ghent", 10, Some("a")),
    Event(2, "Ghent", 20, None),
    Event(3, "Oulu", 30, Some("b")),
];
pub(crate) const SECOND: [Event; 2] =
    [Event(4, "Ghent", 40, Some("c")), Event(5, "Riga", 50, None)];

fn ids(rows: &[String]) -> Vec<String> {
    let mut ids: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            row.split_once(": ")
                .map(|(partition, row)| (partition, row.split('|').next()))
        })
        .map(|(partition, id)| format!("{partition}/{}", id.unwrap_or_default()))
        .collect();
    ids.sort_unstable();
    ids
}

async fn ids_after_second(mode: PublishMode) -> TestResult<Vec<String>> {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Overwrite, &FIRST, info(1)).await?;
    let commit = run(&table, "run-2", mode, &SECOND, info(2)).await?;
    assert_eq!(
        (commit.number, commit.run_id.as_str(), commit.mode),
        (2, "run-2", mode.into())
    );
    assert_eq!(
        table.current().await?,
        Some(commit),
        "the log reads back as it was written"
    );
    assert_at_rest(&folder).await?;
    Ok(ids(&rows_below(&folder)?))
}

#[tokio::test]
async fn append_adds_overwrite_replaces_partitions_replace_the_whole_table() -> TestResult {
    assert_eq!(
        ids_after_second(PublishMode::Append).await?,
        [
            "city=Ghent/1",
            "city=Ghent/2",
            "city=Ghent/4",
            "city=Oulu/3",
            "city=Riga/5"
        ]
    );
    assert_eq!(
        ids_after_second(PublishMode::Overwrite).await?,
        ["city=Ghent/4", "city=Oulu/3", "city=Riga/5"]
    );
    assert_eq!(
        ids_after_second(PublishMode::Replace).await?,
        ["city=Ghent/4", "city=Riga/5"]
    );
    Ok(())
}

#[tokio::test]
async fn a_rerun_of_the_same_rows_changes_nothing_and_says_so() -> TestResult {
    for mode in [
        PublishMode::Overwrite,
        PublishMode::Replace,
        PublishMode::Merge,
    ] {
        let (_parent, folder, table) = new_table()?;
        let first = run(&table, "run-1", mode, &FIRST, info(1)).await?;
        let shuffled = [FIRST[2].clone(), FIRST[1].clone(), FIRST[0].clone()];
        let (staging, change) = stage_rows(&table, "run-2", mode, &shuffled).await?;
        assert!(change.is_empty(), "{mode}: {change:#?}");
        assert_eq!(change.unchanged.len(), 2, "{mode}");
        let again = staging.publish(change, info(1)).await?;
        assert_eq!(again, first, "{mode}: no new commit");
        // The same rows from further-read sources: the cursors must not be lost (T-3).
        let later = run(&table, "run-3", mode, &FIRST, info(2)).await?;
        assert_eq!((later.number, &later.files), (2, &first.files), "{mode}");
        assert_eq!(later.cursors, serde_json::json!({ "events": 2 }));
        assert_at_rest(&folder).await?;
    }
    Ok(())
}

#[tokio::test]
async fn append_refuses_an_interval_that_is_committed_and_publishes_nothing() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Append, &FIRST, interval(1)).await?;
    let second = run(&table, "run-2", PublishMode::Append, &SECOND, interval(2)).await?;
    assert!(
        interval(1)
            .interval
            .is_some_and(|interval| second.has_interval(&interval))
    );
    let refused = run(&table, "run-3", PublishMode::Append, &FIRST, interval(1)).await;
    let error = refused.err().ok_or("the interval was appended twice")?;
    assert!(
        matches!(
            error.downcast_ref::<Error>(),
            Some(Error::IntervalCommitted { .. })
        ),
        "{error}"
    );
    assert_eq!(rows_below(&folder)?.len(), 5);
    assert_at_rest(&folder).await?;
    // After the table was replaced as a whole, the interval is not in it any more.
    run(&table, "run-4", PublishMode::Replace, &SECOND, interval(2)).await?;
    run(&table, "run-5", PublishMode::Append, &FIRST, interval(1)).await?;
    assert_eq!(rows_below(&folder)?.len(), 5);
    Ok(())
}

#[tokio::test]
async fn a_run_without_rows_sets_the_schema_and_publishes_no_file() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let commit = run(&table, "run-1", PublishMode::Overwrite, &[], info(1)).await?;
    assert_eq!((commit.number, commit.totals.files), (1, 0));
    run(&table, "run-2", PublishMode::Overwrite, &FIRST, info(2)).await?;
    let commit = run(&table, "run-3", PublishMode::Overwrite, &[], info(3)).await?;
    assert_eq!(
        (commit.number, commit.totals.rows),
        (3, 3),
        "no partition was produced, so none is replaced"
    );
    let commit = run(&table, "run-4", PublishMode::Replace, &[], info(4)).await?;
    assert_eq!(commit.totals.rows, 0, "replaced by nothing");
    assert_at_rest(&folder).await?;
    assert_eq!(
        std::fs::read_dir(&folder)?.count(),
        0,
        "emptied partition folders go"
    );
    Ok(())
}

#[tokio::test]
async fn the_log_reads_back_over_many_commits() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let cities = ["Ghent", "Oulu", "Riga", "Turku", "Visby"];
    for number in 1..=70_i64 {
        let city = cities[usize::try_from(number)? % cities.len()];
        let mode = if number % 3 == 0 {
            PublishMode::Overwrite
        } else {
            PublishMode::Append
        };
        run(
            &table,
            &format!("run-{number}"),
            mode,
            &[Event(number, city, number, None)],
            interval(number),
        )
        .await?;
    }
    let commit = table.current().await?.ok_or("no commit")?;
    assert_eq!((commit.number, commit.intervals.len()), (70, 70));
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn staged_rows_can_be_checked_with_sql_before_they_are_published() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let ctx = session(None)?;
    let rows = [
        Event(1, "a=b/c %", 10, Some("x")),
        Event(2, "a=b/c %", 20, None),
        Event(3, "Köln", 5, None),
    ];
    let (staging, change) = stage_rows(&table, "run-1", PublishMode::Overwrite, &rows).await?;
    assert!(!folder.exists(), "readers see nothing yet");
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_table_partition_cols(vec![("city".to_owned(), DataType::Utf8)]);
    let url = url::Url::from_directory_path(staged_dir(&staging)?).map_err(|()| "no URL")?;
    ctx.register_listing_table(
        "staged",
        url.as_str(),
        options,
        Some(staging.schema().file_schema()),
        None,
    )
    .await?;
    let counted = ctx
        .sql("SELECT count(*) FROM staged WHERE city = 'a=b/c %'")
        .await?
        .collect()
        .await?;
    assert_eq!(rows_text(&counted)?, ["2"]);
    staging.publish(change, info(1)).await?;
    assert_at_rest(&folder).await
}

fn rows_text(batches: &[datafusion::arrow::record_batch::RecordBatch]) -> TestResult<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            rows.push(datafusion::arrow::util::display::array_value_to_string(
                batch.column(0),
                row,
            )?);
        }
    }
    Ok(rows)
}

#[tokio::test]
async fn a_change_can_be_looked_at_and_abandoned() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Overwrite, &FIRST, info(1)).await?;
    let (staging, change) = stage_rows(&table, "run-2", PublishMode::Overwrite, &SECOND).await?;
    let Change {
        added,
        removed,
        rows_staged,
        rows_written,
        ..
    } = &change;
    assert_eq!(
        (
            added.len(),
            change.replaced(),
            removed.len(),
            *rows_staged,
            *rows_written
        ),
        (2, 1, 0, 2, 2)
    );
    staging.abandon().await?;
    assert_eq!(rows_below(&folder)?.len(), 3);
    assert_at_rest(&folder).await
}
