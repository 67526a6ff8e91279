//! Every storage call of a run, failed in three ways, in every publish mode: afterwards a new process recovers and runs
//! again, and the table is the one of a run without faults.

use std::path::Path;

use tables::{Commit, CommitInfo, Error, KeyScope, PublishMode, TableOptions};
use tempfile::TempDir;

use crate::faulty::{Fault, faulty};
use crate::rows::{narrow_events, run_batch, wider_events};
use crate::support::{
    Event, TestResult, assert_at_rest, by_city, covered, events, files_below, info, interval,
    rows_below, rows_of_file, run, table_at,
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
const MOVED: [Event; 6] = [
    Event(2, "Ghent", 19, Some("older")),
    Event(2, "Oulu", 21, Some("moved")),
    Event(3, "Turku", 30, Some("moved")),
    Event(4, "Riga", 40, Some("c")),
    Event(5, "Oulu", 50, Some("new")),
    Event(6, "Turku", 60, None),
];
const FAULTS: [Fault; 3] = [Fault::Fails, Fault::AnswerLost, Fault::Killed];

async fn first_commit(folder: &Path, second: Second) -> TestResult<Commit> {
    let rows = match second {
        Second::Evolution(_) => narrow_events(&FIRST)?,
        Second::Mode(_) | Second::TableWideMerge => events(&FIRST)?,
    };
    let options = by_city(PublishMode::Overwrite);
    let (_, commit) = run_batch(&table_at(folder)?, "run-1", options, rows, interval(1)).await?;
    Ok(commit)
}

async fn second_run(table: &tables::Table, second: Second, info: CommitInfo) -> TestResult<Commit> {
    match second {
        Second::Mode(mode) => run(table, "run-2", by_city(mode), &SECOND, info).await,
        Second::TableWideMerge => {
            let options = TableOptions {
                key_scope: KeyScope::Table,
                ..by_city(PublishMode::Merge)
            };
            run(table, "run-2", options, &MOVED, info).await
        }
        Second::Evolution(mode) => {
            let rows = wider_events(&SECOND)?;
            let (_, commit) = run_batch(table, "run-2", by_city(mode), rows, info).await?;
            Ok(commit)
        }
    }
}

/// What the run with the faults does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    Mode(PublishMode),
    /// A merge in which keys move between partitions, to published ones and to new ones, and come several times.
    TableWideMerge,
    /// Rows with one column more and one of a wider type: files that it does not touch are rewritten.
    Evolution(PublishMode),
}

fn appends(second: Second) -> bool {
    matches!(
        second,
        Second::Mode(PublishMode::Append) | Second::Evolution(PublishMode::Append)
    )
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

async fn every_fault_of(second: Second) -> TestResult<usize> {
    let parent = TempDir::new()?;
    let clean = parent.path().join("clean");
    first_commit(&clean, second).await?;
    second_run(&table_at(&clean)?, second, interval(2)).await?;
    let expected = rows_below(&clean)?;

    let mut points = 0;
    for fault in FAULTS {
        for at in 1.. {
            let folder = parent.path().join(format!("{fault:?}-{at}"));
            let before = first_commit(&folder, second).await?;
            let (table, faults) = faulty(&folder, at, fault)?;
            let outcome = second_run(&table, second, interval(2)).await;
            drop(table);
            if !faults.fired() {
                outcome?;
                break;
            }
            points += 1;
            let context = format!("{second:?}, call {at}, {fault:?}");
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
            match second_run(&table, second, interval(2)).await {
                Ok(_) => {}
                Err(error) if appends(second) && already_committed(error.as_ref()) => {}
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
    covered(&format!("{second:?}: {points} fault points"));
    assert!(
        points > 3 * 20,
        "only {points} calls failed: the faults did not fire"
    );
    Ok(points)
}

#[tokio::test]
async fn every_fault_of_an_append_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(Second::Mode(PublishMode::Append))
        .await
        .map(drop)
}

#[tokio::test]
async fn every_fault_of_an_overwrite_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(Second::Mode(PublishMode::Overwrite))
        .await
        .map(drop)
}

#[tokio::test]
async fn every_fault_of_a_replace_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(Second::Mode(PublishMode::Replace))
        .await
        .map(drop)
}

#[tokio::test]
async fn every_fault_of_a_merge_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(Second::Mode(PublishMode::Merge))
        .await
        .map(drop)
}

#[tokio::test]
async fn every_fault_of_a_merge_by_a_key_of_the_table_leaves_the_table_of_a_run_without_faults()
-> TestResult {
    every_fault_of(Second::TableWideMerge).await.map(drop)
}

#[tokio::test]
async fn every_fault_of_an_append_with_a_wider_type_leaves_the_table_of_a_run_without_faults()
-> TestResult {
    every_fault_of(Second::Evolution(PublishMode::Append))
        .await
        .map(drop)
}

#[tokio::test]
async fn every_fault_of_a_merge_with_a_wider_type_leaves_the_table_of_a_run_without_faults()
-> TestResult {
    every_fault_of(Second::Evolution(PublishMode::Merge))
        .await
        .map(drop)
}

/// Leaves a commit that is decided and not carried out at all. `from` is the call to try the kill at first; gives the
/// call after which it was decided.
async fn decided_only(folder: &Path, from: usize) -> TestResult<usize> {
    for at in from.. {
        let _ = std::fs::remove_dir_all(folder);
        let _ = std::fs::remove_dir_all(crate::support::control(folder));
        first_commit(folder, Second::Mode(PublishMode::Overwrite)).await?;
        let (table, faults) = faulty(folder, at, Fault::Killed)?;
        let outcome = second_run(&table, Second::Mode(PublishMode::Overwrite), info(2)).await;
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
