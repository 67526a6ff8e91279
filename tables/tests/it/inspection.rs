//! Looking at a table: its history, and whether its files are what its log says.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray};
use tables::{CompactOptions, PublishMode, TableOptions};
use tempfile::TempDir;

use crate::maintenance::{compact, scattered};
use crate::support::{
    Event, TestResult, by_city, control, files_below, info, interval, ints, run, session, stage,
};

#[tokio::test]
async fn history_tells_what_each_commit_brought_and_took() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = scattered(&folder, &by_city(PublishMode::Append)).await?;
    compact(&table, &CompactOptions::default()).await?;
    let few = [Event(1, "Ghent", 1, None)];
    run(&table, "run-6", PublishMode::Overwrite, &few, info(6)).await?;
    // Another schema: only `replace` may.
    let narrow = RecordBatch::try_from_iter([
        ("id", ints([1])),
        ("city", Arc::new(StringArray::from(vec!["Ghent"]))),
        ("count", ints([1])),
    ])?;
    let options = TableOptions {
        partition_by: Vec::new(),
        sort: Vec::new(),
        ..by_city(PublishMode::Replace)
    };
    let (staging, change) =
        stage(&table, "run-7", options, &session(None)?, &[vec![narrow]]).await?;
    staging.publish(change, info(7)).await?;

    let history = table.history(100).await?;
    let told: Vec<(u64, &str, u64, u64, u64, u64)> = history
        .iter()
        .map(|commit| {
            (
                commit.number,
                commit.mode.as_str(),
                commit.added.files,
                commit.added.rows,
                commit.removed.files,
                commit.removed.rows,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (7, "replace", 1, 1, 3, 17),
            (6, "overwrite", 1, 1, 1, 8),
            (5, "compact", 3, 24, 12, 24),
            (4, "append", 3, 6, 0, 0),
            (3, "append", 3, 6, 0, 0),
            (2, "append", 3, 6, 0, 0),
            (1, "append", 3, 6, 0, 0),
        ]
    );
    assert!(history.iter().all(|commit| commit.done));
    let changes: Vec<String> = history[0]
        .schema_changes
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        changes,
        [
            "column at (Timestamp(µs)) is gone",
            "column note (Utf8) is gone",
            "column count (Int64) is new",
        ]
    );
    assert_eq!(history[0].repartitioned_by, Some(Vec::new()));
    assert!(
        history[1..]
            .iter()
            .all(|commit| commit.schema_changes.is_empty())
    );
    assert_eq!(table.history(2).await?, history[..2]);
    assert_eq!(history[3].interval, interval(4).interval);
    Ok(())
}

#[tokio::test]
async fn verification_finds_what_is_missing_different_or_foreign_and_changes_nothing() -> TestResult
{
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = scattered(&folder, &by_city(PublishMode::Append)).await?;
    for digests in [false, true] {
        let found = table.verify(digests).await?;
        assert!(found.is_clean(), "{found:?}");
        assert_eq!((found.commit, found.files, found.digests), (4, 12, digests));
    }
    let files: Vec<String> = files_below(&folder);
    std::fs::remove_file(folder.join(&files[0]))?;
    let shorter = std::fs::read(folder.join(&files[1]))?;
    std::fs::write(folder.join(&files[1]), &shorter[1..])?;
    let mut flipped = std::fs::read(folder.join(&files[2]))?;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(folder.join(&files[2]), &flipped)?;
    std::fs::write(folder.join("city=Ghent/theirs.parquet"), b"theirs")?;
    std::fs::write(folder.join("_SUCCESS"), b"")?;
    std::fs::create_dir(folder.join("_temporary"))?;
    std::fs::write(folder.join("_temporary/hidden.parquet"), b"")?;
    let before = (files_below(&folder), files_below(&control(&folder)));

    let sizes = table.verify(false).await?;
    assert_eq!(sizes.missing, [files[0].as_str()]);
    assert_eq!(sizes.different.len(), 1, "{:?}", sizes.different);
    assert_eq!(sizes.different[0].path, files[1]);
    assert_eq!(sizes.foreign, ["city=Ghent/theirs.parquet"]);
    assert!(!sizes.is_clean() && sizes.unfinished.is_none());
    let bytes = table.verify(true).await?;
    let different: Vec<&str> = bytes
        .different
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(different, [files[1].as_str(), files[2].as_str()]);
    assert!(
        bytes.different[1].reason.contains("sha-256"),
        "{:?}",
        bytes.different
    );
    assert_eq!(
        (files_below(&folder), files_below(&control(&folder))),
        before
    );
    Ok(())
}
