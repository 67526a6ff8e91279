//! Stages, quarantine, outputs, and the document that holds everything.

use runner::store::{
    MemorySnapshot, Outcome, Output, Quarantined, RowPlace, RunDocument, RunId, SCHEMA_VERSION,
    StageEnd, StageName, StoreError, Warning,
};
use serde_json::{Value, json};

use super::{Fixture, at, chunk, claim, end, nobody_lives, running};

fn item(number: u32, reason: &str) -> Quarantined {
    Quarantined {
        source: "bugs".to_owned(),
        unit: Some(number.to_string()),
        resource: Some("messages".to_owned()),
        url: format!("https://example.org/bugs/{number}/messages"),
        reason: reason.to_owned(),
        class: "missing_field".to_owned(),
        body: Some("{\"self_link\": null}".to_owned()),
        row: None,
        at: at(i64::from(number)),
    }
}

fn output(commit: Option<u64>, rows: u64) -> Output {
    Output {
        name: "events".to_owned(),
        location: "./lake/events".to_owned(),
        mode: "overwrite".to_owned(),
        commit,
        files: 66,
        rows,
        bytes: 61 << 20,
        files_added: 4,
        files_removed: 31,
        files_unchanged: 62,
    }
}

pub(crate) async fn a_stage_keeps_its_first_start_and_its_last_end(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, first) = running(store, "bugs").await;
    let stage_end = |seconds: i64, rows: u64| StageEnd {
        at: at(seconds),
        rows,
        bytes: 10 * rows,
        detail: json!({"requests": rows}),
    };
    let early = store
        .finish_stage(first, StageName::Write, &stage_end(5, 1))
        .await
        .unwrap_err();
    assert!(
        matches!(
            early,
            StoreError::StageNotStarted {
                stage: StageName::Write,
                attempt: 1,
                ..
            }
        ),
        "{early:?}"
    );
    for seconds in [10, 11] {
        store
            .start_stage(first, StageName::Extract, at(seconds))
            .await
            .unwrap();
    }
    let adopted = store
        .adopt_run(first, &claim(2, 15), &nobody_lives)
        .await
        .unwrap();
    let second = adopted.current_attempt();
    store
        .start_stage(second, StageName::Extract, at(20))
        .await
        .unwrap();
    for (seconds, rows) in [(30, 7), (31, 8)] {
        store
            .finish_stage(second, StageName::Extract, &stage_end(seconds, rows))
            .await
            .unwrap();
    }
    let stages = store.stages(run.id).await.unwrap();
    assert_eq!(stages, store.document(run.id).await.unwrap().stages);
    assert_eq!(stages.len(), 2);
    assert_eq!((stages[0].attempt, stages[0].started_at), (1, at(10)));
    assert_eq!(
        (stages[0].finished_at, &stages[0].detail),
        (None, &Value::Null),
        "the first attempt broke off in it"
    );
    assert_eq!((stages[1].attempt, stages[1].started_at), (2, at(20)));
    assert_eq!(stages[1].finished_at, Some(at(31)));
    assert_eq!((stages[1].rows, stages[1].bytes), (8, 80));
    assert_eq!(stages[1].detail, json!({"requests": 8}));
}

pub(crate) async fn quarantine_keeps_an_item_once(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    let added = store
        .add_quarantined(
            attempt,
            &[
                item(1, "no title"),
                item(2, "no title"),
                item(1, "no title"),
            ],
        )
        .await
        .unwrap();
    assert_eq!(added, 2);
    let mut later = item(1, "no title");
    later.at = at(900);
    later.body = None;
    let added = store
        .add_quarantined(attempt, &[later, item(1, "no owner"), item(3, "no title")])
        .await
        .unwrap();
    assert_eq!(added, 2, "another reason or another place is another item");
    let kept = store.quarantined(run.id, 0, 100).await.unwrap();
    assert_eq!(kept.total, 4);
    assert_eq!(
        kept.items,
        [
            item(1, "no title"),
            item(2, "no title"),
            item(1, "no owner"),
            item(3, "no title"),
        ],
        "as first seen, in the order of arrival"
    );
    let (other, attempt) = running(store, "questions").await;
    let added = store
        .add_quarantined(attempt, &[item(1, "no title")])
        .await
        .unwrap();
    assert_eq!(added, 1, "each run has its own quarantine");
    let kept = store.quarantined(other.id, 0, 100).await.unwrap();
    assert_eq!(kept.total, 1);
}

pub(crate) async fn quarantine_tells_rows_of_one_line_apart(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    let row = |offset: u64| Quarantined {
        row: Some(RowPlace {
            line: 3,
            offset,
            length: 9,
            column: Some("title".to_owned()),
            body_hex: Some("ff".to_owned()),
        }),
        ..item(1, "no title")
    };
    let items = [row(20), row(29), row(20), item(1, "no title")];
    let added = store.add_quarantined(attempt, &items).await.unwrap();
    assert_eq!(added, 3);
    let kept = store.quarantined(run.id, 0, 100).await.unwrap();
    assert_eq!(kept.items, [row(20), row(29), item(1, "no title")]);
}

pub(crate) async fn a_new_attempt_forgets_what_it_will_ask_for_again(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    let other_source = Quarantined {
        source: "questions".to_owned(),
        ..item(2, "gone")
    };
    let items = [
        item(1, "no title"),
        item(2, "gone"),
        item(3, "no owner"),
        other_source,
    ];
    store.add_quarantined(attempt, &items).await.unwrap();
    let landed = ["1".to_owned(), "9".to_owned()].into();
    assert_eq!(
        store
            .retain_quarantined(attempt, "bugs", &landed)
            .await
            .unwrap(),
        2
    );
    let kept = store.quarantined(run.id, 0, 100).await.unwrap();
    let kept: Vec<_> = kept
        .items
        .iter()
        .map(|kept| (kept.source.as_str(), kept.unit.as_deref()))
        .collect();
    assert_eq!(kept, [("bugs", Some("1")), ("questions", Some("2"))]);
}

pub(crate) async fn quarantine_is_listed_in_pages(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    let all: Vec<Quarantined> = (0..1_200).map(|number| item(number, "no title")).collect();
    store.add_quarantined(attempt, &all).await.unwrap();
    let page = store.quarantined(run.id, 1_190, 100).await.unwrap();
    assert_eq!((page.total, page.items.as_slice()), (1_200, &all[1_190..]));
    let summary = store.document(run.id).await.unwrap().quarantine;
    assert_eq!(summary.total, 1_200);
    assert!(
        summary.items == all[..1_000],
        "the document lists the first thousand"
    );
}

pub(crate) async fn an_output_recorded_again_replaces_the_first(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    for (commit, rows) in [(None, 10), (Some(418), 2_099_871)] {
        store
            .record_output(attempt, &output(commit, rows))
            .await
            .unwrap();
    }
    let outputs = store.document(run.id).await.unwrap().outputs;
    assert_eq!(outputs, [output(Some(418), 2_099_871)]);
}

pub(crate) async fn the_document_holds_everything_and_reads_back(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    let snapshot = MemorySnapshot {
        at: at(1),
        label: "extract start".to_owned(),
        rss_bytes: 80 << 20,
        virtual_bytes: 900 << 20,
        percent: 1.25,
        peak_bytes: 81 << 20,
        average_bytes: 79 << 20,
    };
    let warning = Warning {
        at: at(2),
        message: "the clock of the service is 40 s ahead".to_owned(),
    };
    store
        .start_stage(attempt, StageName::Extract, at(1))
        .await
        .unwrap();
    store
        .append_chunks(
            attempt,
            &[chunk("bugs", 0), chunk("bugs", 1), chunk("people", 0)],
        )
        .await
        .unwrap();
    store.add_snapshot(attempt, &snapshot).await.unwrap();
    store
        .add_quarantined(attempt, &[item(3, "no title")])
        .await
        .unwrap();
    store.add_warning(attempt, &warning).await.unwrap();
    store
        .record_output(attempt, &output(Some(1), 12))
        .await
        .unwrap();
    let finished = store
        .finish_run(attempt, &end(Outcome::Partial, 60))
        .await
        .unwrap();

    let document = fixture.second.document(run.id).await.unwrap();
    assert_eq!(document.schema_version, SCHEMA_VERSION);
    assert_eq!(document.run, finished);
    assert_eq!(document.stages.len(), 1);
    assert_eq!(document.memory, [snapshot]);
    assert_eq!(document.warnings, [warning]);
    assert_eq!(document.outputs, [output(Some(1), 12)]);
    assert_eq!(document.quarantine.items, [item(3, "no title")]);
    let ledger: Vec<(&str, u64, usize)> = document
        .ledger
        .iter()
        .map(|source| {
            let totals = &source.totals;
            (totals.source.as_str(), totals.chunks, source.entries.len())
        })
        .collect();
    assert_eq!(ledger, [("bugs", 2, 2), ("people", 1, 1)]);

    let text = serde_json::to_string(&document).unwrap();
    let read: RunDocument = serde_json::from_str(&text).unwrap();
    assert_eq!(read, document);
}

pub(crate) async fn an_unknown_run_has_no_document(fixture: &Fixture) {
    let unknown = RunId::mint(at(0));
    let refusal = fixture.store.document(unknown).await.unwrap_err();
    assert!(
        matches!(&refusal, StoreError::NotFound { wanted, .. } if *wanted == unknown.to_string()),
        "{refusal:?}"
    );
}
