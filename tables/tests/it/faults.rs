//! Every storage call of a run, failed in four ways, in every publish mode: afterwards a new process recovers and runs
//! again, and the table is the one of a run without faults. Processes that are really killed are in `child`.

use std::path::Path;

use tables::{Commit, CommitInfo, Compression, Error, Format, KeyScope, PublishMode, TableOptions};

use crate::faulty::{Fault, faulty};
use crate::lake::{FIRST, SECOND};
use crate::once::{Once, run_once};
use crate::prepared::Prepared;
use crate::rows::{narrow_events, run_batch, wider_events};
use crate::support::{
    Event, TestResult, assert_at_rest, by_city, covered, events, files_below, info, interval,
    rows_below, rows_of_file, table_at,
};

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
        Second::Mode(_) | Second::Written(..) | Second::TableWideMerge => events(&FIRST)?,
    };
    let options = match second {
        Second::Written(format, compression, _) => TableOptions {
            format,
            compression,
            ..by_city(PublishMode::Overwrite)
        },
        _ => by_city(PublishMode::Overwrite),
    };
    let (_, commit) = run_batch(&table_at(folder)?, "run-1", options, rows, interval(1)).await?;
    Ok(commit)
}

/// The run that meets the fault, and is then asked for again.
async fn second_run(table: &tables::Table, second: Second, info: CommitInfo) -> TestResult<Once> {
    let (options, rows) = match second {
        Second::Mode(mode) => (by_city(mode), events(&SECOND)?),
        Second::Written(format, compression, mode) => {
            let options = TableOptions {
                format,
                compression,
                ..by_city(mode)
            };
            (options, events(&SECOND)?)
        }
        Second::TableWideMerge => {
            let options = TableOptions {
                key_scope: KeyScope::Table,
                ..by_city(PublishMode::Merge)
            };
            (options, events(&MOVED)?)
        }
        Second::Evolution(mode) => (by_city(mode), wider_events(&SECOND)?),
    };
    run_once(table, "run-2", options, rows, true, info).await
}

/// What the run with the faults does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    Mode(PublishMode),
    /// As that, in a format that is only written.
    Written(Format, Compression, PublishMode),
    /// A merge in which keys move between partitions, to published ones and to new ones, and come several times.
    TableWideMerge,
    /// Rows with one column more and one of a wider type: files that it does not touch are rewritten.
    Evolution(PublishMode),
}

/// Every file that is visible after a fault is whole: it is of the old or of the new state.
fn assert_whole_files(folder: &Path) -> TestResult {
    for file in files_below(folder) {
        rows_of_file(&folder.join(&file))
            .map_err(|error| format!("T-1: {file} is torn: {error}"))?;
    }
    Ok(())
}

/// Every call of a run has one fault, one after the other.
async fn every_call(second: Second, fault: Fault) -> TestResult {
    let prepared = Prepared::in_memory()?;
    let before = first_commit(&prepared.table(), second).await?;
    let clean = prepared.copy("clean")?;
    let (table, faults) = faulty(&clean, usize::MAX, fault)?;
    second_run(&table, second, interval(2)).await?;
    let calls = faults.calls();
    let expected = rows_below(&clean)?;

    let mut unsynced = 0;
    for at in 1..=calls {
        let folder = prepared.copy("point")?;
        let (table, faults) = faulty(&folder, at, fault)?;
        let outcome = second_run(&table, second, interval(2)).await;
        drop(table);
        let context = format!("{second:?}, call {at}, {fault:?}");
        assert!(faults.fired(), "{context}: the fault did not fire");
        assert_whole_files(&folder)?;
        let newest = table_at(&folder)?.current().await?;
        let decided = newest.ok_or("the first commit is gone")?.number;
        unsynced += usize::from(fault == Fault::Unsynced && outcome.is_err());
        if let Err(error) = &outcome {
            let told = error
                .downcast_ref::<Error>()
                .is_some_and(Error::leaves_commit);
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
        let again = second_run(&table, second, interval(2))
            .await
            .map_err(|error| format!("{context}: the rerun failed: {error}"))?;
        assert_eq!(again.commit(), 2, "{context}: it is committed once");
        assert_eq!(
            matches!(again, Once::Before(_)),
            decided == 2,
            "{context}: a run recognises its own commit"
        );
        assert_eq!(
            rows_below(&folder)?,
            expected,
            "{context}: T-2, the table of a run without faults"
        );
        assert_at_rest(&folder)
            .await
            .map_err(|error| format!("{context}: {error}"))?;
    }
    covered(&format!(
        "{second:?}, {fault:?}: {calls} of {calls} calls are fault points"
    ));
    assert!(calls > 20, "only {calls} calls");
    if fault == Fault::Unsynced {
        assert_eq!(
            unsynced, 2,
            "the decision and the mark that it was carried out"
        );
    }
    Ok(())
}

/// The tests of one kind of run: one for each fault, so that a test runner has them side by side.
macro_rules! every_call_of {
    ($($run:ident: $second:expr;)*) => {$(
        mod $run {
            use super::*;

            #[tokio::test]
            async fn each_call_that_fails_leaves_the_table_of_a_run_without_faults() -> TestResult {
                every_call($second, Fault::Fails).await
            }

            #[tokio::test]
            async fn each_answer_that_is_lost_leaves_the_table_of_a_run_without_faults() -> TestResult {
                every_call($second, Fault::AnswerLost).await
            }

            #[tokio::test]
            async fn each_call_that_is_the_end_leaves_the_table_of_a_run_without_faults() -> TestResult {
                every_call($second, Fault::Killed).await
            }

            #[tokio::test]
            async fn each_record_that_may_not_be_durable_is_told_and_finished() -> TestResult {
                every_call($second, Fault::Unsynced).await
            }
        }
    )*};
}

every_call_of! {
    append: Second::Mode(PublishMode::Append);
    overwrite: Second::Mode(PublishMode::Overwrite);
    replace: Second::Mode(PublishMode::Replace);
    merge: Second::Mode(PublishMode::Merge);
    merge_by_a_key_of_the_table: Second::TableWideMerge;
    append_of_csv: Second::Written(Format::Csv, Compression::None, PublishMode::Append);
    overwrite_of_json: Second::Written(Format::Json, Compression::Gzip(6), PublishMode::Overwrite);
    replace_of_arrow: Second::Written(Format::Arrow, Compression::Lz4, PublishMode::Replace);
    append_of_avro: Second::Written(Format::Avro, Compression::Snappy, PublishMode::Append);
    append_of_a_wider_type: Second::Evolution(PublishMode::Append);
    merge_of_a_wider_type: Second::Evolution(PublishMode::Merge);
}

#[tokio::test]
async fn nothing_is_put_in_place_on_a_decision_that_may_not_be_durable() -> TestResult {
    let prepared = Prepared::in_memory()?;
    let overwrite = Second::Mode(PublishMode::Overwrite);
    first_commit(&prepared.table(), overwrite).await?;
    let old = rows_below(&prepared.table())?;
    let mut told = 0;
    for at in 1.. {
        let folder = prepared.copy("point")?;
        let (table, faults) = faulty(&folder, at, Fault::Unsynced)?;
        let outcome = second_run(&table, overwrite, interval(2)).await;
        if !faults.fired() {
            break;
        }
        let Err(error) = outcome else { continue };
        if let Some(Error::NotDurable { number: 2, .. }) = error.downcast_ref() {
            told += 1;
            let text = error.to_string();
            assert!(text.starts_with("committed, but not durably"), "{text}");
            assert_eq!(rows_below(&folder)?, old, "readers see the old table");
            drop(table);
            assert_eq!(table_at(&folder)?.recover().await?.rolled_forward, Some(2));
            assert_at_rest(&folder).await?;
        }
    }
    assert_eq!(told, 1);
    Ok(())
}

/// Prepares a commit that is decided and not carried out at all.
async fn decided_only() -> TestResult<Prepared> {
    let first = Prepared::in_memory()?;
    let overwrite = Second::Mode(PublishMode::Overwrite);
    first_commit(&first.table(), overwrite).await?;
    for at in 1.. {
        // The table itself is made again: this is what will be copied.
        let decided = Prepared::copied_from(&first)?;
        let (table, faults) = faulty(&decided.table(), at, Fault::Killed)?;
        let outcome = second_run(&table, overwrite, info(2)).await;
        drop(table);
        assert!(faults.fired(), "no kill right after the decision");
        if let Err(error) = outcome
            && matches!(
                error.downcast_ref::<Error>(),
                Some(Error::RollForward { .. })
            )
        {
            let visible = files_below(&decided.table());
            assert_eq!(
                visible.len(),
                3,
                "decided, but nothing is in place yet: {visible:?}"
            );
            return Ok(decided);
        }
    }
    Err("no call decides".into())
}

#[tokio::test]
async fn every_fault_of_a_recovery_is_recovered_from() -> TestResult {
    let decided = decided_only().await?;
    let mut points = 0;
    for fault in FAULTS {
        for at in 1.. {
            let folder = decided.copy("point")?;
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
