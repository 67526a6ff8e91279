//! Compaction on real folders.

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use tables::{CommitMode, CompactOptions, Error, PublishMode, SortKey, Table, TableOptions};
use tempfile::TempDir;

use crate::support::{
    Event, TestResult, assert_at_rest, by_city, control, digests, files_below, info, interval,
    ints, new_table, rows_below, rows_of_file, run, run_with, session, stage, table_at, texts,
};

const CITIES: [&str; 3] = ["Ghent", "Oulu", "Köln/Süd"];

pub(crate) fn appended(round: i64) -> Vec<Event> {
    // Later rounds bring earlier times, so that merging without sorting would show.
    (0..6)
        .map(|id| {
            Event(
                round * 100 + id,
                CITIES[usize::try_from(id % 3).unwrap_or(0)],
                1000 - round * 10 - id,
                (id % 2 == 0).then_some("note"),
            )
        })
        .collect()
}

/// A table of three partitions with four small files each.
pub(crate) async fn scattered(folder: &Path, options: &TableOptions) -> TestResult<Table> {
    let table = table_at(folder)?;
    for round in 1..=4 {
        run_with(
            &table,
            &format!("run-{round}"),
            options.clone(),
            &appended(round),
            interval(round),
        )
        .await?;
    }
    Ok(table)
}

pub(crate) async fn compact(
    table: &Table,
    options: &CompactOptions,
) -> TestResult<tables::Compaction> {
    let ctx = session(Some(64 << 20))?;
    let stop = std::future::pending();
    Ok(table.compact("compaction", &ctx, options, stop).await?)
}

#[tokio::test]
async fn small_files_become_one_with_the_same_rows_in_the_order_of_the_table() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = scattered(&folder, &by_city(PublishMode::Append)).await?;
    let before = table.current().await?.ok_or("no commit")?;
    let rows = rows_below(&folder)?;
    assert_eq!(before.totals.files, 12);

    let done = compact(&table, &CompactOptions::default()).await?;
    assert_eq!(
        (done.commit, done.partitions.len(), done.untouched),
        (Some(5), 3, 0)
    );
    assert!(done.options_known);
    for partition in &done.partitions {
        assert_eq!(
            (
                partition.files_before,
                partition.files_after,
                partition.rows
            ),
            (4, Some(1), 8)
        );
    }
    assert_eq!(rows_below(&folder)?, rows, "the same rows");
    let after = table.current().await?.ok_or("no commit")?;
    assert_eq!(after.mode, CommitMode::Compact);
    assert_eq!(after.totals.files, 3);
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
        ),
        "carried over"
    );
    for file in &after.files {
        let times: Vec<String> = rows_of_file(&folder.join(&file.path))?
            .iter()
            .filter_map(|row| row.split('|').nth(1).map(str::to_owned))
            .collect();
        assert!(
            times.is_sorted() && times.len() == 8,
            "sorted by `at`: {times:?}"
        );
    }
    // The same bytes as if all rows had been published at once.
    let once = parent.path().join("once");
    let all: Vec<Event> = (1..=4).flat_map(appended).collect();
    let at_once = run(
        &table_at(&once)?,
        "once",
        PublishMode::Append,
        &all,
        info(4),
    )
    .await?;
    assert_eq!(digests(&after), digests(&at_once));

    // A second time there is nothing to do, and nothing is touched.
    let control_before = files_below(&control(&folder));
    let again = compact(&table, &CompactOptions::default()).await?;
    assert_eq!(
        (again.commit, again.partitions.len(), again.untouched),
        (None, 0, 3)
    );
    assert_eq!(files_below(&control(&folder)), control_before);
    assert_at_rest(&folder).await?;
    // And a table that was compacted goes on as before.
    let repeated = run(
        &table,
        "run-4",
        PublishMode::Append,
        &appended(4),
        interval(4),
    )
    .await;
    let repeated = repeated.err().ok_or("the interval was appended twice")?;
    assert!(
        matches!(
            repeated.downcast_ref(),
            Some(Error::IntervalCommitted { .. })
        ),
        "{repeated}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_planned_is_what_is_done_and_planning_leaves_no_trace() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = scattered(&folder, &by_city(PublishMode::Append)).await?;
    let options = CompactOptions {
        partitions: vec!["city=Oulu".parse()?],
        ..CompactOptions::default()
    };
    let before = (files_below(&folder), files_below(&control(&folder)));
    let plan = table.plan_compaction(&options).await?;
    assert_eq!(
        (files_below(&folder), files_below(&control(&folder))),
        before
    );
    assert_eq!(
        (plan.partitions.len(), plan.untouched, plan.commit),
        (1, 2, None)
    );
    let done = compact(&table, &options).await?;
    assert_eq!(plan.partitions[0].partition, done.partitions[0].partition);
    assert_eq!(table.current().await?.ok_or("no commit")?.totals.files, 9);

    let unknown = CompactOptions {
        partitions: vec!["ctiy=Oulu".parse()?],
        ..CompactOptions::default()
    };
    let error = table
        .plan_compaction(&unknown)
        .await
        .err()
        .ok_or("accepted")?;
    assert!(error.to_string().contains("there are: city"), "{error}");
    let enough = CompactOptions {
        min_files: 5,
        ..CompactOptions::default()
    };
    assert_eq!(compact(&table, &enough).await?.commit, None);
    let error = table_at(&parent.path().join("none"))?
        .plan_compaction(&options)
        .await
        .err()
        .ok_or("accepted")?;
    assert!(matches!(error, Error::NoTable { .. }), "{error}");
    assert!(!parent.path().join(".none.spillway").exists());
    Ok(())
}

/// Rows whose texts do not compress, so that sizes are what they look like.
fn wide(from: i64, count: i64) -> TestResult<RecordBatch> {
    let text = |id: i64| {
        let mut state = id.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..16)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                format!("{state:016x}")
            })
            .collect::<String>()
    };
    Ok(RecordBatch::try_from_iter([
        ("id", ints(from..from + count)),
        ("text", texts((from..from + count).map(|id| Some(text(id))))),
    ])?)
}

#[tokio::test]
async fn large_files_are_left_alone_and_without_an_order_rows_keep_theirs() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let ctx = session(None)?;
    let options = TableOptions {
        mode: PublishMode::Append,
        compression: tables::Compression::None,
        ..TableOptions::default()
    };
    // One file of about 2.6 MB, then ten of about 26 kB.
    for (round, count) in std::iter::once(10_000)
        .chain(std::iter::repeat_n(100, 10))
        .enumerate()
    {
        let round = i64::try_from(round)?;
        let rows = wide(100_000 - round * 10_000, count)?;
        let run_id = format!("run-{round}");
        let (staging, change) =
            stage(&table, &run_id, options.clone(), &ctx, &[vec![rows]]).await?;
        staging.publish(change, info(round)).await?;
    }
    let before = table.current().await?.ok_or("no commit")?;
    let rows = rows_below(&folder)?;
    let large = before
        .files
        .iter()
        .max_by_key(|file| file.bytes)
        .ok_or("no file")?;
    let options = CompactOptions {
        target_bytes: Some(2 << 20),
        ..CompactOptions::default()
    };
    let done = compact(&table, &options).await?;
    assert_eq!(
        (
            done.partitions[0].files_before,
            done.partitions[0].files_after
        ),
        (10, Some(1))
    );
    let after = table.current().await?.ok_or("no commit")?;
    assert!(
        after.files.contains(large),
        "the large file is the same one"
    );
    assert_eq!(after.files.len(), 2);
    assert_eq!(rows_below(&folder)?, rows);
    assert_at_rest(&folder).await?;
    // Everything into files of about 1 MB would be more files than there are: nothing to gain.
    assert_eq!(compact(&table, &options).await?.commit, None);
    Ok(())
}

#[tokio::test]
async fn merged_tables_are_compacted_in_the_order_of_their_key() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    // The same rows appended in two runs and merged in one: compacting the first must give the bytes of the second.
    let unsorted = TableOptions {
        sort: Vec::new(),
        key: vec!["id".to_owned()],
        ..by_city(PublishMode::Append)
    };
    let table = table_at(&folder)?;
    run_with(&table, "run-1", unsorted.clone(), &appended(1), info(1)).await?;
    run_with(&table, "run-2", unsorted.clone(), &appended(2), info(2)).await?;
    // The newest run publishes with `merge`: from now on the table has its order.
    let merge = TableOptions {
        mode: PublishMode::Merge,
        ..unsorted.clone()
    };
    let extra = [Event(900, "Turku", 1, None)];
    run_with(&table, "run-3", merge.clone(), &extra, info(3)).await?;
    compact(&table, &CompactOptions::default()).await?;
    let mut all = appended(1);
    all.extend(appended(2));
    all.extend(extra);
    let once = run_with(
        &table_at(&parent.path().join("once"))?,
        "once",
        merge,
        &all,
        info(3),
    )
    .await?;
    assert_eq!(
        digests(&table.current().await?.ok_or("no commit")?),
        digests(&once)
    );
    Ok(())
}

#[tokio::test]
async fn a_table_whose_log_does_not_say_its_options_is_compacted_with_the_defaults() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = scattered(&folder, &by_city(PublishMode::Append)).await?;
    // As a log looks that was written before options were recorded.
    for number in 1..=4 {
        let path = control(&folder).join(format!("commits/{number:08}.json"));
        let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        record
            .as_object_mut()
            .ok_or("no record")?
            .remove("options")
            .ok_or("no options")?;
        std::fs::write(&path, serde_json::to_vec(&record)?)?;
    }
    let rows = rows_below(&folder)?;
    let done = compact(&table, &CompactOptions::default()).await?;
    assert_eq!((done.options_known, done.commit), (false, Some(5)));
    assert_eq!(rows_below(&folder)?, rows);
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_compaction_that_is_stopped_changes_nothing() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = scattered(&folder, &by_city(PublishMode::Append)).await?;
    let before = table.current().await?;
    let ctx = session(None)?;
    let error = table
        .compact(
            "compaction",
            &ctx,
            &CompactOptions::default(),
            std::future::ready(()),
        )
        .await
        .err()
        .ok_or("it went on")?;
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    assert_eq!(table.current().await?, before);
    assert_at_rest(&folder).await?;
    // A live run keeps compaction out, and the other way round nothing is left in the way.
    let (staging, _) = stage(
        &table,
        "run-5",
        by_city(PublishMode::Append),
        &ctx,
        &[vec![crate::support::events(&appended(5))?]],
    )
    .await?;
    let error = compact(&table, &CompactOptions::default())
        .await
        .err()
        .ok_or("let in")?;
    assert!(
        matches!(error.downcast_ref(), Some(Error::LeaseHeld { .. })),
        "{error}"
    );
    staging.abandon().await?;
    compact(&table, &CompactOptions::default()).await?;
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn compaction_of_much_data_spills_under_a_small_pool() -> TestResult {
    let (parent, folder, table) = new_table()?;
    let options = TableOptions {
        mode: PublishMode::Append,
        sort: vec![SortKey::ascending("text")],
        ..TableOptions::default()
    };
    for round in 0..4 {
        let rows = wide(round * 10_000, 10_000)?;
        let run_id = format!("run-{round}");
        let (staging, change) = stage(
            &table,
            &run_id,
            options.clone(),
            &session(None)?,
            &[vec![rows]],
        )
        .await?;
        staging.publish(change, info(round)).await?;
    }
    let rows = rows_below(&folder)?;
    let mut seen = BTreeMap::new();
    for memory in [None, Some(12 << 20)] {
        let copy = parent.path().join(format!("copy-{}", memory.unwrap_or(0)));
        copy_folder(&folder, &copy)?;
        copy_folder(&control(&folder), &control(&copy))?;
        let table = table_at(&copy)?;
        let ctx = session(memory)?;
        let stop = std::future::pending();
        table
            .compact("compaction", &ctx, &CompactOptions::default(), stop)
            .await?;
        assert_eq!(rows_below(&copy)?, rows);
        assert_eq!(ctx.runtime_env().memory_pool.reserved(), 0);
        seen.insert(memory, digests(&table.current().await?.ok_or("no commit")?));
    }
    assert_eq!(
        seen[&None],
        seen[&Some(12 << 20)],
        "memory does not change the bytes"
    );
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> TestResult {
    for file in files_below(from) {
        let target = to.join(&file);
        std::fs::create_dir_all(target.parent().ok_or("no parent")?)?;
        std::fs::copy(from.join(&file), target)?;
    }
    Ok(())
}
