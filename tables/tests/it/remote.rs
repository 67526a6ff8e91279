//! Staging in other processes: parts of a plan go as bytes to whoever executes them, and come back once each or not at
//! all.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ReplaceChildrenOptions, collect};
use tables::{
    Error, PublishMode, Staging, StorageOptions, TableOptions, decode_operator, encode_operator,
};
use tempfile::TempDir;

use crate::support::{
    Event, TestResult, assert_at_rest, by_city, events, info, input, rows_below, run_with, session,
    table_at,
};

fn unsorted() -> TableOptions {
    TableOptions {
        sort: Vec::new(),
        ..by_city(PublishMode::Replace)
    }
}

/// Three parts with rows of the same two cities.
fn parts() -> TestResult<Vec<Vec<RecordBatch>>> {
    (0..3)
        .map(|part| {
            let rows = [
                Event(part, "Bonn", part, None),
                Event(part + 10, "Lund", part, Some("note")),
            ];
            Ok(vec![events(&rows)?])
        })
        .collect()
}

/// What a cluster does to the leaves of a plan for a task: of each, only these partitions.
fn restricted(
    plan: &Arc<dyn ExecutionPlan>,
    parts: &[usize],
) -> TestResult<Arc<dyn ExecutionPlan>> {
    if let Some(leaf) = plan.downcast_ref::<DataSourceExec>() {
        let source: &dyn Any = leaf.data_source().as_ref();
        let source = source.downcast_ref::<MemorySourceConfig>();
        let source = source.ok_or("a leaf that is not in memory")?;
        let kept: Vec<Vec<RecordBatch>> = parts
            .iter()
            .map(|part| source.partitions()[*part].clone())
            .collect();
        return Ok(MemorySourceConfig::try_new_exec(
            &kept,
            plan.schema(),
            None,
        )?);
    }
    let inputs = plan.children().into_iter();
    let inputs: Vec<_> = inputs
        .map(|input| restricted(input, parts))
        .collect::<TestResult<_>>()?;
    let recomputed = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Arc::clone(plan).replace_children(inputs, recomputed)?)
}

/// Executes tasks of these parts as other processes would: the operator comes as bytes, and is the task's own.
async fn executed(
    plan: &Arc<dyn ExecutionPlan>,
    tasks: &[&[usize]],
) -> TestResult<Vec<RecordBatch>> {
    let bytes = encode_operator(plan.as_ref())?.ok_or("the plan does not write")?;
    let mut rows = Vec::new();
    for parts in tasks {
        let inputs = plan.children().into_iter();
        let inputs: Vec<_> = inputs
            .map(|input| restricted(input, parts))
            .collect::<TestResult<_>>()?;
        let operator = decode_operator(&bytes, inputs, &StorageOptions::from_variables([]))?;
        rows.extend(collect(operator, session(None)?.task_ctx()).await?);
    }
    Ok(rows)
}

async fn begun(folder: &Path, options: TableOptions) -> TestResult<Staging> {
    let schema = input(&parts()?)?.schema();
    Ok(table_at(folder)?.begin("run", options, &schema).await?)
}

#[tokio::test]
async fn each_process_writes_its_files_of_a_table_without_order() -> TestResult {
    let home = TempDir::new()?;
    let one: &[&[usize]] = &[&[0, 1, 2]];
    let three: &[&[usize]] = &[&[0], &[1], &[2]];
    let uneven: &[&[usize]] = &[&[0, 2], &[1]];
    for (name, tasks) in [("one", one), ("three", three), ("uneven", uneven)] {
        let folder = home.path().join(name);
        let mut staging = begun(&folder, unsorted()).await?;
        let attempt = staging.begin_remote(1).await?;
        let plan = staging.remote_plan(&attempt, input(&parts()?)?, 3, 3)?;
        let rows = executed(&plan, tasks).await?;
        let staged = staging.staged_remotely(&attempt, &rows)?;
        assert_eq!(staged.rows(), 6);
        let change = staging.prepare(&session(None)?, staged).await?;
        staging.publish(change, info(1)).await?;
        assert_eq!(rows_below(&folder)?.len(), 6);
        assert_at_rest(&folder).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_part_that_ran_in_two_tasks_is_refused() -> TestResult {
    let home = TempDir::new()?;
    let mut staging = begun(&home.path().join("table"), unsorted()).await?;
    let attempt = staging.begin_remote(1).await?;
    let plan = staging.remote_plan(&attempt, input(&parts()?)?, 3, 3)?;
    // As many rows as there are: one part came twice and one did not come.
    let rows = executed(&plan, &[&[0, 1], &[1]]).await?;
    let refused = staging.staged_remotely(&attempt, &rows);
    assert!(
        matches!(refused, Err(Error::RanTwice { part: 1, .. })),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn rows_are_dealt_by_partition_when_the_files_would_be_small() -> TestResult {
    let home = TempDir::new()?;
    let folder = home.path().join("table");
    let rows = [Event(1, "Bonn", 1, None), Event(2, "Lund", 1, None)];
    let exchanges = async |mode| -> TestResult<bool> {
        let options = TableOptions { mode, ..unsorted() };
        let staging = begun(&folder, options).await?;
        let attempt = staging.begin_remote(1).await?;
        let plan = staging.remote_plan(&attempt, input(&parts()?)?, 3, 3)?;
        drop(attempt);
        staging.abandon().await?;
        let rows = plan.children();
        Ok(rows[0].downcast_ref::<RepartitionExec>().is_some())
    };
    assert!(
        !exchanges(PublishMode::Overwrite).await?,
        "nothing tells the number of partitions of a new table"
    );
    let options = TableOptions {
        mode: PublishMode::Overwrite,
        ..unsorted()
    };
    run_with(&table_at(&folder)?, "first", options, &rows, info(1)).await?;
    assert!(
        exchanges(PublishMode::Overwrite).await?,
        "six rows in two partitions by three processes"
    );
    Ok(())
}
