//! Partition values from rows to folders and back through a reader, and the schema of files.

use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, Date32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tables::layout::{NULL_PARTITION, split};
use tables::{Error, PublishMode, SortKey, TableOptions};
use tempfile::TempDir;

use crate::support::{
    Event, TestResult, assert_at_rest, by_city, events, files_below, info, ints, new_table, run,
    run_with, session, stage, table_at,
};

const ODD: [Option<&str>; 12] = [
    None,
    Some("plain"),
    Some("two words"),
    Some(" edge "),
    Some("a=b"),
    Some("a/b"),
    Some("100%"),
    Some("%2F"),
    Some("Köln 東京 🦀"),
    Some("new\nline"),
    Some(".."),
    Some("'quoted\" [x]*?"),
];

fn odd_rows() -> TestResult<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("id", ints((0..12).map(Some))),
        ("k", Arc::new(StringArray::from(ODD.to_vec()))),
        (
            "yes",
            Arc::new(
                (0..12)
                    .map(|id| (id != 3).then_some(id % 2 == 0))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "day",
            Arc::new(
                (0..12)
                    .map(|id| (id != 4).then_some(20_000 + id))
                    .collect::<Date32Array>(),
            ),
        ),
    ])?)
}

#[tokio::test]
async fn odd_values_come_back_as_they_were() -> TestResult {
    for sort in [vec![], vec![SortKey::ascending("id")]] {
        let parent = TempDir::new()?;
        let folder = parent.path().join("a table");
        let table = table_at(&folder)?;
        let options = TableOptions {
            partition_by: ["k", "yes", "day"].map(str::to_owned).to_vec(),
            sort,
            ..TableOptions::default()
        };
        let ctx = session(None)?;
        let (staging, change) = stage(&table, "run-1", options, &ctx, &[vec![odd_rows()?]]).await?;
        let commit = staging.publish(change, info(1)).await?;
        assert_at_rest(&folder).await?;
        let mut seen: Vec<Vec<Option<String>>> = commit
            .files
            .iter()
            .map(|file| {
                split(file.partition())
                    .into_iter()
                    .map(|(_, value)| value)
                    .collect()
            })
            .collect();
        let mut expected: Vec<Vec<Option<String>>> = (0..12_usize)
            .map(|id| {
                let day = chrono_day(20_000 + i32::try_from(id).unwrap_or_default());
                vec![
                    ODD[id].map(str::to_owned),
                    (id != 3).then(|| (id % 2 == 0).to_string()),
                    (id != 4).then_some(day),
                ]
            })
            .collect();
        seen.sort();
        expected.sort();
        assert_eq!(seen, expected);
    }
    Ok(())
}

fn chrono_day(days: i32) -> String {
    chrono::NaiveDate::from_epoch_days(days)
        .map(|day| day.to_string())
        .unwrap_or_default()
}

#[tokio::test]
async fn values_that_cannot_name_a_partition_stop_the_run_with_their_column() -> TestResult {
    let long = "x".repeat(300);
    for (value, reason) in [
        (NULL_PARTITION, "stands for NULL"),
        ("", "an empty text"),
        (&long, "more than 255 bytes"),
    ] {
        for sort in [vec![], vec![SortKey::ascending("id")]] {
            let (_parent, folder, table) = new_table()?;
            let batch = RecordBatch::try_from_iter([
                ("id", ints([1, 2])),
                ("city", Arc::new(StringArray::from(vec!["Ghent", value]))),
            ])?;
            let options = TableOptions {
                sort,
                ..by_city(PublishMode::Overwrite)
            };
            let staged = stage(&table, "run-1", options, &session(None)?, &[vec![batch]]).await;
            let error = staged.err().ok_or("accepted")?;
            let error = error
                .downcast_ref::<datafusion::error::DataFusionError>()
                .ok_or("not from the engine")?;
            let error = Error::find_in(error)
                .ok_or("the cause is lost")?
                .to_string();
            assert!(
                error.contains("partition column city") && error.contains(reason),
                "{error}"
            );
            assert!(!folder.exists());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_type_that_cannot_name_a_partition_is_refused_with_the_options() -> TestResult {
    let parent = TempDir::new()?;
    let table = table_at(&parent.path().join("t"))?;
    let options = TableOptions {
        partition_by: vec!["at".to_owned()],
        ..TableOptions::default()
    };
    let error = table
        .begin("run-1", options, &events(&[])?.schema())
        .await
        .err()
        .ok_or("accepted")?;
    assert!(
        error
            .to_string()
            .contains("use text, an integer, a boolean or a date"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn a_column_that_is_all_null_has_the_same_file_schema() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let rows = [
        Event(1, "Ghent", 10, None),
        Event(2, "Oulu", 20, Some("text")),
    ];
    run(&table, "run-1", PublishMode::Overwrite, &rows, info(1)).await?;
    let mut schemas = Vec::new();
    for file in files_below(&folder) {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(folder.join(file))?)?;
        let created_by = reader
            .metadata()
            .file_metadata()
            .created_by()
            .map(str::to_owned);
        assert_eq!(created_by.as_deref(), Some("spillway version 1"));
        schemas.push((
            Arc::clone(reader.schema()),
            reader.parquet_schema().root_schema_ptr(),
        ));
    }
    assert_eq!(schemas.len(), 2);
    assert_eq!(schemas[0], schemas[1]);
    let names: Vec<&str> = schemas[0]
        .0
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(
        names,
        ["id", "at", "note"],
        "the partition column is in the path only"
    );
    assert_eq!(
        schemas[0].0.field(1).data_type().to_string(),
        "Timestamp(µs)"
    );
    assert_eq!(schemas[0].0.field(2).data_type(), &DataType::Utf8);
    Ok(())
}

#[tokio::test]
async fn a_table_without_partition_columns_is_a_flat_folder() -> TestResult {
    for sort in [vec![], vec![SortKey::ascending("id")]] {
        let (_parent, folder, table) = new_table()?;
        let options = TableOptions {
            sort,
            ..TableOptions::default()
        };
        let rows = [
            Event(1, "Ghent", 10, None),
            Event(2, "Oulu", 20, Some("text")),
        ];
        let commit = run_with(&table, "run-1", options.clone(), &rows, info(1)).await?;
        assert_eq!((commit.totals.files, commit.totals.partitions), (1, 1));
        assert!(
            commit
                .files
                .iter()
                .all(|file| file.partition().is_empty() && file.path.starts_with("part-00000-"))
        );
        run_with(&table, "run-2", options, &rows[..1], info(2)).await?;
        assert_at_rest(&folder).await?;
        assert_eq!(files_below(&folder).len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn the_location_is_a_path_or_a_url_of_a_known_scheme() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("a t");
    let url = url::Url::from_file_path(&folder).map_err(|()| "no URL")?;
    for location in [
        folder.display().to_string(),
        format!("{}/", folder.display()),
        url.to_string(),
        format!("{url}/"),
    ] {
        assert_eq!(
            tables::Table::at(&location)?.location(),
            folder.display().to_string()
        );
    }
    for location in ["ftp://host/t", "s3://bucket", "", "/", "file://host/t"] {
        let error = tables::Table::at(location).err().ok_or(location)?;
        assert!(
            matches!(error, Error::UnsupportedLocation { .. }),
            "{error}"
        );
    }
    Ok(())
}
