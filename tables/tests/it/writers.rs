//! The writing operator: the same rows give the same files however they arrive, no row is lost, memory is bounded, and
//! two runs do not write one table at once.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{
    Float64Array, ListArray, RecordBatch, StringArray, StringViewArray,
};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tables::{Commit, Compression, Error, PublishMode, SortKey, TableOptions};

use crate::support::{
    TestResult, assert_at_rest, by_city, digests, events, files_below, info, ints, new_table,
    rows_below, session, stage, stage_rows, staged_dir, table_at, texts,
};

/// Rows with repeated sort values, NULLs in one stretch only, long and short texts, and lists; in random order.
fn mixed_rows(count: usize, seed: u64) -> TestResult<RecordBatch> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut ids: Vec<usize> = (0..count).collect();
    ids.shuffle(&mut random);
    let text = |id: &usize| {
        (id % 1000 < 700).then(|| format!("text {} {}", id % 977, "x".repeat(id % 40)))
    };
    let list = |id: &usize| match id % 5 {
        0 => None,
        length => Some(
            (0..length)
                .map(|item| (item != 2).then_some(i32::try_from(id % 100 + item).unwrap_or(0)))
                .collect::<Vec<_>>(),
        ),
    };
    Ok(RecordBatch::try_from_iter([
        ("id", ints(ids.iter().map(|id| Some(*id as i64)))),
        (
            "part",
            texts(ids.iter().map(|id| Some(format!("p{}", id % 3)))),
        ),
        ("at", ints(ids.iter().map(|id| Some((id / 50) as i64)))),
        (
            "text",
            Arc::new(ids.iter().map(text).collect::<StringViewArray>()),
        ),
        (
            "amount",
            Arc::new(
                ids.iter()
                    .map(|id| (*id > count / 2).then_some(*id as f64 / 3.0))
                    .collect::<Float64Array>(),
            ),
        ),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                ids.iter().map(list),
            )),
        ),
    ])?)
}

/// Cuts rows into random batches and deals them to partitions.
fn deal(rows: &RecordBatch, partitions: usize, largest: usize, seed: u64) -> Vec<Vec<RecordBatch>> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut dealt = vec![vec![rows.slice(0, 0)]; partitions];
    let mut at = 0;
    while at < rows.num_rows() {
        let length = random.random_range(1..=largest).min(rows.num_rows() - at);
        dealt[random.random_range(0..partitions)].push(rows.slice(at, length));
        at += length;
    }
    dealt
}

fn sorted_options() -> TableOptions {
    TableOptions {
        partition_by: vec!["part".to_owned()],
        sort: vec![SortKey {
            column: "at".to_owned(),
            descending: true,
            nulls_first: false,
        }],
        row_group_rows: 5_000,
        target_file_bytes: 30_000,
        ..TableOptions::default()
    }
}

async fn publish(
    options: TableOptions,
    ctx: &SessionContext,
    partitions: &[Vec<RecordBatch>],
) -> TestResult<(Commit, Vec<String>)> {
    let (_parent, folder, table) = new_table()?;
    let (staging, change) = stage(&table, "run-1", options, ctx, partitions).await?;
    let commit = staging.publish(change, info(1)).await?;
    assert_at_rest(&folder).await?;
    Ok((commit, rows_below(&folder)?))
}

fn block_on<T>(work: impl Future<Output = TestResult<T>>) -> TestResult<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(work)
}

/// The files of the reference input: one partition, one batch.
fn reference(rows: &RecordBatch) -> TestResult<BTreeMap<String, Vec<String>>> {
    let (commit, _) = block_on(publish(
        sorted_options(),
        &session(None)?,
        &[vec![rows.clone()]],
    ))?;
    assert!(
        commit.totals.files > 3,
        "files are rolled: {:?}",
        commit.totals
    );
    Ok(digests(&commit))
}

/// Forty thousand rows and the digests of their files, made once.
fn known() -> TestResult<&'static (RecordBatch, BTreeMap<String, Vec<String>>)> {
    static KNOWN: OnceLock<(RecordBatch, BTreeMap<String, Vec<String>>)> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known);
    }
    let rows = mixed_rows(40_000, 1)?;
    let digests = reference(&rows)?;
    Ok(KNOWN.get_or_init(|| (rows, digests)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_rows_give_the_same_bytes_however_they_arrive(
        seed in any::<u64>(),
        partitions in prop::sample::select(vec![1_usize, 2, 8]),
        largest in prop::sample::select(vec![7_usize, 100, 1024, 8192, 50_000]),
    ) {
        let (rows, expected) = known().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let dealt = deal(rows, partitions, largest, seed);
        let ctx = session(None).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (commit, _) = block_on(publish(sorted_options(), &ctx, &dealt))
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&digests(&commit), expected);
    }

    #[test]
    fn without_an_order_no_row_is_lost_or_doubled_however_they_arrive(
        seed in any::<u64>(),
        partitions in 1_usize..9,
        largest in 1_usize..9000,
    ) {
        let rows = mixed_rows(6_000, seed).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let options = TableOptions { sort: Vec::new(), ..sorted_options() };
        let ctx = session(None).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let written = |dealt: &[Vec<RecordBatch>]| {
            block_on(publish(options.clone(), &ctx, dealt)).map_err(|error| TestCaseError::fail(error.to_string()))
        };
        let (_, expected) = written(&[vec![rows.clone()]])?;
        let (_, found) = written(&deal(&rows, partitions, largest, seed))?;
        prop_assert_eq!(expected.len(), 6_000);
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn the_memory_budget_does_not_change_the_bytes() -> TestResult {
    let rows = mixed_rows(60_000, 2)?;
    let expected = reference(&rows)?;
    for memory in [10 << 20, 24 << 20] {
        let dealt = deal(&rows, 2, 8192, 3);
        let (commit, _) = block_on(publish(sorted_options(), &session(Some(memory))?, &dealt))?;
        assert_eq!(digests(&commit), expected, "memory {memory}");
    }
    Ok(())
}

#[test]
fn every_compression_is_readable_and_gives_other_bytes() -> TestResult {
    let rows = mixed_rows(5_000, 4)?;
    let mut expected = None;
    let mut seen = std::collections::BTreeSet::new();
    let all = [
        Compression::None,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Gzip(6),
        Compression::Zstd(1),
        Compression::Zstd(9),
    ];
    for compression in all {
        let options = TableOptions {
            compression,
            ..sorted_options()
        };
        let (commit, found) = block_on(publish(options, &session(None)?, &[vec![rows.clone()]]))?;
        assert_eq!(
            expected.get_or_insert_with(|| found.clone()),
            &found,
            "{compression:?}"
        );
        seen.insert(format!("{:?}", digests(&commit)));
    }
    assert_eq!(seen.len(), all.len());
    Ok(())
}

/// 2,000 partitions whose rows come in random order.
fn scattered(partitions: usize, each: usize) -> TestResult<RecordBatch> {
    let mut ids: Vec<usize> = (0..partitions * each).collect();
    ids.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(5));
    Ok(RecordBatch::try_from_iter([
        ("id", ints(ids.iter().map(|id| Some(*id as i64)))),
        (
            "part",
            ints(ids.iter().map(|id| Some((id % partitions) as i64))),
        ),
        (
            "text",
            texts(ids.iter().map(|id| Some(format!("text {id}")))),
        ),
    ])?)
}

#[test]
fn two_thousand_partitions_are_written_under_a_small_memory_pool() -> TestResult {
    let rows = scattered(2_000, 3)?;
    // More partitions than files can be open at once. Without an order, the writer sorts by partition by itself.
    for (sort, memory) in [(vec![], 4 << 20), (vec![SortKey::ascending("id")], 6 << 20)] {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)))
            .build()?;
        let mut config = SessionConfig::new().with_target_partitions(2);
        config.options_mut().execution.sort_spill_reservation_bytes = 256 << 10;
        let ctx = SessionContext::new_with_config_rt(config, Arc::new(runtime));
        let options = TableOptions {
            partition_by: vec!["part".to_owned()],
            sort,
            ..TableOptions::default()
        };
        let sorted = !options.sort.is_empty();
        let (commit, found) = block_on(publish(options, &ctx, &deal(&rows, 2, 1024, 6)))?;
        println!(
            "sorted {sorted}: {} files in {} partitions",
            commit.totals.files, commit.totals.partitions
        );
        assert_eq!((commit.totals.partitions, found.len()), (2_000, 6_000));
        assert_eq!(commit.totals.files, 2_000, "one file for each partition");
        let ids: std::collections::BTreeSet<&str> = found
            .iter()
            .filter_map(|row| row.split(": ").nth(1)?.split('|').next())
            .collect();
        assert_eq!(ids.len(), 6_000);
        assert_eq!(
            ctx.runtime_env().memory_pool.reserved(),
            0,
            "everything is given back"
        );
    }
    Ok(())
}

#[test]
fn a_pool_that_refuses_ends_row_groups_early_and_goes_on() -> TestResult {
    // Wide texts in few partitions: the encoders, not the number of files, are what does not fit.
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let count = 60_000_usize;
    let texts: Vec<String> = (0..count)
        .map(|_| format!("{:0200x}", random.random::<u128>()))
        .collect();
    let rows = RecordBatch::try_from_iter([
        ("id", ints(0..count as i64)),
        ("part", ints((0..count as i64).map(|id| Some(id % 4)))),
        ("text", Arc::new(StringArray::from_iter_values(&texts))),
    ])?;
    let options = TableOptions {
        partition_by: vec!["part".to_owned()],
        compression: Compression::None,
        ..TableOptions::default()
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(8 << 20)))
        .build()?;
    let ctx = SessionContext::new_with_config_rt(SessionConfig::new(), Arc::new(runtime));
    let batches: Vec<RecordBatch> = (0..count)
        .step_by(2_000)
        .map(|at| rows.slice(at, 2_000.min(count - at)))
        .map(|batch| compact(&batch))
        .collect::<TestResult<_>>()?;
    let (commit, found) = block_on(publish(options, &ctx, &[batches]))?;
    assert_eq!((commit.totals.partitions, found.len()), (4, count));
    assert!(
        commit.totals.files < 40,
        "row groups were ended, rather than files closed: {:?}",
        commit.totals
    );
    Ok(())
}

/// A batch that owns its rows alone, as an operator of the engine gives it.
fn compact(batch: &RecordBatch) -> TestResult<RecordBatch> {
    let rows: datafusion::arrow::array::UInt32Array =
        (0..u32::try_from(batch.num_rows())?).collect();
    Ok(datafusion::arrow::compute::take_record_batch(batch, &rows)?)
}

#[tokio::test]
async fn a_second_run_is_told_who_writes_the_table_and_changes_nothing() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let rows = [crate::support::Event(1, "Ghent", 10, None)];
    let (staging, change) = stage_rows(&table, "run-1", PublishMode::Overwrite, &rows).await?;
    let staged = files_below(&staged_dir(&staging)?);
    let other = table_at(&folder)?;
    let error = other
        .begin(
            "run-2",
            by_city(PublishMode::Overwrite),
            &events(&rows)?.schema(),
        )
        .await
        .err()
        .ok_or("let in")?;
    assert!(
        matches!(&error, Error::LeaseHeld { holder, .. } if holder.run_id.as_deref() == Some("run-1")),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(&format!("run run-1 (process {}", std::process::id())),
        "{error}"
    );
    let error = other
        .recover()
        .await
        .err()
        .ok_or("recovered under a live run")?;
    assert!(matches!(error, Error::LeaseHeld { .. }), "{error}");
    assert_eq!(files_below(&staged_dir(&staging)?), staged);
    staging.publish(change, info(1)).await?;
    assert_at_rest(&folder).await?;
    // The lease is free again.
    other
        .begin(
            "run-2",
            by_city(PublishMode::Overwrite),
            &events(&rows)?.schema(),
        )
        .await?
        .abandon()
        .await?;
    Ok(())
}
