//! What a run refuses: rows and options that do not fit the table, folders of others, staged files that are not right.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::physical_plan::collect;
use tables::{Error, PublishMode, TableOptions};
use tempfile::TempDir;

use crate::modes::{FIRST, SECOND};
use crate::support::{
    TestResult, assert_at_rest, by_city, events, info, input, new_table, rows_below, run, session,
    stage_rows, staged_dir, table_at,
};

#[tokio::test]
async fn another_schema_is_refused_before_any_row_is_read_with_the_difference() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Overwrite, &FIRST, info(1)).await?;
    let schema = Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("city", DataType::Utf8View, true),
        Field::new(
            "at",
            DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Second, None),
            true,
        ),
        Field::new("text", DataType::Utf8, true),
    ]);
    let options = TableOptions {
        sort: Vec::new(),
        ..by_city(PublishMode::Overwrite)
    };
    let error = table
        .begin("run-2", options.clone(), &schema)
        .await
        .err()
        .ok_or("accepted")?;
    assert_eq!(
        error.to_string(),
        format!(
            "the rows of this run do not have the schema of table {}, and contract 'evolve' does not allow: column id \
             is Int64 in the table, Utf8 in the run; column note (Utf8) of the table is missing in the run; change the \
             query, or publish with mode 'replace', which sets a new schema",
            folder.display()
        )
    );
    let other = TableOptions {
        partition_by: vec!["id".to_owned()],
        ..options.clone()
    };
    let error = table
        .begin("run-2", other, &events(&FIRST)?.schema())
        .await
        .err()
        .ok_or("accepted")?;
    assert!(
        matches!(error, Error::PartitioningChanged { .. }),
        "{error}"
    );
    // Replacing the whole table sets the new schema.
    let replace = TableOptions {
        mode: PublishMode::Replace,
        ..options
    };
    table
        .begin("run-2", replace, &schema)
        .await?
        .abandon()
        .await?;
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn options_that_do_not_fit_are_refused_and_touch_nothing() -> TestResult {
    let parent = TempDir::new()?;
    let table = table_at(&parent.path().join("t"))?;
    let options = TableOptions {
        partition_by: vec!["town".to_owned()],
        ..TableOptions::default()
    };
    let error = table
        .begin("run-1", options, &events(&FIRST)?.schema())
        .await
        .err()
        .ok_or("accepted")?;
    assert!(
        error
            .to_string()
            .contains("\"town\": there is no such column (there are: id, city, at, note)"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(parent.path())?.count(), 0);
    assert_eq!(table.current().await?, None);
    assert!(table.recover().await?.is_clean());
    assert_eq!(
        std::fs::read_dir(parent.path())?.count(),
        0,
        "looking makes nothing"
    );
    Ok(())
}

#[tokio::test]
async fn a_folder_with_files_of_others_is_refused() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    std::fs::create_dir_all(folder.join("city=Ghent"))?;
    std::fs::write(folder.join("city=Ghent/old.parquet"), "not ours")?;
    let table = table_at(&folder)?;
    let refused = run(&table, "run-1", PublishMode::Replace, &FIRST, info(1)).await;
    let error = refused.err().ok_or("accepted")?.to_string();
    assert!(
        error.contains("for example city=Ghent/old.parquet"),
        "{error}"
    );
    assert_eq!(
        std::fs::read_to_string(folder.join("city=Ghent/old.parquet"))?,
        "not ours"
    );
    Ok(())
}

#[tokio::test]
async fn rows_of_a_plan_that_ran_twice_are_not_published() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let ctx = session(None)?;
    let input = input(&[vec![events(&FIRST)?]])?;
    let staging = table
        .begin("run-1", by_city(PublishMode::Overwrite), &input.schema())
        .await?;
    let plan = staging.write_plan(input)?;
    let rows = collect(Arc::clone(&plan), ctx.task_ctx()).await?;
    let twice: Vec<_> = rows.iter().chain(&rows).cloned().collect();
    let error = staging.staged(&twice).err().ok_or("accepted")?;
    assert!(error.to_string().contains("ran more than once"), "{error}");
    let metrics = plan.metrics().ok_or("no metrics")?;
    assert_eq!(
        metrics
            .sum_by_name("rows_written")
            .map(|value| value.as_usize()),
        Some(3)
    );
    staging.abandon().await?;
    assert!(!folder.exists());
    Ok(())
}

#[tokio::test]
async fn a_lost_file_is_noticed_before_the_decision() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Overwrite, &FIRST, info(1)).await?;
    let before = rows_below(&folder)?;
    let (staging, change) = stage_rows(&table, "run-2", PublishMode::Overwrite, &SECOND).await?;
    let file = staged_dir(&staging)?.join(
        change
            .added
            .first()
            .map(|file| file.path.clone())
            .unwrap_or_default(),
    );
    let mut content = std::fs::read(&file)?;
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&file, content)?;
    let error = staging
        .publish(change, info(2))
        .await
        .err()
        .ok_or("published a damaged file")?;
    assert!(
        error
            .to_string()
            .contains("is not the file that was written: its sha-256 is"),
        "{error}"
    );
    assert_eq!(rows_below(&folder)?, before);
    assert_at_rest(&folder).await
}
