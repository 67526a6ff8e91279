//! Every storage call of a run, failed in three ways, in every publish mode: afterwards a new process recovers and runs
//! again, and the table is the one of a run without faults.

use std::path::Path;

use tables::{Commit, CommitInfo, Error, PublishMode};
use tempfile::TempDir;

use crate::support::{
    Event, Fault, TestResult, assert_at_rest, by_city, covered, faulty, files_below, info,
    interval, rows_below, rows_of_file, run, table_at,
};

const FIRST: [Event; 4] = [
    Event(1, "Ghent", 10, Some("a")),
    Event(2, "Ghent", 20, None),
    Event(3, "Oulu", 30, Some("b")),
    Event(4, "Riga", 40, Some("c")),
];
const SECOND: [Event; 4] = [
    Event(2, "Ghent", 21, Some("changed")),
    Event(3, "Oulu", 30, Some("b")),
    Event(5, "Oulu", 50, Some("new")),
    Event(6, "Turku", 60, None),
];
const FAULTS: [Fault; 3] = [Fault::Fails, Fault::AnswerLost, Fault::Killed];

async fn first_commit(folder: &Path) -> TestResult<Commit> {
    run(
        &table_at(folder)?,
        "run-1",
        by_city(PublishMode::Overwrite),
        &FIRST,
        interval(1),
    )
    .await
}

async fn second_run(
    table: &tables::Table,
    mode: PublishMode,
    info: CommitInfo,
) -> TestResult<Commit> {
    run(table, "run-2", by_city(mode), &SECOND, info).await
}

/// Whether the run found its own work committed already: an append says so by refusing.
fn already_committed(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(
        error.downcast_ref::<Error>(),
        Some(Error::IntervalCommitted { .. })
    )
}

/// Every file that is visible after a fault is whole: it is of the old or of the new state.
fn assert_whole_files(folder: &Path) -> TestResult {
    for file in files_below(folder) {
        rows_of_file(&folder.join(&file))
            .map_err(|error| format!("T-1: {file} is torn: {error}"))?;
    }
    Ok(())
}

async fn every_fault_of(mode: PublishMode) -> TestResult<usize> {
    let parent = TempDir::new()?;
    let clean = parent.path().join("clean");
    first_commit(&clean).await?;
    second_run(&table_at(&clean)?, mode, interval(2)).await?;
    let expected = rows_below(&clean)?;

    let mut points = 0;
    for fault in FAULTS {
        for at in 1.. {
            let folder = parent.path().join(format!("{fault:?}-{at}"));
            let before = first_commit(&folder).await?;
            let (table, faults) = faulty(&folder, at, fault)?;
            let outcome = second_run(&table, mode, interval(2)).await;
            drop(table);
            if !faults.fired() {
                outcome?;
                break;
            }
            points += 1;
            let context = format!("{mode}, call {at}, {fault:?}");
            assert_whole_files(&folder)?;
            if let Err(error) = &outcome {
                let decided = table_at(&folder)?
                    .current()
                    .await?
                    .ok_or("the first commit is gone")?
                    .number;
                let told = matches!(
                    error.downcast_ref::<Error>(),
                    Some(Error::RollForward { .. } | Error::Undecided { .. })
                );
                assert!(
                    decided == before.number || told,
                    "{context}: a committed run must not say it failed: {error}"
                );
                if decided == before.number {
                    assert_eq!(
                        files_below(&folder).len(),
                        before.files.len(),
                        "{context}: published is untouched"
                    );
                }
            }
            // T-6: another process recovers, twice, and then runs again.
            let table = table_at(&folder)?;
            table.recover().await?;
            assert!(
                table.recover().await?.is_clean(),
                "{context}: T-6, nothing is left to recover"
            );
            assert_at_rest(&folder)
                .await
                .map_err(|error| format!("{context}: {error}"))?;
            match second_run(&table, mode, interval(2)).await {
                Ok(_) => {}
                Err(error) if mode == PublishMode::Append && already_committed(error.as_ref()) => {}
                Err(error) => return Err(format!("{context}: the rerun failed: {error}").into()),
            }
            assert_eq!(
                rows_below(&folder)?,
                expected,
                "{context}: T-2, the table of a run without faults"
            );
            assert_at_rest(&folder)
                .await
                .map_err(|error| format!("{context}: {error}"))?;
            std::fs::remove_dir_all(&folder)?;
        }
    }
    covered(&format!("{mode}: {points} fault points"));
    assert!(
        points > 3 * 20,
        "only {points} calls failed: the faults did not fire"
    );
    Ok(points)
}

#[tokio::test]
async fn every_fault_of_an_append_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(PublishMode::Append).await.map(drop)
}

#[tokio::test]
async fn every_fault_of_an_overwrite_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(PublishMode::Overwrite).await.map(drop)
}

#[tokio::test]
async fn every_fault_of_a_replace_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(PublishMode::Replace).await.map(drop)
}

#[tokio::test]
async fn every_fault_of_a_merge_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(PublishMode::Merge).await.map(drop)
}

/// Leaves a commit that is decided and not carried out at all. `from` is the call to try the kill at first; gives the
/// call after which it was decided.
async fn decided_only(folder: &Path, from: usize) -> TestResult<usize> {
    for at in from.. {
        let _ = std::fs::remove_dir_all(folder);
        let _ = std::fs::remove_dir_all(crate::support::control(folder));
        first_commit(folder).await?;
        let (table, faults) = faulty(folder, at, Fault::Killed)?;
        let outcome = second_run(&table, PublishMode::Overwrite, info(2)).await;
        drop(table);
        assert!(faults.fired(), "no kill right after the decision");
        if let Err(error) = outcome
            && matches!(
                error.downcast_ref::<Error>(),
                Some(Error::RollForward { .. })
            )
        {
            return Ok(at);
        }
    }
    Err("no call decides".into())
}

#[tokio::test]
async fn every_fault_of_a_recovery_is_recovered_from() -> TestResult {
    let parent = TempDir::new()?;
    let mut points = 0;
    let mut decision = 1;
    for fault in FAULTS {
        for at in 1.. {
            let folder = parent.path().join(format!("{fault:?}-{at}"));
            decision = decided_only(&folder, decision).await?;
            let visible = files_below(&folder);
            assert_eq!(
                visible.len(),
                3,
                "decided, but nothing is in place yet: {visible:?}"
            );
            let (table, faults) = faulty(&folder, at, fault)?;
            let outcome = table.recover().await;
            drop(table);
            if !faults.fired() {
                assert_eq!(outcome?.rolled_forward, Some(2));
                break;
            }
            points += 1;
            assert_whole_files(&folder)?;
            table_at(&folder)?.recover().await?;
            assert_at_rest(&folder)
                .await
                .map_err(|error| format!("call {at}, {fault:?}: {error}"))?;
            let rows = rows_below(&folder)?;
            assert_eq!(rows.len(), 5, "T-2: call {at}, {fault:?}: {rows:#?}");
        }
    }
    covered(&format!("recovery: {points} fault points"));
    assert!(
        points > 3 * 10,
        "only {points} calls failed: the faults did not fire"
    );
    Ok(())
}
