//! In which order chunks come, how they are known, and which one is the last.

use std::sync::Arc;

use runner::stream::{Cause, Chunk, Flow, MemorySink, Source, Stage, Status};
use tokio::sync::Semaphore;

use super::{all_values, flow, soon};

const WORKERS: usize = 8;

/// Works on eight chunks at a time, of which each waits for the one behind it: they are done from the last to the first.
fn backwards(chunks: usize) -> Stage {
    let done: Vec<Semaphore> = (0..=chunks).map(|_| Semaphore::new(0)).collect();
    let done = Arc::new(done);
    let work = move |chunk: Chunk| {
        let done = Arc::clone(&done);
        async move {
            let number = usize::try_from(chunk.sequence)?;
            if number % WORKERS != WORKERS - 1 {
                done[number + 1].acquire().await?.forget();
            }
            done[number].add_permits(1);
            Ok(chunk)
        }
    };
    Stage::new("backwards", work).workers(WORKERS)
}

fn last(chunks: &[Chunk]) -> Vec<bool> {
    chunks.iter().map(|chunk| chunk.is_last).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_stage_of_eight_workers_keeps_the_order() {
    let flow = flow(64).stage(backwards(64));
    let handle = flow.handle();
    let report = soon(flow.run(MemorySink::new())).await.unwrap();
    assert_eq!(all_values(&report.output), (0..64).collect::<Vec<i64>>());
    let sequences: Vec<u64> = report.output.iter().map(|chunk| chunk.sequence).collect();
    assert_eq!(sequences, (0..64).collect::<Vec<u64>>());
    let mut marks = vec![false; 64];
    marks[63] = true;
    assert_eq!(last(&report.output), marks);
    assert_eq!(report.output[5].metadata["source"], "memory");
    assert_eq!(handle.status(), Status::Completed);
    let metrics = &report.metrics;
    assert_eq!((metrics.chunks, metrics.items), (64, 64));
    assert_eq!((metrics.chunks_read, metrics.items_read), (64, 64));
    assert_eq!((metrics.bytes, metrics.memory), (64 * 8, 0));
    assert_eq!((metrics.errors, metrics.retries), (0, 0));
    assert_eq!((metrics.stages[0].taken, metrics.stages[0].given), (64, 64));
    assert!(metrics.items_per_second() > 0.0 && metrics.megabytes_per_second() > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unordered_stage_gives_the_same_chunks_as_they_are_done() {
    let flow = flow(64).stage(backwards(64).unordered());
    let report = soon(flow.run(MemorySink::new())).await.unwrap();
    let mut found = all_values(&report.output);
    assert_ne!(found, (0..64).collect::<Vec<i64>>());
    found.sort_unstable();
    assert_eq!(found, (0..64).collect::<Vec<i64>>());
    let mut marks = vec![false; 64];
    marks[63] = true;
    assert_eq!(last(&report.output), marks, "wherever it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_are_known_by_what_they_are_pieces_of() {
    // None of an odd chunk, so that the last one is left out too, and as many pieces as its number of the others.
    let cut = |chunk: Chunk| {
        let pieces = match chunk.sequence {
            number if number % 2 == 1 => 0,
            number => number,
        };
        Ok((0..pieces).map(|_| chunk.clone()).collect::<Vec<Chunk>>())
    };
    let again = |chunk: Chunk| Ok(vec![chunk.clone(), chunk]);
    let flow = flow(6)
        .stage(Stage::blocking("cut", cut).workers(3))
        .stage(Stage::blocking("again", again));
    let report = soon(flow.run(MemorySink::new())).await.unwrap();
    let ids: Vec<&str> = report
        .output
        .iter()
        .map(|chunk| chunk.id.as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "2.0.0", "2.0.1", "2.1.0", "2.1.1", "4.0.0", "4.0.1", "4.1.0", "4.1.1", "4.2.0",
            "4.2.1", "4.3.0", "4.3.1"
        ]
    );
    let mut marks = vec![false; 12];
    marks[11] = true;
    assert_eq!(last(&report.output), marks);
    assert_eq!(report.output[11].sequence, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stage_sees_one_last_chunk() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let look = |name: &'static str| {
        let seen = Arc::clone(&seen);
        Stage::blocking(name, move |chunk: Chunk| {
            if chunk.is_last {
                seen.lock().unwrap().push((name, chunk.id.clone()));
            }
            // Of those that are left, the last one is another.
            Ok((chunk.sequence < 7).then_some(chunk))
        })
    };
    let flow = flow(10).stage(look("first")).stage(look("second"));
    soon(flow.run(MemorySink::new())).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        seen,
        [("first", "9".to_owned()), ("second", "6".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_rows_gives_one_chunk_with_its_columns() {
    let report = soon(flow(0).run(MemorySink::new())).await.unwrap();
    let [chunk] = report.output.as_slice() else {
        panic!("{:?}", report.output);
    };
    assert_eq!((chunk.rows(), chunk.is_last), (0, true));
    assert_eq!(chunk.batch.schema().field(0).name(), "n");
    assert_eq!((report.metrics.chunks, report.metrics.items), (1, 0));
}

#[test]
fn an_iterator_that_blocks_is_a_source() {
    let (give, given) = std::sync::mpsc::channel();
    let schema = super::batches(1, 1)[0].schema();
    let source = Source::blocking("a channel", schema, given.into_iter());
    let giving = std::thread::spawn(move || {
        for batch in super::batches(10, 3) {
            give.send(Ok::<_, Cause>(batch)).unwrap();
        }
    });
    let report = Flow::new(source).run_blocking(MemorySink::new()).unwrap();
    giving.join().unwrap();
    assert_eq!(all_values(&report.output), (0..30).collect::<Vec<i64>>());
    assert_eq!(report.output[0].metadata["source"], "a channel");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_have_as_many_rows_as_was_said() {
    for (rows, expected) in [(4, vec![4, 4, 2]), (10, vec![10]), (1, vec![1; 10])] {
        let flow = Flow::new(super::numbers(5, 2)).chunk_rows(rows);
        let report = soon(flow.run(MemorySink::new())).await.unwrap();
        let found: Vec<usize> = report.output.iter().map(Chunk::rows).collect();
        assert_eq!(found, expected);
        assert_eq!(all_values(&report.output), (0..10).collect::<Vec<i64>>());
    }
}
