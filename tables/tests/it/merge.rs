//! Merging by key: what is inserted, updated, dropped, and what is left alone.

use datafusion::physical_plan::collect;
use tables::{MergeCounts, PublishMode, SortKey, TableOptions};

use crate::lake::FIRST;
use crate::support::{
    Event, TestResult, assert_at_rest, by_city, events, files_below, info, input, ints, new_table,
    rows_below, run, run_with, session, stage, stage_rows,
};

#[tokio::test]
async fn arriving_keys_update_or_insert_and_untouched_partitions_keep_their_files() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Merge, &FIRST, info(1)).await?;
    let riga = |files: Vec<String>| files.into_iter().find(|file| file.starts_with("city=Riga"));
    let before = riga(files_below(&folder));
    let arriving = [
        Event(2, "Ghent", 21, Some("changed")),
        Event(5, "Ghent", 5, None),
        Event(6, "Turku", 60, None),
    ];
    let (staging, change) = stage_rows(&table, "run-2", PublishMode::Merge, &arriving).await?;
    assert_eq!(
        change.merge,
        Some(MergeCounts {
            inserted: 2,
            updated: 1,
            duplicates_dropped: 0,
            ..MergeCounts::default()
        })
    );
    assert_eq!(
        (
            change.rows_staged,
            change.rows_written,
            change.replaced(),
            change.removed.len()
        ),
        (3, 4, 1, 0)
    );
    staging.publish(change, info(2)).await?;
    let at = |second: i64| format!("1970-01-01T00:00:00.{second:06}");
    assert_eq!(
        rows_below(&folder)?,
        [
            format!("city=Ghent: 1|{}|a", at(10)),
            format!("city=Ghent: 2|{}|changed", at(21)),
            format!("city=Ghent: 5|{}|", at(5)),
            format!("city=Oulu: 3|{}|b", at(30)),
            format!("city=Riga: 4|{}|c", at(40)),
            format!("city=Turku: 6|{}|", at(60)),
        ]
    );
    assert_eq!(riga(files_below(&folder)), before);
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn the_greatest_row_of_a_repeated_key_wins_in_new_and_in_published_partitions() -> TestResult
{
    let arriving = [
        Event(1, "Ghent", 99, Some("latest")),
        Event(1, "Ghent", 50, Some("older")),
        Event(7, "Turku", 7, None),
        Event(7, "Turku", 7, Some("b")),
        Event(7, "Turku", 7, Some("a")),
        Event(8, "Turku", 8, None),
    ];
    for descending in [false, true] {
        let (_parent, folder, table) = new_table()?;
        let sort = vec![SortKey {
            column: "at".to_owned(),
            descending,
            nulls_first: descending,
        }];
        let options = TableOptions {
            sort,
            ..by_city(PublishMode::Merge)
        };
        run_with(&table, "run-1", options.clone(), &FIRST, info(1)).await?;
        let ctx = session(None)?;
        let (staging, change) = stage(
            &table,
            "run-2",
            options.clone(),
            &ctx,
            &[vec![events(&arriving)?]],
        )
        .await?;
        assert_eq!(
            change.merge,
            Some(MergeCounts {
                inserted: 2,
                updated: 1,
                duplicates_dropped: 3,
                ..MergeCounts::default()
            })
        );
        staging.publish(change, info(2)).await?;
        let rows = rows_below(&folder)?;
        assert_eq!(rows.len(), 6, "{rows:#?}");
        for wanted in [
            "city=Ghent: 1|1970-01-01T00:00:00.000099|latest",
            "city=Turku: 7|1970-01-01T00:00:00.000007|b",
        ] {
            assert!(
                rows.iter().any(|row| row == wanted),
                "{wanted} in {rows:#?}"
            );
        }
        // The same arrivals once more: the winners are there already.
        let (staging, change) =
            stage(&table, "run-3", options, &ctx, &[vec![events(&arriving)?]]).await?;
        assert!(change.is_empty(), "{change:#?}");
        staging.publish(change, info(2)).await?;
        assert_at_rest(&folder).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_merge_without_a_declared_order_still_publishes_a_key_once_and_reruns_unchanged()
-> TestResult {
    let (_parent, folder, table) = new_table()?;
    let options = TableOptions {
        sort: Vec::new(),
        ..by_city(PublishMode::Merge)
    };
    run_with(&table, "run-1", options.clone(), &FIRST, info(1)).await?;
    let arriving = [
        Event(2, "Ghent", 21, Some("x")),
        Event(2, "Ghent", 22, Some("x")),
    ];
    run_with(&table, "run-2", options.clone(), &arriving, info(2)).await?;
    let commit = run_with(&table, "run-3", options, &arriving, info(2)).await?;
    assert_eq!((commit.number, commit.totals.rows), (2, 4));
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_key_of_several_columns_with_nulls_is_one_key() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let options = TableOptions {
        key: vec!["id".to_owned(), "note".to_owned(), "city".to_owned()],
        ..by_city(PublishMode::Merge)
    };
    run_with(&table, "run-1", options.clone(), &FIRST, info(1)).await?;
    let arriving = [
        Event(2, "Ghent", 21, None),
        Event(1, "Ghent", 11, Some("other")),
    ];
    let commit = run_with(&table, "run-2", options, &arriving, info(2)).await?;
    assert_eq!(
        commit.totals.rows, 5,
        "id 2 is updated though its note is NULL; id 1 with another note is new"
    );
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_merge_under_a_small_memory_pool_gives_the_same_table() -> TestResult {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    let rows = |ids: std::ops::Range<i64>, text: &str| -> TestResult<Vec<RecordBatch>> {
        let ids: Vec<i64> = ids.collect();
        let batches: Result<Vec<_>, _> = ids
            .chunks(4096)
            .map(|ids| {
                RecordBatch::try_from_iter([
                    ("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef),
                    ("part", ints(ids.iter().map(|id| Some(id % 2)))),
                    (
                        "text",
                        Arc::new(StringArray::from_iter_values(
                            ids.iter().map(|id| format!("{text} {id:060}")),
                        )),
                    ),
                ])
            })
            .collect();
        Ok(batches?)
    };
    let options = TableOptions {
        partition_by: vec!["part".to_owned()],
        mode: PublishMode::Merge,
        key: vec!["id".to_owned()],
        row_group_rows: 8_192,
        ..TableOptions::default()
    };
    let mut digests = Vec::new();
    for memory in [None, Some(12 << 20), Some(4 << 20)] {
        let (_parent, folder, table) = new_table()?;
        let ctx = session(None)?;
        let published = [rows(0..120_000, "old")?];
        let (staging, change) = stage(&table, "run-1", options.clone(), &ctx, &published).await?;
        staging.publish(change, info(1)).await?;
        let input = input(&[rows(60_000..90_000, "new")?, rows(80_000..150_000, "new")?])?;
        let staging = table
            .begin("run-2", options.clone(), &input.schema())
            .await?;
        let staged = collect(staging.write_plan(input)?, ctx.task_ctx()).await?;
        let change = staging
            .prepare(&session(memory)?, staging.staged(&staged)?)
            .await?;
        assert_eq!(
            change.merge,
            Some(MergeCounts {
                inserted: 30_000,
                updated: 60_000,
                duplicates_dropped: 10_000,
                ..MergeCounts::default()
            }),
            "memory {memory:?}"
        );
        let commit = staging.publish(change, info(2)).await?;
        assert_eq!(commit.totals.rows, 150_000);
        assert_at_rest(&folder).await?;
        digests.push(crate::support::digests(&commit));
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
    Ok(())
}
