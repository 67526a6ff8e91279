//! Every storage call of a compaction and of an expiry, failed in three ways: afterwards another process recovers and does
//! it again, and the table is the one of a run without faults.

use std::path::Path;

use chrono::NaiveDate;
use tables::{CompactOptions, Error, ExpireOptions, PublishMode, Table, TableOptions};

use crate::faulty::{Fault, faulty};
use crate::prepared::Prepared;
use crate::support::{
    Event, TestResult, assert_at_rest, covered, files_below, interval, rows_below, rows_of_file,
    run_with, session, table_at,
};

const DAYS: [&str; 3] = ["2026-01-01", "2026-01-02", "2026-02-01"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maintenance {
    Compact,
    Expire,
}

impl Maintenance {
    async fn of(self, table: &Table) -> TestResult<Option<u64>> {
        Ok(match self {
            Self::Compact => {
                let stop = std::future::pending();
                let options = CompactOptions::default();
                table
                    .compact("care", &session(None)?, &options, stop)
                    .await?
                    .commit
            }
            Self::Expire => table.expire("care", &expire_options()?).await?.commit,
        })
    }
}

fn expire_options() -> TestResult<ExpireOptions> {
    Ok(ExpireOptions {
        first_kept: "2026-02-01".parse::<NaiveDate>()?,
        column: Some("city".to_owned()),
        span: None,
        allow_empty: false,
    })
}

/// Three partitions by day, two small files in each. The partition column is a text, called `city` in the tests' rows.
async fn two_commits(folder: &Path) -> TestResult {
    let table = table_at(folder)?;
    let options = TableOptions {
        sort: vec![tables::SortKey::ascending("at")],
        ..crate::support::by_city(PublishMode::Append)
    };
    for round in 1..=2 {
        let rows: Vec<Event> = (0..6)
            .map(|id| {
                let day = DAYS[usize::try_from(id % 3).unwrap_or(0)];
                Event(round * 10 + id, day, 50 - round * 10 + id, None)
            })
            .collect();
        run_with(
            &table,
            &format!("run-{round}"),
            options.clone(),
            &rows,
            interval(round),
        )
        .await?;
    }
    Ok(())
}

async fn every_call(maintenance: Maintenance, fault: Fault) -> TestResult {
    let prepared = Prepared::in_memory()?;
    two_commits(&prepared.table()).await?;
    let clean = prepared.copy("clean")?;
    let old_rows = rows_below(&clean)?;
    let (table, faults) = faulty(&clean, usize::MAX, fault)?;
    assert_eq!(maintenance.of(&table).await?, Some(3));
    let calls = faults.calls();
    let new_rows = rows_below(&clean)?;
    let new_files = files_below(&clean).len();
    match maintenance {
        Maintenance::Compact => assert_eq!(old_rows, new_rows),
        Maintenance::Expire => assert_eq!(new_rows.len(), 4),
    }

    for at in 1..=calls {
        let folder = prepared.copy("point")?;
        let (table, faults) = faulty(&folder, at, fault)?;
        let outcome = maintenance.of(&table).await;
        drop(table);
        let context = format!("{maintenance:?}, call {at}, {fault:?}");
        assert!(faults.fired(), "{context}: the fault did not fire");
        for file in files_below(&folder) {
            rows_of_file(&folder.join(&file))
                .map_err(|error| format!("T-1, {context}: {file} is torn: {error}"))?;
        }
        let decided = table_at(&folder)?
            .current()
            .await?
            .ok_or("the table is gone")?
            .number
            == 3;
        if let Err(error) = &outcome {
            let told = error
                .downcast_ref::<Error>()
                .is_some_and(Error::leaves_commit);
            assert!(
                !decided || told,
                "{context}: it was committed and says that it failed: {error}"
            );
            if !decided {
                assert_eq!(
                    rows_below(&folder)?,
                    old_rows,
                    "{context}: nothing happened"
                );
            }
        }
        // T-6: another process recovers, twice; then the work is asked for again.
        let table = table_at(&folder)?;
        table.recover().await?;
        assert!(
            table.recover().await?.is_clean(),
            "{context}: T-6, nothing is left to recover"
        );
        assert_at_rest(&folder)
            .await
            .map_err(|error| format!("{context}: {error}"))?;
        let expected = if decided { &new_rows } else { &old_rows };
        assert_eq!(
            &rows_below(&folder)?,
            expected,
            "{context}: T-2, all of it or nothing"
        );
        let again = maintenance.of(&table).await?;
        assert_eq!(again, (!decided).then_some(3), "{context}: done once");
        assert_eq!(
            rows_below(&folder)?,
            new_rows,
            "{context}: the table without faults"
        );
        assert_eq!(files_below(&folder).len(), new_files, "{context}");
        assert_at_rest(&folder)
            .await
            .map_err(|error| format!("{context}: {error}"))?;
        assert!(table.verify(true).await?.is_clean(), "{context}");
    }
    covered(&format!(
        "{maintenance:?}, {fault:?}: {calls} of {calls} calls are fault points"
    ));
    assert!(calls > 15, "only {calls} calls");
    Ok(())
}

/// One test for each fault, so that a test runner has them side by side.
macro_rules! every_call_of {
    ($($run:ident: $maintenance:expr;)*) => {$(
        mod $run {
            use super::*;

            #[tokio::test]
            async fn each_call_that_fails_leaves_the_table_of_one_without_faults() -> TestResult {
                every_call($maintenance, Fault::Fails).await
            }

            #[tokio::test]
            async fn each_answer_that_is_lost_leaves_the_table_of_one_without_faults() -> TestResult {
                every_call($maintenance, Fault::AnswerLost).await
            }

            #[tokio::test]
            async fn each_call_that_is_the_end_leaves_the_table_of_one_without_faults() -> TestResult {
                every_call($maintenance, Fault::Killed).await
            }
        }
    )*};
}

every_call_of! {
    compaction: Maintenance::Compact;
    expiry: Maintenance::Expire;
}

#[tokio::test]
async fn what_a_killed_compaction_left_is_seen_without_being_touched() -> TestResult {
    let prepared = Prepared::in_memory()?;
    two_commits(&prepared.table()).await?;
    let mut seen = [0_u32; 3];
    for at in 1.. {
        let folder = prepared.copy("point")?;
        let (table, faults) = faulty(&folder, at, Fault::Killed)?;
        let outcome = Maintenance::Compact.of(&table).await;
        drop(table);
        if !faults.fired() {
            outcome?;
            break;
        }
        let table = table_at(&folder)?;
        let control = crate::support::control(&folder);
        let before = (files_below(&folder), files_below(&control));
        let left = table.leftovers().await?;
        let verified = table.verify(false).await?;
        assert_eq!(
            (files_below(&folder), files_below(&control)),
            before,
            "call {at}"
        );
        assert_eq!(verified.unfinished, left.unfinished, "call {at}");
        let recovery = table.recover().await?;
        assert_eq!(recovery.rolled_forward, left.unfinished, "call {at}");
        let runs: Vec<String> = left
            .runs
            .iter()
            .map(|run| run.run_id.clone().unwrap_or_else(|| run.token.clone()))
            .collect();
        if left.unfinished.is_none()
            && table
                .current()
                .await?
                .is_some_and(|commit| commit.number == 2)
        {
            assert_eq!(runs, recovery.dropped, "call {at}");
        }
        seen[0] += u32::from(left.is_clean());
        seen[1] += u32::from(left.unfinished.is_some());
        seen[2] += u32::from(!left.runs.is_empty());
        assert!(table.leftovers().await?.is_clean(), "call {at}");
    }
    assert!(
        seen.iter().all(|times| *times > 0),
        "every kind of leftover was seen: {seen:?}"
    );
    Ok(())
}
