//! The landing ledger.

use std::time::Duration;

use futures::TryStreamExt;
use runner::store::{Chunk, LedgerTotals, StoreError, read_ledger};
use tokio::time::timeout;

use super::{Fixture, at, chunk, claim, last_chunk, nobody_lives, running, totals};

pub(crate) async fn the_ledger_keeps_the_order_of_each_source(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    // Sources take turns, within a batch and between batches.
    store
        .append_chunks(
            attempt,
            &[chunk("people", 0), chunk("bugs", 0), chunk("bugs", 1)],
        )
        .await
        .unwrap();
    store
        .append_chunks(attempt, &[chunk("bugs", 2), chunk("people", 1)])
        .await
        .unwrap();

    let second = &*fixture.second;
    let bugs = second.chunks(run.id, "bugs", None, 100).await.unwrap();
    assert_eq!(bugs, [chunk("bugs", 0), chunk("bugs", 1), chunk("bugs", 2)]);
    let rest = second.chunks(run.id, "bugs", Some(0), 1).await.unwrap();
    assert_eq!(rest, [chunk("bugs", 1)]);
    assert_eq!(
        last_chunk(second, run.id, "people").await,
        Some(chunk("people", 1))
    );
    assert_eq!(last_chunk(second, run.id, "questions").await, None);
    assert_eq!(
        totals(second, run.id).await,
        [
            LedgerTotals {
                source: "bugs".to_owned(),
                chunks: 3,
                rows: 3_003,
                units: 30,
                bytes: 3 * 65_536,
            },
            LedgerTotals {
                source: "people".to_owned(),
                chunks: 2,
                rows: 2_001,
                units: 20,
                bytes: 2 * 65_536,
            },
        ]
    );
}

pub(crate) async fn an_entry_appended_again_changes_nothing(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    let first = [chunk("bugs", 0), chunk("bugs", 1)];
    store.append_chunks(attempt, &first).await.unwrap();
    // The answer was lost: the process asks again, a little later, with one more.
    let mut again = vec![chunk("bugs", 0), chunk("bugs", 1), chunk("bugs", 2)];
    again[0].landed_at = at(500);
    store.append_chunks(attempt, &again).await.unwrap();
    let entries = store.chunks(run.id, "bugs", None, 100).await.unwrap();
    assert_eq!(
        entries,
        [chunk("bugs", 0), chunk("bugs", 1), chunk("bugs", 2)]
    );
}

pub(crate) async fn an_entry_that_differs_or_skips_a_number_is_refused_with_its_batch(
    fixture: &Fixture,
) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    store
        .append_chunks(attempt, &[chunk("bugs", 0)])
        .await
        .unwrap();
    type Change = fn(&mut Chunk);
    let changes: [Change; 6] = [
        |chunk| chunk.path.push('x'),
        |chunk| chunk.rows += 1,
        |chunk| chunk.units += 1,
        |chunk| chunk.bytes += 1,
        |chunk| chunk.digest.push('0'),
        |chunk| chunk.cursor = None,
    ];
    for change in changes {
        let mut different = chunk("bugs", 0);
        change(&mut different);
        let refusal = store
            .append_chunks(attempt, &[chunk("people", 0), different])
            .await
            .unwrap_err();
        assert!(
            matches!(
                &refusal,
                StoreError::LedgerConflict { source_table, sequence: 0, .. } if source_table == "bugs"
            ),
            "{refusal:?}"
        );
    }
    let refusal = store
        .append_chunks(attempt, &[chunk("bugs", 1), chunk("bugs", 3)])
        .await
        .unwrap_err();
    assert!(
        matches!(
            refusal,
            StoreError::LedgerGap {
                expected: 2,
                found: 3,
                ..
            }
        ),
        "{refusal:?}"
    );
    let refusal = store
        .append_chunks(attempt, &[chunk("people", 1)])
        .await
        .unwrap_err();
    assert!(
        matches!(
            refusal,
            StoreError::LedgerGap {
                expected: 0,
                found: 1,
                ..
            }
        ),
        "{refusal:?}"
    );
    let landed = totals(store, run.id).await;
    assert_eq!(landed.len(), 1, "nothing of a refused batch is kept");
    assert_eq!((landed[0].chunks, landed[0].rows), (1, 1_000));
}

pub(crate) async fn the_ledger_outlives_an_attempt(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    store
        .append_chunks(attempt, &[chunk("bugs", 0), chunk("bugs", 1)])
        .await
        .unwrap();
    let adopted = fixture
        .second
        .adopt_run(attempt, &claim(2, 60), &nobody_lives)
        .await
        .unwrap();
    let last = last_chunk(&*fixture.second, run.id, "bugs").await;
    let last = last.unwrap();
    assert_eq!(last.cursor.as_deref(), Some("2026-09-01T00:00:00Z/1"));
    fixture
        .second
        .append_chunks(
            adopted.current_attempt(),
            &[chunk("bugs", last.sequence + 1)],
        )
        .await
        .unwrap();
    let late = store.append_chunks(attempt, &[chunk("bugs", 2)]).await;
    assert!(
        matches!(late, Err(StoreError::Superseded { .. })),
        "{late:?}"
    );
    let landed = totals(store, run.id).await;
    assert_eq!(landed[0].chunks, 3);
}

pub(crate) async fn an_append_that_is_cancelled_is_whole_or_nothing(fixture: &Fixture) {
    const BATCH: u64 = 200;
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    // From before the first statement to after the last one.
    for (round, patience) in (0_u64..).zip([0_u64, 200, 1_000, 3_000, 8_000, 20_000]) {
        let batch: Vec<Chunk> = (round * BATCH..(round + 1) * BATCH)
            .map(|sequence| chunk("bugs", sequence))
            .collect();
        let append = store.append_chunks(attempt, &batch);
        let _cancelled_or_not = timeout(Duration::from_micros(patience), append).await;
        let landed: u64 = totals(&*fixture.second, run.id)
            .await
            .iter()
            .map(|totals| totals.chunks)
            .sum();
        assert_eq!(landed % BATCH, 0, "after {patience} µs");
        store.append_chunks(attempt, &batch).await.unwrap();
        let last = last_chunk(store, run.id, "bugs").await;
        assert_eq!(last.as_ref(), batch.last());
    }
}

pub(crate) async fn a_large_ledger_is_read_page_by_page(fixture: &Fixture) {
    const CHUNKS: u64 = 10_000;
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    let all: Vec<Chunk> = (0..CHUNKS)
        .map(|sequence| chunk("bugs", sequence))
        .collect();
    for batch in all.chunks(2_500) {
        store.append_chunks(attempt, batch).await.unwrap();
    }
    store
        .append_chunks(attempt, &[chunk("people", 0)])
        .await
        .unwrap();
    let read: Vec<Chunk> = read_ledger(store, run.id, "bugs")
        .try_collect()
        .await
        .unwrap();
    assert!(read == all, "{} entries, in order and complete", read.len());
    let page = store
        .chunks(run.id, "bugs", Some(CHUNKS - 3), 100)
        .await
        .unwrap();
    assert_eq!(page, all[all.len() - 2..]);
    let none: Vec<Chunk> = read_ledger(store, run.id, "questions")
        .try_collect()
        .await
        .unwrap();
    assert_eq!(none, []);
    let document = store.document(run.id).await.unwrap();
    assert!(
        document.ledger[0].entries == all,
        "the document has every entry"
    );
}
