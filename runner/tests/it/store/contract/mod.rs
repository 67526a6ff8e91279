//! What every [`RunStore`] promises. A backend runs the whole suite with `run_store_contract!`, giving a
//! function that opens a fresh store through two handles.

#![expect(clippy::unwrap_used, reason = "test code outside #[test] functions")]

pub(crate) mod adoption;
pub(crate) mod finding;
pub(crate) mod ledger;
pub(crate) mod records;
pub(crate) mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use runner::store::{
    Chunk, Claim, Counts, LedgerTotals, NewRun, Outcome, Owner, Run, RunAttempt, RunEnd, RunId,
    RunMode, RunReader, RunStore, Setting, read_ledger,
};

/// A fresh, empty store, opened twice as two processes would.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn RunStore>,
    pub(crate) second: Arc<dyn RunStore>,
    /// Keeps what the store lives in.
    pub(crate) _home: Box<dyn Send + Sync>,
}

/// One test for each function of the suite.
macro_rules! run_store_contract {
    ($open:path) => {
        crate::store::contract::run_store_contract! { $open =>
            runs: [
                a_created_run_reads_back_as_it_was_asked_for,
                a_second_run_of_a_running_pipeline_is_refused,
                of_many_creators_at_once_exactly_one_wins,
                a_run_whose_owner_is_gone_is_interrupted_by_the_next,
                a_run_without_its_owner_reads_as_interrupted,
                the_same_end_may_be_recorded_twice,
                a_request_to_stop_is_of_one_attempt,
            ];
            adoption: [
                an_adopted_run_goes_on_as_the_next_attempt,
                of_many_adopters_at_once_exactly_one_wins,
                a_live_or_published_or_unknown_run_cannot_be_adopted,
                a_run_cannot_be_adopted_while_another_of_its_pipeline_runs,
                a_stale_attempt_writes_nothing,
                a_finished_run_takes_no_more_records,
            ];
            finding: [
                an_unfinished_run_is_found_by_what_was_asked_for,
                a_run_is_found_by_the_beginning_of_its_id,
                runs_are_listed_newest_first_and_filtered,
            ];
            ledger: [
                the_ledger_keeps_the_order_of_each_source,
                an_entry_appended_again_changes_nothing,
                an_entry_that_differs_or_skips_a_number_is_refused_with_its_batch,
                the_ledger_outlives_an_attempt,
                an_append_that_is_cancelled_is_whole_or_nothing,
                a_large_ledger_is_read_page_by_page,
            ];
            records: [
                a_stage_keeps_its_first_start_and_its_last_end,
                quarantine_keeps_an_item_once,
                quarantine_tells_rows_of_one_line_apart,
                quarantine_is_listed_in_pages,
                a_new_attempt_forgets_what_it_will_ask_for_again,
                an_output_recorded_again_replaces_the_first,
                the_document_holds_everything_and_reads_back,
                an_unknown_run_has_no_document,
            ];
        }
    };
    ($open:path => $($module:ident: [$($test:ident),+ $(,)?];)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let fixture = $open().await;
                crate::store::contract::$module::$test(&fixture).await;
            }
        )+)+
    };
}
pub(crate) use run_store_contract;

/// A whole number of seconds after the suite's first moment, and a fraction that needs microseconds.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 123_456_000).unwrap() + TimeDelta::seconds(seconds)
}

pub(crate) fn owner(pid: u32, seconds: i64) -> Owner {
    Owner {
        host: "laptop-example".to_owned(),
        pid,
        process: format!("boot/pid:[1]/{pid}00"),
        heartbeat_at: at(seconds),
    }
}

pub(crate) fn everyone_lives(_: &Owner) -> bool {
    true
}

pub(crate) fn nobody_lives(_: &Owner) -> bool {
    false
}

pub(crate) fn parameters(member: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("member".to_owned(), member.to_owned()),
        ("from".to_owned(), "2026-09-01".to_owned()),
    ])
}

pub(crate) fn settings(memory: &str, origin: &str) -> BTreeMap<String, Setting> {
    BTreeMap::from([(
        "memory".to_owned(),
        Setting {
            value: memory.to_owned(),
            origin: origin.to_owned(),
        },
    )])
}

/// A run of `pipeline` by process `pid` that begins at second `seconds`.
pub(crate) fn new_run(pipeline: &str, pid: u32, seconds: i64) -> NewRun {
    let id = RunId::mint(at(seconds));
    NewRun {
        id,
        pipeline: pipeline.to_owned(),
        definition_fingerprint: "d1f0".to_owned(),
        parameters: parameters("ada-example"),
        mode: RunMode::Local,
        settings: settings("512MiB", "default"),
        work_dir: format!("./.pipelines/runs/{id}"),
        owner: owner(pid, seconds),
    }
}

pub(crate) fn claim(pid: u32, seconds: i64) -> Claim {
    Claim {
        owner: owner(pid, seconds),
        settings: settings("1GiB", "--memory"),
    }
}

pub(crate) fn end(outcome: Outcome, seconds: i64) -> RunEnd {
    RunEnd {
        outcome,
        at: at(seconds),
        exit_code: 0,
        error: None,
        counts: Counts::default(),
        bytes_read: 0,
        bytes_written: 0,
        peak_memory_bytes: None,
    }
}

pub(crate) fn chunk(source: &str, sequence: u64) -> Chunk {
    Chunk {
        source: source.to_owned(),
        sequence,
        path: format!("{source}/{sequence:06}.parquet"),
        rows: 1_000 + sequence,
        units: 10,
        bytes: 65_536,
        digest: format!("{sequence:064x}"),
        cursor: Some(format!("2026-09-01T00:00:00Z/{sequence}")),
        landed_at: at(i64::try_from(sequence).unwrap()),
    }
}

/// A running run, and the attempt to write with.
pub(crate) async fn running(store: &dyn RunStore, pipeline: &str) -> (Run, RunAttempt) {
    let run = store
        .create_run(&new_run(pipeline, 1, 0), &everyone_lives)
        .await
        .unwrap();
    let attempt = run.current_attempt();
    (run, attempt)
}

/// The newest entry of a source in the ledger.
pub(crate) async fn last_chunk(
    store: &(impl RunReader + ?Sized),
    run: RunId,
    source: &str,
) -> Option<Chunk> {
    let mut all: Vec<_> = read_ledger(store, run, source).collect().await;
    all.pop().transpose().unwrap()
}

/// What has landed, per source.
pub(crate) async fn totals(store: &(impl RunReader + ?Sized), run: RunId) -> Vec<LedgerTotals> {
    let ledger = store.document(run).await.unwrap().ledger;
    ledger.into_iter().map(|source| source.totals).collect()
}
