//! What becomes of a stream when something fails: the stage, its time, the source, the sink.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use runner::error::chain;
use runner::stream::{
    Cause, Chunk, FileSink, Flow, FunctionSink, MemorySink, Report, Sink, Source, Stage, Status,
    StreamError,
};

use super::{all_values, batches, flow, names, soon};

/// Fails so often on one chunk, then no more.
fn failing(on: u64, times: u32) -> Stage {
    let failed = Arc::new(AtomicU32::new(0));
    Stage::new("fragile", move |chunk: Chunk| {
        let failed = Arc::clone(&failed);
        async move {
            if chunk.sequence == on && failed.fetch_add(1, Ordering::Relaxed) < times {
                return Err("no".into());
            }
            Ok(chunk)
        }
    })
    .backoff(Duration::from_millis(1))
    .workers(3)
}

/// Runs it into a file that was there before, which it must not touch.
async fn fails(flow: Flow) -> String {
    let folder = tempfile::tempdir().expect("a folder is made");
    let target = folder.path().join("out.jsonl");
    std::fs::write(&target, "before").expect("it is written");
    let handle = flow.handle();
    let ended = soon(flow.run(FileSink::new(&target))).await;
    let error = ended.expect_err("it fails");
    assert_eq!(handle.status(), Status::Failed);
    let now = std::fs::read_to_string(&target).expect("it is there");
    assert_eq!(now, "before");
    // What a thread has in its hands when the stream ends goes when the thread is done.
    super::until(|| names(folder.path()) == ["out.jsonl"]).await;
    chain(&error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_fails_twice_is_tried_three_times() {
    let flow = flow(20).stage(failing(7, 2).retries(2));
    let report = soon(flow.run(MemorySink::new())).await.unwrap();
    assert_eq!(all_values(&report.output), (0..20).collect::<Vec<i64>>());
    assert_eq!((report.metrics.errors, report.metrics.retries), (2, 2));
    assert_eq!(report.metrics.put_aside, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_fails_for_ever_ends_the_stream_and_leaves_no_file() {
    let flow = flow(50).stage(failing(7, u32::MAX).retries(2));
    let handle = flow.handle();
    let error = fails(flow).await;
    assert_eq!(
        error,
        "stage `fragile` failed on chunk 7, after 3 tries: no"
    );
    assert_eq!((handle.metrics().errors, handle.metrics().retries), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_cannot_be_done_is_put_aside_where_that_may_be() {
    let odd = |chunk: Chunk| match chunk.sequence % 2 {
        0 => Ok(chunk),
        _ => Err(format!("{} is odd", chunk.sequence).into()),
    };
    let stage = || Stage::blocking("even", odd).workers(4);
    let report = soon(flow(6).stage(stage().put_aside(3)).run(MemorySink::new())).await;
    let Report {
        output,
        metrics,
        put_aside,
        ..
    } = report.unwrap();
    assert_eq!(all_values(&output), [0, 2, 4]);
    assert!(output[2].is_last);
    assert_eq!((metrics.put_aside, metrics.memory), (3, 0));
    assert_eq!(metrics.chunks_read, metrics.chunks + metrics.put_aside);
    let aside: Vec<(String, String)> = put_aside
        .iter()
        .map(|aside| (aside.chunk.id.clone(), aside.cause.to_string()))
        .collect();
    let expected = [1, 3, 5].map(|odd| (odd.to_string(), format!("{odd} is odd")));
    assert_eq!(aside, expected);
    assert_eq!(
        all_values(put_aside.iter().map(|aside| &aside.chunk)),
        [1, 3, 5]
    );

    let error = fails(flow(6).stage(stage().workers(1).put_aside(2))).await;
    assert_eq!(
        error,
        "stage `even` may put 2 chunks aside, and chunk 5 is one more: 5 is odd"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_takes_too_long_has_failed() {
    let tried = Arc::new(AtomicU32::new(0));
    let work = {
        let tried = Arc::clone(&tried);
        move |chunk: Chunk| {
            let tried = Arc::clone(&tried);
            async move {
                if chunk.sequence == 3 && tried.fetch_add(1, Ordering::Relaxed) == 0 {
                    std::future::pending::<()>().await;
                }
                Ok(chunk)
            }
        }
    };
    let slow = Stage::new("slow", work).timeout(Duration::from_millis(50));
    let report = soon(
        flow(5)
            .stage(slow.clone().retries(1))
            .run(MemorySink::new()),
    )
    .await;
    let report = report.unwrap();
    assert_eq!(all_values(&report.output), [0, 1, 2, 3, 4]);
    assert_eq!((report.metrics.errors, report.metrics.retries), (1, 1));

    tried.store(0, Ordering::Relaxed);
    let error = fails(flow(5).stage(slow)).await;
    assert_eq!(
        error,
        "stage `slow` failed on chunk 3: it took longer than 50ms"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_takes_too_long_is_not_waited_for() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let stage = Stage::blocking("stuck", move |chunk: Chunk| {
        if chunk.sequence == 1 {
            // Until the test is over.
            released.lock().unwrap().recv().unwrap_err();
        }
        Ok(chunk)
    });
    // Long enough for a thread to begin.
    let flow = flow(3).stage(stage.timeout(Duration::from_secs(2)).put_aside(1));
    let report = soon(flow.run(MemorySink::new())).await.unwrap();
    assert_eq!(all_values(&report.output), [0, 2]);
    assert_eq!(report.put_aside[0].chunk.id, "1");
    drop(release);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_error_of_its_chunk() {
    fn panics(chunk: Chunk) -> Result<Chunk, Cause> {
        assert!(chunk.sequence != 2, "chunk two");
        Ok(chunk)
    }
    for stage in [
        Stage::blocking("wild", panics),
        Stage::new("wild", |chunk| async { panics(chunk) }),
        // Before it is a future.
        Stage::new("wild", |chunk| std::future::ready(panics(chunk))),
    ] {
        let error = fails(flow(5).stage(stage.clone())).await;
        assert_eq!(
            error,
            "stage `wild` failed on chunk 2: it panicked: chunk two"
        );
        let report = soon(flow(5).stage(stage.put_aside(1)).run(MemorySink::new())).await;
        assert_eq!(all_values(&report.unwrap().output), [0, 1, 3, 4]);
    }
    let sink = FunctionSink::new(|chunk: Chunk| async move {
        assert!(chunk.sequence != 2, "sink two");
        Ok(())
    });
    let error = soon(flow(5).run(sink)).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "writing to a function failed at chunk 2: it panicked: sink two"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_is_told_with_what_it_gave() {
    let of = |end: Result<RecordBatch, Cause>| {
        let mut given: Vec<Result<RecordBatch, Cause>> =
            batches(3, 1).into_iter().map(Ok).collect();
        given.push(end);
        Source::stream("a sensor", batches(1, 1)[0].schema(), stream::iter(given))
    };
    let error = fails(Flow::new(of(Err("it fell down".into())))).await;
    assert_eq!(
        error,
        "reading a sensor failed after 3 chunks: it fell down"
    );

    let panics = stream::iter(batches(3, 1)).map(|batch| -> Result<RecordBatch, Cause> {
        assert!(
            super::values(&Chunk::new(0, batch.clone())) != [2],
            "no two"
        );
        Ok(batch)
    });
    let panics = Source::stream("a sensor", batches(1, 1)[0].schema(), panics);
    let error = fails(Flow::new(panics)).await;
    assert_eq!(
        error,
        "reading a sensor failed after 2 chunks: it panicked: no two"
    );

    let panics = (0..3).map(|number| -> Result<RecordBatch, Cause> {
        assert!(number != 2, "no two");
        Ok(batches(1, 1).remove(0))
    });
    let panics = Source::blocking("a sensor", batches(1, 1)[0].schema(), panics);
    let error = fails(Flow::new(panics)).await;
    assert_eq!(
        error,
        "reading a sensor failed after 2 chunks: it panicked: no two"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_ends_the_stream() {
    let sink = FunctionSink::new(|chunk: Chunk| async move {
        match chunk.sequence {
            9 => Err("it is full".into()),
            _ => Ok(()),
        }
    });
    let flow = flow(1_000).stage(Stage::blocking("same", Ok));
    let handle = flow.handle();
    let error = soon(flow.run(sink)).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "writing to a function failed at chunk 9: it is full"
    );
    assert!(matches!(&error, StreamError::Sink { id: Some(id), .. } if id == "9"));
    assert!(error.source().is_some());
    assert_eq!(handle.metrics().chunks, 9);
    assert!(handle.metrics().chunks_read < 100);
}

/// Counts how often it was ended.
struct Counted(Arc<AtomicU32>);

impl Sink for Counted {
    type Output = ();

    fn describe(&self) -> String {
        String::from("a count")
    }

    async fn write(&mut self, _: Chunk) -> Result<(), Cause> {
        Ok(())
    }

    async fn finish(self) -> Result<(), Cause> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_is_ended_only_when_all_went_well() {
    let ended = Arc::new(AtomicU32::new(0));
    for on in 0..200 {
        // On the last chunk too, behind which nothing would be missed.
        let flow = flow(20)
            .stage(failing(on % 20, 1))
            .stage(Stage::blocking("same", Ok));
        let error = soon(flow.run(Counted(Arc::clone(&ended))))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, StreamError::Stage { stage, .. } if stage == "fragile"),
            "{error}"
        );
    }
    assert_eq!(ended.load(Ordering::Relaxed), 0);
    soon(flow(20).run(Counted(Arc::clone(&ended))))
        .await
        .unwrap();
    assert_eq!(ended.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_written_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = async |sink: FileSink| {
        let error = soon(flow(2).run(sink)).await.unwrap_err();
        chain(&error)
    };
    let at = |name: &str| folder.path().join(name);
    let error = run(FileSink::new(at("out.xlsx"))).await;
    assert!(error.ends_with("out.xlsx says no format that is written; say one of PARQUET, CSV, JSON, ARROW, AVRO with `FileSink::format`"), "{error}");
    let error = run(FileSink::new(at("none/out.csv"))).await;
    assert!(
        error.contains("cannot make a file beside") && error.contains("none/out.csv"),
        "{error}"
    );
    let error = run(FileSink::new("s3://bucket/out.csv")).await;
    assert!(error.contains("s3://bucket/out.csv is a URL"), "{error}");
    let columns = batches(1, 1)[0].schema();
    let nothing = |sink: FileSink| {
        let none = Stage::blocking("none", |_| Ok(None::<Chunk>));
        soon(flow(2).stage(none).run(sink))
    };
    let error = nothing(FileSink::new(at("out.csv"))).await.unwrap_err();
    assert!(chain(&error).contains("no chunk came"), "{}", chain(&error));
    assert_eq!(names(folder.path()), Vec::<String>::new());
    let report = nothing(FileSink::new(at("out.csv")).columns(columns)).await;
    assert_eq!(report.unwrap().output.rows, 0);
    assert_eq!(std::fs::read_to_string(at("out.csv")).unwrap(), "n\n");
}

#[test]
fn what_is_not_possible_is_said_before_anything_is_read() {
    let run = |flow: Flow| {
        let error = flow.run_blocking(MemorySink::new()).unwrap_err();
        chain(&error)
    };
    let same = Stage::blocking("same", Ok::<Chunk, Cause>);
    assert_eq!(
        run(flow(1).stage(same.workers(0))),
        "the stream cannot run: stage `same` has no workers"
    );
    assert_eq!(
        run(flow(1).buffer(0)),
        "the stream cannot run: a buffer of no chunks lets none through"
    );
    assert_eq!(
        run(flow(1).buffer(4).resume_at(4)),
        "the stream cannot run: what waits at 4 chunks cannot go on at 4; `resume_at` is less than `buffer`"
    );
    let error = run(Flow::new(runner::stream::FileSource::new("nowhere.csv")));
    assert!(
        error.starts_with("reading nowhere.csv failed after 0 chunks: "),
        "{error}"
    );
}

#[tokio::test]
async fn blocking_is_refused_in_an_async_runtime() {
    let error = flow(1).run_blocking(MemorySink::new()).unwrap_err();
    assert!(matches!(error, StreamError::InsideRuntime));
}
