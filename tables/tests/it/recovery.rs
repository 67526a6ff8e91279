//! What is found after a run that did not end by itself: its leftovers, a lost lease, damaged control files.

use std::fs;

use tables::{Error, PublishMode, Recovery};

use crate::support::{
    Event, TestResult, assert_at_rest, control, files_below, info, new_table, rows_below, run,
    stage_rows,
};

const ROWS: [Event; 2] = [Event(1, "Ghent", 10, Some("a")), Event(2, "Oulu", 20, None)];

#[tokio::test]
async fn an_undecided_run_is_dropped_by_the_next_one() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let (staging, _) = stage_rows(&table, "run-1", PublishMode::Overwrite, &ROWS).await?;
    drop(staging);
    assert!(
        files_below(&control(&folder))
            .iter()
            .any(|file| file.starts_with("staging/"))
    );
    let recovery = table.recover().await?;
    assert_eq!(
        recovery,
        Recovery {
            rolled_forward: None,
            dropped: vec!["run-1".to_owned()]
        }
    );
    assert!(table.recover().await?.is_clean());
    run(&table, "run-2", PublishMode::Overwrite, &ROWS, info(1)).await?;
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_run_whose_lease_was_taken_over_cannot_commit() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let (stale, change) = stage_rows(&table, "run-1", PublishMode::Overwrite, &ROWS).await?;
    // Someone clears the control folder away under the live run, and another run begins.
    fs::remove_dir_all(control(&folder))?;
    let rows = [Event(7, "Riga", 70, None)];
    run(&table, "run-2", PublishMode::Overwrite, &rows, info(2)).await?;
    let error = stale
        .publish(change, info(1))
        .await
        .err()
        .ok_or("T-4: a stale epoch committed")?;
    assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    assert_eq!(rows_below(&folder)?.len(), 1);
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_file_that_no_record_names_is_never_removed() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Overwrite, &ROWS, info(1)).await?;
    let foreign = folder.join("city=Ghent/foreign.parquet");
    fs::write(&foreign, "someone else's")?;
    run(&table, "run-2", PublishMode::Replace, &ROWS[1..], info(2)).await?;
    assert_eq!(fs::read_to_string(&foreign)?, "someone else's", "T-5");
    Ok(())
}

#[tokio::test]
async fn damaged_control_files_are_named_and_nothing_is_published_over_them() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Overwrite, &ROWS, info(1)).await?;
    let record = control(&folder).join("commits/00000001.json");
    let whole = fs::read_to_string(&record)?;
    let before = rows_below(&folder)?;
    let newer = whole.replace("\"version\": 1,", "\"version\": 9,");
    assert_ne!(newer, whole);
    let fewer_rows = whole.replacen("\"rows\": 2,", "\"rows\": 3,", 1);
    assert_ne!(fewer_rows, whole);
    for (content, message) in [
        (&whole[..whole.len() / 2], "is damaged (EOF while parsing"),
        ("", "is damaged (EOF while parsing"),
        (
            newer.as_str(),
            "has format version 9, this program knows up to 1; use the newer program",
        ),
        (fewer_rows.as_str(), "is damaged (it says Totals"),
    ] {
        fs::write(&record, content)?;
        let refused = run(&table, "run-2", PublishMode::Replace, &ROWS[..1], info(2)).await;
        for error in [
            refused.err().ok_or("ran")?,
            table.current().await.err().ok_or("read")?.into(),
        ] {
            let error = error.to_string();
            assert!(error.contains(message), "{error}");
            assert!(
                error.contains("commits/00000001.json")
                    && error.contains(&folder.display().to_string()),
                "{error}"
            );
        }
        assert_eq!(rows_below(&folder)?, before);
    }
    fs::write(&record, whole)?;
    run(&table, "run-2", PublishMode::Replace, &ROWS[..1], info(2)).await?;
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_lost_lease_file_does_not_turn_the_epoch_back() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    for number in 1..4_i64 {
        run(
            &table,
            "same-run",
            PublishMode::Overwrite,
            &[Event(number, "Ghent", number, None)],
            info(number),
        )
        .await?;
        fs::remove_file(control(&folder).join("lease.json"))?;
    }
    // Were an epoch used twice by one run, its file names would be, too.
    run(&table, "same-run", PublishMode::Append, &ROWS, info(9)).await?;
    assert_eq!(rows_below(&folder)?.len(), 3);
    assert_at_rest(&folder).await
}
