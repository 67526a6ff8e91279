//! A commit of the same run, or of one that was asked for the same, is done; every other append of its interval is refused
//! with the difference.

use std::fs;

use serde_json::Value;
use tables::{Claim, CommitInfo, Error, PublishMode, Table, TableOptions};

use crate::lake::MODES;
use crate::once::{Once, claim, run_claiming, run_once};
use crate::support::{
    Event, TestResult, assert_at_rest, by_city, control, events, files_below, interval, new_table,
    rows_below,
};

const ROWS: [Event; 3] = [
    Event(1, "Ghent", 10, Some("a")),
    Event(2, "Oulu", 20, None),
    Event(3, "Oulu", 30, None),
];

/// The run `run_id` of `request` over an interval, or over none.
async fn ask(
    table: &Table,
    run_id: &str,
    mode: PublishMode,
    info: CommitInfo,
    change: impl FnOnce(&mut Claim),
) -> TestResult<Once> {
    let mut claim = claim("the same", &info);
    change(&mut claim);
    let options = by_city(mode);
    run_claiming(table, run_id, options, events(&ROWS)?, true, info, claim).await
}

fn no_interval() -> CommitInfo {
    CommitInfo {
        interval: None,
        ..interval(1)
    }
}

#[tokio::test]
async fn a_run_that_committed_is_done_in_every_mode_with_and_without_an_interval() -> TestResult {
    for mode in MODES {
        for info in [interval(1), no_interval()] {
            let (_parent, folder, table) = new_table()?;
            let same = |_: &mut Claim| {};
            ask(&table, "run-0", mode, interval(9), |claim| {
                claim.transaction.request = "another".to_owned();
            })
            .await?;
            let first = ask(&table, "run-1", mode, info.clone(), same).await?;
            // Others commit before the run is asked for again.
            let later = TableOptions {
                sort: Vec::new(),
                ..by_city(PublishMode::Append)
            };
            let rows = events(&[Event(9, "Riga", 90, None)])?;
            run_once(&table, "run-2", later, rows, true, interval(5)).await?;
            let (rows, files) = (rows_below(&folder)?, files_below(&control(&folder)));
            let again = ask(&table, "run-1", mode, info, same).await?.before()?;
            assert_eq!(
                (again.number, again.run_id.as_str()),
                (first.commit(), "run-1")
            );
            assert_eq!(again.rows_staged, 3, "{mode}: the rows that it published");
            assert_eq!(again.totals.rows, rows.len() as u64, "{mode}");
            assert_eq!(rows_below(&folder)?, rows, "{mode}: nothing was written");
            assert_eq!(files_below(&control(&folder)), files, "{mode}");
            assert_at_rest(&folder).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_interval_that_the_same_request_appended_is_done_whatever_the_run_is_called()
-> TestResult {
    let (_parent, folder, table) = new_table()?;
    let first_attempt = |claim: &mut Claim| claim.since = None;
    let append = PublishMode::Append;
    ask(&table, "run-1", append, interval(1), first_attempt).await?;
    ask(&table, "run-2", append, interval(2), first_attempt).await?;
    let again = ask(&table, "run-3", append, interval(1), first_attempt)
        .await?
        .before()?;
    assert_eq!((again.number, again.run_id.as_str()), (1, "run-1"));
    assert_eq!(rows_below(&folder)?.len(), 6);
    // Without an interval a new run is meant to add its rows once more; and other modes publish anew.
    for (run, rows) in [("run-4", 9), ("run-5", 12)] {
        let added = ask(&table, run, append, no_interval(), first_attempt).await?;
        assert!(matches!(added, Once::Now(_)), "{run}");
        assert_eq!(rows_below(&folder)?.len(), rows);
    }
    let overwrite = PublishMode::Overwrite;
    let anew = ask(&table, "run-6", overwrite, interval(1), first_attempt).await?;
    assert!(matches!(anew, Once::Now(_)));
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn an_interval_that_something_else_appended_is_refused_with_the_difference() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let append = PublishMode::Append;
    let defined = |fingerprint: &str| CommitInfo {
        plan_fingerprint: Some(fingerprint.to_owned()),
        ..interval(1)
    };
    ask(&table, "run-1", append, defined("one"), |_| {}).await?;
    let rows = rows_below(&folder)?;
    type Difference = fn(&mut Claim);
    let cases: [(&str, Difference, &str); 3] = [
        (
            "one",
            |claim| claim.transaction.application = "other".to_owned(),
            "commit 1 of run run-1, of pipeline 'tests'",
        ),
        (
            "two",
            |claim| claim.transaction.request = "changed".to_owned(),
            "the definition has changed since",
        ),
        (
            "one",
            |claim| claim.transaction.request = "other values".to_owned(),
            "with other parameters",
        ),
    ];
    for (fingerprint, difference, words) in cases {
        let refused = ask(&table, "run-2", append, defined(fingerprint), difference).await;
        let error = refused.err().ok_or("the interval was appended twice")?;
        assert!(
            matches!(
                error.downcast_ref::<Error>(),
                Some(Error::IntervalCommitted { .. })
            ),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("use mode"), "{text}");
        assert_eq!(rows_below(&folder)?, rows);
        assert_at_rest(&folder).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_of_a_log_without_transactions_is_recognised_by_its_run() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let append = PublishMode::Append;
    ask(&table, "run-1", append, interval(1), |_| {}).await?;
    let path = control(&folder).join("commits/00000001.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path)?)?;
    let fields = record.as_object_mut().ok_or("no object")?;
    assert!(fields.remove("transaction").is_some() && fields.remove("rows_staged").is_some());
    fs::write(&path, serde_json::to_vec_pretty(&record)?)?;
    let again = ask(&table, "run-1", append, interval(1), |_| {})
        .await?
        .before()?;
    assert_eq!((again.number, again.rows_staged), (1, 3));
    let other = ask(&table, "run-2", append, interval(1), |_| {}).await;
    assert!(
        other.is_err(),
        "nobody knows that it was asked for the same"
    );
    Ok(())
}

#[tokio::test]
async fn a_run_looks_for_its_commit_only_after_the_record_at_which_it_began() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let append = PublishMode::Append;
    for (number, run) in [(1, "run-1"), (2, "run-2"), (3, "run-3")] {
        ask(&table, run, append, interval(number), |_| {}).await?;
    }
    // A record that is not needed is not read: the newest one has all files.
    ask(&table, "run-4", PublishMode::Replace, no_interval(), |_| {}).await?;
    fs::write(control(&folder).join("commits/00000002.json"), "damaged")?;
    let since = |claim: &mut Claim| claim.since = Some(3);
    let again = ask(&table, "run-4", append, no_interval(), since).await?;
    assert_eq!(again.before()?.number, 4);
    let since = |claim: &mut Claim| claim.since = Some(4);
    let added = ask(&table, "run-5", append, no_interval(), since).await?;
    assert_eq!(added.commit(), 5);
    Ok(())
}
