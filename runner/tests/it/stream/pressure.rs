//! What a stream holds while its sink is slow, and that nothing goes on when it is cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use futures::{StreamExt, stream};
use runner::stream::{
    Cause, Chunk, Flow, FunctionSink, MemorySink, Sink, Source, Stage, Status, StreamError,
};
use tokio::sync::Semaphore;

use super::{batches, flow, soon, until};

/// A source of so many chunks of so many rows, that counts how many it was asked for. It gives the ninth when the sink has the
/// first: a buffer of eight is not full before.
fn counted(chunks: usize, rows: usize, gate: &Gate) -> (Source, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, begun) = (Arc::clone(&asked), Arc::clone(&gate.begun));
    let given = stream::iter(0..chunks).then(move |number| {
        count.fetch_add(1, Ordering::SeqCst);
        let begun = Arc::clone(&begun);
        async move {
            if number >= 8 {
                // Until it is closed.
                begun.acquire().await.expect_err("there are no permits");
            }
            number
        }
    });
    let given = given.map(move |number| {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![number as i64; rows]));
        Ok::<_, Cause>(RecordBatch::try_from_iter([("n", numbers)])?)
    });
    let schema = batches(1, 1)[0].schema();
    (Source::stream("counted", schema, given), asked)
}

/// How many chunks a sink may take, and whether it has one.
struct Gate {
    permits: Arc<Semaphore>,
    /// Closed then.
    begun: Arc<Semaphore>,
}

impl Gate {
    fn new(permits: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            begun: Arc::new(Semaphore::new(0)),
        }
    }

    fn sink(&self) -> impl Sink<Output = ()> + use<> {
        let (permits, begun) = (Arc::clone(&self.permits), Arc::clone(&self.begun));
        FunctionSink::new(move |_: Chunk| {
            begun.close();
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await?.forget();
                Ok(())
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sink_pauses_the_source_and_the_buffer_keeps_its_bound() {
    const BUFFER: usize = 8;
    let gate = Gate::new(0);
    let (source, asked) = counted(400, 1, &gate);
    let flow = Flow::new(source).buffer(BUFFER).resume_at(2);
    let handle = flow.handle();
    let mut status = handle.watch();
    let run = tokio::spawn(flow.run(gate.sink()));
    soon(status.wait_for(|status| *status == Status::Paused))
        .await
        .unwrap();
    until(|| handle.metrics().buffered == BUFFER).await;
    // Those that wait, the one that the sink has, the one that might be the last, and the one that finds no room.
    until(|| asked.load(Ordering::SeqCst) == BUFFER + 3).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), BUFFER + 3, "it does wait");

    // Five are too few to go on.
    gate.permits.add_permits(5);
    until(|| handle.metrics().chunks == 5).await;
    until(|| handle.metrics().buffered == BUFFER - 5).await;
    assert_eq!(handle.status(), Status::Paused);
    assert_eq!(asked.load(Ordering::SeqCst), BUFFER + 3);
    gate.permits.add_permits(1);
    until(|| asked.load(Ordering::SeqCst) > BUFFER + 3).await;

    gate.permits.add_permits(1_000);
    let report = soon(run).await.unwrap().unwrap();
    assert_eq!(report.metrics.chunks, 400);
    assert_eq!(report.metrics.most_buffered, BUFFER);
    assert!(report.metrics.pauses >= 2, "{:?}", report.metrics);
    assert_eq!(handle.status(), Status::Completed);
    assert_eq!(
        handle.metrics(),
        report.metrics,
        "it does not change any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_however_much_there_is_to_read() {
    const BUFFER: usize = 4;
    let gate = Gate::new(100 * BUFFER);
    let (source, _) = counted(100 * BUFFER, 8_192, &gate);
    let copy = |chunk: Chunk| {
        let column = chunk.batch.column(0).to_data();
        let copied =
            datafusion::arrow::compute::concat(&[&datafusion::arrow::array::make_array(column)])?;
        let batch = RecordBatch::try_from_iter([("n", copied)])?;
        Ok(chunk.with(batch))
    };
    let flow = Flow::new(source)
        .buffer(BUFFER)
        .stage(Stage::blocking("copy", copy).workers(2));
    let report = soon(flow.run(gate.sink())).await;
    let metrics = report.unwrap().metrics;
    assert_eq!(metrics.items, 400 * 8_192);
    assert_eq!(metrics.bytes, 400 * 8_192 * 8);
    let chunk = 8_192 * 8 + 1_024;
    // In two buffers; two before each; two that are worked on, with what comes of them; one in the sink.
    let chunks = 2 * BUFFER as u64 + 4 + 4 + 1;
    assert!(metrics.peak_memory <= chunks * chunk, "{metrics:?}");
    assert!(metrics.peak_memory >= 8_192 * 8, "{metrics:?}");
    assert_eq!(metrics.memory, 0);
    assert!(metrics.most_buffered <= 2 * BUFFER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_be_told_how_many_bytes_to_hold() {
    const CHUNK: u64 = 8_192 * 8;
    let gate = Gate::new(0);
    let (source, _) = counted(400, 8_192, &gate);
    let flow = Flow::new(source).buffer(200).memory(4 * CHUNK);
    let handle = flow.handle();
    let run = tokio::spawn(flow.run(gate.sink()));
    let mut status = handle.watch();
    soon(status.wait_for(|status| *status == Status::Paused))
        .await
        .unwrap();
    gate.permits.add_permits(400);
    let metrics = soon(run).await.unwrap().unwrap().metrics;
    assert_eq!(metrics.chunks, 400);
    // What is under way already comes on top.
    assert!(metrics.peak_memory <= 7 * (CHUNK + 1_024), "{metrics:?}");
}

/// Counts those that are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Works for ever on four chunks.
fn endless(alive: &Arc<AtomicUsize>) -> Stage {
    let alive = Arc::clone(alive);
    Stage::new("endless", move |chunk: Chunk| {
        let alive = Alive::new(&alive);
        async move {
            std::future::pending::<()>().await;
            drop(alive);
            Ok(chunk)
        }
    })
    .workers(4)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_stream_has_ended_everything_when_it_says_so() {
    let alive = Arc::new(AtomicUsize::new(0));
    let flow = flow(100).stage(endless(&alive));
    let handle = flow.handle();
    let run = tokio::spawn(flow.run(MemorySink::new()));
    until(|| alive.load(Ordering::SeqCst) == 4).await;
    assert!(handle.cancel());
    let error = soon(run).await.unwrap().unwrap_err();
    assert!(matches!(error, StreamError::Cancelled));
    assert_eq!(handle.status(), Status::Cancelled);
    until(|| alive.load(Ordering::SeqCst) == 0).await;
    until(|| handle.metrics().memory == 0).await;
    assert!(!handle.cancel(), "it is cancelled already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_waits_for_ends() {
    let alive = Arc::new(AtomicUsize::new(0));
    let flow = flow(100).stage(endless(&alive));
    let handle = flow.handle();
    let run = tokio::spawn(flow.run(MemorySink::new()));
    until(|| alive.load(Ordering::SeqCst) == 4).await;
    run.abort();
    until(|| alive.load(Ordering::SeqCst) == 0).await;
    until(|| handle.status() == Status::Cancelled).await;
    until(|| handle.metrics().memory == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_done_is_not_cancelled() {
    let flow = flow(3);
    let handle = flow.handle();
    soon(flow.run(MemorySink::new())).await.unwrap();
    assert!(!handle.cancel());
    assert_eq!(handle.status(), Status::Completed);
    let never_begun = super::flow(3);
    assert!(never_begun.handle().cancel());
    let error = soon(never_begun.run(MemorySink::new())).await.unwrap_err();
    assert!(matches!(error, StreamError::Cancelled));
}
