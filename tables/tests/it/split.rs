//! Large partitions of a table with an order, written by several streams as ranges of it: the same files whatever
//! streams and processes there are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::{
    ExecutionPlan, ReplaceChildrenOptions, collect, collect_partitioned,
};
use datafusion::prelude::SessionContext;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tables::{
    CompactOptions, Error, PublishMode, SortKey, Staging, StorageOptions, Table, TableOptions,
    decode_operator, encode_operator,
};
use tempfile::TempDir;

use crate::support::{TestResult, assert_at_rest, info, ints, session, table_at};

const ROWS: i64 = 20_000;
const SPLIT_ROWS: u64 = 2_000;

/// Four of five rows are of one day. `at` is NULL in every fiftieth, and every value of it is there about three times.
fn rows() -> TestResult<RecordBatch> {
    let day = |id: i64| {
        if id % 5 == 0 {
            ["mon", "tue"][(id % 2).unsigned_abs() as usize]
        } else {
            "sun"
        }
    };
    let at = |id: i64| (id % 50 != 0).then_some((id * 7919) % (ROWS / 3));
    Ok(RecordBatch::try_from_iter([
        ("id", ints(0..ROWS)),
        (
            "day",
            Arc::new(StringArray::from_iter_values((0..ROWS).map(day))),
        ),
        ("at", ints((0..ROWS).map(at))),
    ])?)
}

fn options() -> TableOptions {
    TableOptions {
        partition_by: vec!["day".to_owned()],
        sort: vec![SortKey::ascending("at")],
        split_rows: Some(SPLIT_ROWS),
        ..TableOptions::default()
    }
}

/// The rows in another order, in so many streams.
fn dealt(seed: u64, streams: usize) -> TestResult<Vec<Vec<RecordBatch>>> {
    let rows = rows()?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows())?).collect();
    order.shuffle(&mut random);
    let mut dealt = vec![vec![rows.slice(0, 0)]; streams];
    for chosen in order.chunks(700) {
        let chosen = UInt32Array::from(chosen.to_vec());
        dealt[random.random_range(0..streams)].push(take_record_batch(&rows, &chosen)?);
    }
    Ok(dealt)
}

/// A plan as another process has it.
fn sent(plan: &Arc<dyn ExecutionPlan>) -> TestResult<Arc<dyn ExecutionPlan>> {
    let inputs = plan
        .children()
        .into_iter()
        .map(sent)
        .collect::<TestResult<Vec<_>>>()?;
    Ok(match encode_operator(plan.as_ref())? {
        Some(bytes) => decode_operator(&bytes, inputs, &StorageOptions::from_variables([]))?,
        None if inputs.is_empty() => Arc::clone(plan),
        None => Arc::clone(plan).replace_children(
            inputs,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )?,
    })
}

/// The query of all rows.
fn query(ctx: &SessionContext, partitions: &[Vec<RecordBatch>]) -> TestResult<LogicalPlan> {
    let rows = MemTable::try_new(rows()?.schema(), partitions.to_vec())?;
    Ok(ctx.read_table(Arc::new(rows))?.into_unoptimized_plan())
}

/// What is looked at first, as a driver does it.
async fn sample(
    staging: &mut Staging,
    ctx: &SessionContext,
    query: &LogicalPlan,
    elsewhere: bool,
) -> TestResult<Option<u64>> {
    let looked_at = staging.sample_query(query)?.ok_or("nothing is split")?;
    let input = ctx.state().create_physical_plan(&looked_at).await?;
    let Some(mut plan) = staging.sample_plan(input)? else {
        return Ok(None);
    };
    if elsewhere {
        plan = sent(&plan)?;
    }
    let sampled = collect(plan, ctx.task_ctx()).await?;
    Ok(Some(staging.split(&sampled)?))
}

/// Publishes the rows in this process, or by way of bytes as in others; gives the digests of each partition's files.
async fn publish(
    folder: &Path,
    options: TableOptions,
    partitions: &[Vec<RecordBatch>],
    elsewhere: bool,
    memory: Option<usize>,
) -> TestResult<BTreeMap<String, String>> {
    let (table, ctx) = (table_at(folder)?, session(memory)?);
    let query = query(&ctx, partitions)?;
    let input = ctx.state().create_physical_plan(&query).await?;
    let mut staging = table.begin("run", options, &input.schema()).await?;
    let looked_at = sample(&mut staging, &ctx, &query, elsewhere).await?;
    assert_eq!(looked_at, Some(ROWS.unsigned_abs()));
    let staged = if elsewhere {
        let attempt = staging.begin_remote(1).await?;
        let plan = sent(&staging.remote_plan(&attempt, input, 3, 6)?)?;
        let rows = collect(plan, ctx.task_ctx()).await?;
        staging.staged_remotely(&attempt, &rows)?
    } else {
        let rows = collect(staging.write_plan(input)?, ctx.task_ctx()).await?;
        staging.staged(&rows)?
    };
    assert_eq!(staged.rows(), ROWS.unsigned_abs());
    let change = staging.prepare(&ctx, staged).await?;
    let commit = staging.publish(change, info(1)).await?;
    assert_at_rest(folder).await?;
    // A name has the run in it, behind the number.
    let numbered = |path: &str| {
        path.rsplit_once("part-")
            .map(|(_, name)| name[..5].to_owned())
    };
    let files = commit.files.iter().map(|file| {
        let number = numbered(&file.path).unwrap_or_default();
        (
            format!("{}/{number}", file.partition()),
            file.sha256.clone(),
        )
    });
    Ok(files.collect())
}

/// The values of `at` in each file of a partition, in the order of the files' names.
fn ranges(folder: &Path) -> TestResult<Vec<Vec<Option<i64>>>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    files
        .into_iter()
        .map(|file| {
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file.path())?)?
                    .build()?;
            let mut values = Vec::new();
            for batch in reader {
                let batch = batch?;
                let at = batch.column_by_name("at").ok_or("no column at")?;
                values.extend(at.as_primitive::<Int64Type>().iter());
            }
            Ok(values)
        })
        .collect()
}

#[tokio::test]
async fn a_large_partition_is_ranges_of_its_order_in_files_of_about_the_size_asked_for()
-> TestResult {
    let home = TempDir::new()?;
    let folder = home.path().join("t");
    publish(&folder, options(), &dealt(1, 3)?, false, None).await?;
    let files = ranges(&folder.join("day=sun"))?;
    assert_eq!(files.len(), 8, "16,000 rows");
    for file in &files {
        assert!((1_900..=2_100).contains(&file.len()), "{}", file.len());
    }
    // NULL last, as declared; a value is in one file only.
    let all: Vec<Option<i64>> = files.concat();
    assert!(all.is_sorted_by_key(|at| at.unwrap_or(i64::MAX)));
    for pair in files.windows(2) {
        assert!(pair[0].last() != pair[1].first(), "a value is in two files");
    }
    assert_eq!(ranges(&folder.join("day=mon"))?.len(), 1, "2,000 rows");
    Ok(())
}

#[tokio::test]
async fn the_files_are_the_same_from_any_number_of_streams_and_processes() -> TestResult {
    let home = TempDir::new()?;
    let sorts = [
        vec![SortKey::ascending("at")],
        vec![SortKey {
            column: "at".to_owned(),
            descending: true,
            nulls_first: true,
        }],
    ];
    for (sort, name) in sorts.into_iter().zip(["up", "down"]) {
        let options = TableOptions { sort, ..options() };
        let mut all = Vec::new();
        for (seed, streams, elsewhere, memory) in [
            (1, 1, false, None),
            (2, 2, false, Some(8 << 20)),
            (3, 7, false, None),
            (4, 1, true, None),
            (5, 6, true, None),
        ] {
            let folder = home.path().join(format!("{name}-{seed}"));
            let partitions = dealt(seed, streams)?;
            all.push(publish(&folder, options.clone(), &partitions, elsewhere, memory).await?);
        }
        assert_eq!(all[0].len(), 10, "{:?}", all[0]);
        assert!(all.iter().all(|files| *files == all[0]), "{all:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn ranges_are_dealt_evenly_to_all_streams() -> TestResult {
    let home = TempDir::new()?;
    let ctx = session(None)?;
    let query = query(&ctx, &dealt(1, 3)?)?;
    let input = ctx.state().create_physical_plan(&query).await?;
    let table = table_at(&home.path().join("t"))?;
    let mut staging = table.begin("run", options(), &input.schema()).await?;
    sample(&mut staging, &ctx, &query, false).await?;
    let streams = collect_partitioned(staging.write_plan(input)?, ctx.task_ctx()).await?;
    let files: Vec<usize> = streams
        .iter()
        .map(|batches| batches.iter().map(RecordBatch::num_rows).sum())
        .collect();
    // Eight ranges of one day, and two days.
    assert_eq!(files.iter().sum::<usize>(), 10, "{files:?}");
    assert!(
        files.len() > 1 && files.iter().all(|files| *files > 2),
        "{files:?}"
    );
    Ok(staging.abandon().await?)
}

#[tokio::test]
async fn compaction_leaves_the_ranges_alone() -> TestResult {
    let home = TempDir::new()?;
    let folder = home.path().join("t");
    publish(&folder, options(), &dealt(1, 3)?, false, None).await?;
    let table = Table::at(&folder.display().to_string())?;
    let plan = table.plan_compaction(&CompactOptions::default()).await?;
    assert!(plan.partitions.is_empty(), "{plan:?}");
    let untouched = TableOptions {
        split_rows: None,
        ..options()
    };
    let ctx = session(None)?;
    let input = ctx
        .state()
        .create_physical_plan(&query(&ctx, &dealt(1, 3)?)?)
        .await?;
    // Few rows are known to be few: nothing is looked at.
    let few = TableOptions {
        split_rows: Some(1 << 20),
        ..options()
    };
    for options in [untouched, few] {
        let staging = table.begin("run", options, &input.schema()).await?;
        assert!(staging.sample_plan(Arc::clone(&input))?.is_none());
        staging.abandon().await?;
    }
    Ok(())
}

#[tokio::test]
async fn splitting_needs_an_order_and_is_not_for_merges() -> TestResult {
    let home = TempDir::new()?;
    let schema = rows()?.schema();
    let unsorted = TableOptions {
        sort: Vec::new(),
        ..options()
    };
    let merge = TableOptions {
        mode: PublishMode::Merge,
        key: vec!["id".to_owned()],
        ..options()
    };
    for (options, reason) in [(unsorted, "needs sort"), (merge, "a merge writes")] {
        let refused = table_at(&home.path().join("t"))?
            .begin("run", options, &schema)
            .await;
        let Err(error @ Error::Options { .. }) = refused else {
            return Err(format!("{refused:?}").into());
        };
        assert!(error.to_string().contains(reason), "{error}");
    }
    Ok(())
}
