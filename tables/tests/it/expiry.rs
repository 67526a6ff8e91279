//! Retention on real folders: what goes, what stays, and what is refused.

use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{Date32Array, Int32Array, RecordBatch};
use tables::{
    CommitMode, Error, ExpireOptions, Expiry, PublishMode, Retention, Table, TableOptions,
};
use tempfile::TempDir;

use crate::support::{
    TestResult, assert_at_rest, control, files_below, interval, ints, rows_below, session, stage,
    table_at,
};

async fn publish(folder: &Path, partition_by: &[&str], rows: RecordBatch) -> TestResult<Table> {
    let table = table_at(folder)?;
    let options = TableOptions {
        partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
        mode: PublishMode::Append,
        ..TableOptions::default()
    };
    let (staging, change) = stage(&table, "run-1", options, &session(None)?, &[vec![rows]]).await?;
    staging.publish(change, interval(1)).await?;
    Ok(table)
}

/// One row for each day from 2026-01-01, and one without.
async fn by_day(folder: &Path, days: i32) -> TestResult<Table> {
    let first = NaiveDate::from_ymd_opt(2026, 1, 1)
        .ok_or("no day")?
        .to_epoch_days();
    let dates = (0..days).map(|day| Some(first + day)).chain([None]);
    let rows = RecordBatch::try_from_iter([
        ("id", ints(0..=i64::from(days))),
        ("day", Arc::new(dates.collect::<Date32Array>())),
    ])?;
    publish(folder, &["day"], rows).await
}

fn keep_from(day: &str) -> TestResult<ExpireOptions> {
    Ok(ExpireOptions {
        first_kept: day.parse()?,
        column: None,
        span: None,
        allow_empty: false,
    })
}

fn names(expiry: &Expiry) -> Vec<&str> {
    expiry
        .expired
        .iter()
        .map(|gone| gone.partition.as_str())
        .collect()
}

#[tokio::test]
async fn partitions_before_the_limit_go_as_a_whole_and_undated_ones_stay() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = by_day(&folder, 10).await?;
    let before = table.current().await?.ok_or("no commit")?;
    let keep: Retention = "1w".parse()?;
    let as_of: NaiveDate = "2026-01-10".parse()?;
    let options = ExpireOptions {
        first_kept: keep.before(as_of).ok_or("no day")?,
        ..keep_from("2026-01-01")?
    };
    let files = (files_below(&folder), files_below(&control(&folder)));
    let plan = table.plan_expiry(&options).await?;
    assert_eq!(
        (files_below(&folder), files_below(&control(&folder))),
        files,
        "planning leaves no trace"
    );
    assert_eq!(names(&plan), ["day=2026-01-01", "day=2026-01-02"]);
    assert_eq!(plan.kept, 8);
    assert_eq!(plan.undated.len(), 1);
    assert_eq!(plan.undated[0].0, "day=__HIVE_DEFAULT_PARTITION__");

    let done = table.expire("expiry", &options).await?;
    assert_eq!((done.commit, &done.expired), (Some(2), &plan.expired));
    assert_eq!(rows_below(&folder)?.len(), 9);
    let after = table.current().await?.ok_or("no commit")?;
    assert_eq!(after.mode, CommitMode::Expire);
    assert_eq!(
        (
            &after.cursors,
            &after.intervals,
            &after.schema,
            &after.options
        ),
        (
            &before.cursors,
            &before.intervals,
            &before.schema,
            &before.options
        )
    );
    assert!(
        !folder.join("day=2026-01-01").exists(),
        "its folder goes too"
    );
    assert_at_rest(&folder).await?;
    let again = table.expire("expiry", &options).await?;
    assert_eq!((again.commit, again.expired.len()), (None, 0));
    Ok(())
}

#[tokio::test]
async fn a_table_is_emptied_only_when_that_is_said() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let first = NaiveDate::from_ymd_opt(2026, 1, 1)
        .ok_or("no day")?
        .to_epoch_days();
    let rows = RecordBatch::try_from_iter([
        ("id", ints([1, 2])),
        ("day", Arc::new(Date32Array::from(vec![first, first + 1]))),
    ])?;
    let table = publish(&folder, &["day"], rows).await?;
    let options = keep_from("2027-01-01")?;
    assert!(table.plan_expiry(&options).await?.empties_the_table());
    let error = table
        .expire("expiry", &options)
        .await
        .err()
        .ok_or("it went")?;
    assert!(
        matches!(error, Error::WouldBeEmpty { partitions: 2, .. }),
        "{error}"
    );
    assert_eq!(rows_below(&folder)?.len(), 2);
    assert_at_rest(&folder).await?;

    let allowed = ExpireOptions {
        allow_empty: true,
        ..options
    };
    assert_eq!(table.expire("expiry", &allowed).await?.commit, Some(2));
    assert_eq!(table.current().await?.ok_or("no commit")?.totals.files, 0);
    assert_at_rest(&folder).await?;
    assert_eq!(table.expire("expiry", &allowed).await?.commit, None);
    Ok(())
}

#[tokio::test]
async fn year_and_month_tell_the_date_and_a_month_goes_when_it_is_over() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let rows = RecordBatch::try_from_iter([
        ("id", ints([1, 2, 3, 4])),
        (
            "year",
            Arc::new(Int32Array::from(vec![
                Some(2025),
                Some(2026),
                Some(2026),
                None,
            ])),
        ),
        ("month", Arc::new(Int32Array::from(vec![12, 1, 13, 1]))),
    ])?;
    let table = publish(&folder, &["year", "month"], rows).await?;
    // On the last day of January some of it would still be kept.
    let plan = table.plan_expiry(&keep_from("2026-01-31")?).await?;
    assert_eq!(names(&plan), ["year=2025/month=12"]);
    let plan = table.plan_expiry(&keep_from("2026-02-01")?).await?;
    assert_eq!(names(&plan), ["year=2025/month=12", "year=2026/month=1"]);
    assert_eq!(plan.columns, "year, month");
    let undated: Vec<&str> = plan
        .undated
        .iter()
        .map(|(partition, _)| partition.as_str())
        .collect();
    assert_eq!(
        undated,
        [
            "year=2026/month=13",
            "year=__HIVE_DEFAULT_PARTITION__/month=1"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_table_without_dates_is_refused_with_its_columns() -> TestResult {
    let parent = TempDir::new()?;
    let rows = RecordBatch::try_from_iter([
        ("id", ints([1])),
        ("month", Arc::new(Int32Array::from(vec![1]))),
    ])?;
    let table = publish(&parent.path().join("t"), &["month"], rows).await?;
    let error = table
        .plan_expiry(&keep_from("2026-01-31")?)
        .await
        .err()
        .ok_or("accepted")?;
    assert!(
        error.to_string().contains("partitioned by: month"),
        "{error}"
    );
    let asked = ExpireOptions {
        column: Some("id".to_owned()),
        ..keep_from("2026-01-31")?
    };
    let error = table.plan_expiry(&asked).await.err().ok_or("accepted")?;
    assert!(
        error
            .to_string()
            .contains("\"id\" is not a partition column"),
        "{error}"
    );
    Ok(())
}
