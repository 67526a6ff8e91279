//! Limits: requests at a time, backpressure, gates, cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use connectors::extract::{Control, ExtractError, Gate};
use futures::StreamExt;
use tokio::sync::Notify;

use crate::server::Server;
use crate::support::{Outcome, bugs, eventually, read, read_with, settled};
use crate::tracker::{Bug, Tracker};

async fn serve(bugs: u64, latency: u64) -> std::io::Result<Server> {
    let tracker = Tracker::new((1..=bugs).map(|number| (number, Bug::of_ada())));
    Server::start(Duration::from_millis(latency), move |request| {
        tracker.answer(request)
    })
    .await
}

#[tokio::test]
async fn requests_fill_every_slot_and_never_more() -> Outcome {
    for concurrency in [1, 3, 8] {
        let server = serve(40, 10).await?;
        let read = read(&bugs(
            &server.root,
            &[("concurrency", &concurrency.to_string())],
        )?)
        .await;
        assert_eq!(read.units.len(), 40);
        assert_eq!(server.most_at_once(), concurrency);
        assert_eq!(read.metrics.max_in_flight, concurrency as u64);
        assert_eq!(
            (read.metrics.in_flight, read.metrics.requests),
            (0, server.count() as u64)
        );
    }
    Ok(())
}

#[tokio::test]
async fn slots_stay_busy_while_others_wait_for_their_answer() -> Outcome {
    let server = serve(50, 100).await?;
    let source = bugs(&server.root, &[("concurrency", "8")])?;
    let started = Instant::now();
    let read = read(&source).await;
    // In units of what the same requests take one after the other, so a slow machine shifts both.
    let ideal = read.metrics.requests as f64 * 0.1 / 8.0;
    let ratio = started.elapsed().as_secs_f64() / ideal;
    assert_eq!(read.units.len(), 50);
    assert!(ratio < 4.0, "slots stood idle: {ratio:.2} times the ideal");
    eprintln!(
        "{} requests, {ratio:.3} times requests x latency / concurrency",
        read.metrics.requests
    );
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_not_read_stops_asking() -> Outcome {
    let server = serve(2000, 0).await?;
    let source = bugs(&server.root, &[("concurrency", "2"), ("page_size", "20")])?;
    assert_eq!(
        server.count(),
        0,
        "nothing is asked before the stream is read"
    );
    let mut units = source.units(Control::default());
    assert!(units.next().await.is_some());
    let count = settled(|| server.count()).await;
    // Two slots: four units in hand, four waiting, five requests each, and the list one page ahead.
    assert!(count < 80, "{count} requests though nobody reads");
    let rest = units
        .filter(|unit| std::future::ready(unit.is_ok()))
        .count()
        .await;
    assert_eq!(rest, 1999);
    Ok(())
}

#[tokio::test]
async fn dropping_the_stream_ends_every_request() -> Outcome {
    let server = serve(500, 20).await?;
    let control = Control::default();
    let askers = Arc::downgrade(&control.metrics);
    let mut units = bugs(&server.root, &[])?.units(control);
    assert!(units.next().await.is_some());
    drop(units);
    // Whoever asks counts its requests: when nobody can count, nobody asks.
    assert!(eventually(|| askers.strong_count() == 0).await);
    assert!(eventually(|| server.busy() == 0).await);
    assert!(server.count() < 200, "{}", server.count());
    Ok(())
}

#[tokio::test]
async fn cancelling_ends_the_stream_with_an_error_and_every_request() -> Outcome {
    let server = serve(500, 20).await?;
    let control = Control::default();
    let cancel = control.cancel.clone();
    let askers = Arc::downgrade(&control.metrics);
    let mut units = bugs(&server.root, &[])?.units(control);
    assert!(units.next().await.is_some());
    cancel.cancel();
    let rest: Vec<_> = units.collect().await;
    assert!(
        matches!(rest.last(), Some(Err(ExtractError::Cancelled))),
        "{:?}",
        rest.last()
    );
    assert!(rest.len() < 50);
    assert!(eventually(|| askers.strong_count() == 0).await);
    assert!(eventually(|| server.busy() == 0).await);
    Ok(())
}

/// A gate that is shut until it is opened.
#[derive(Debug, Default)]
struct Shut {
    open: AtomicBool,
    opened: Notify,
}

#[async_trait]
impl Gate for Shut {
    async fn ready(&self) {
        loop {
            let opened = self.opened.notified();
            if self.open.load(Ordering::SeqCst) {
                return;
            }
            opened.await;
        }
    }
}

#[tokio::test]
async fn a_shut_gate_pauses_the_extraction_until_it_opens() -> Outcome {
    let server = serve(20, 0).await?;
    let gate = Arc::new(Shut::default());
    let control = Control {
        gate: Arc::clone(&gate) as Arc<dyn Gate>,
        ..Control::default()
    };
    let source = bugs(&server.root, &[])?;
    let reading = tokio::spawn(async move { read_with(&source, control).await });
    assert!(
        eventually(|| server.count() == 1).await,
        "the member is asked for"
    );
    assert_eq!(settled(|| server.count()).await, 1);
    gate.open.store(true, Ordering::SeqCst);
    gate.opened.notify_waiters();
    assert_eq!(reading.await?.units.len(), 20);
    Ok(())
}

#[tokio::test]
async fn a_rate_limit_spreads_requests() -> Outcome {
    let server = serve(3, 0).await?;
    let started = Instant::now();
    let read = read(&bugs(&server.root, &[("requests_per_second", "40")])?).await;
    let requests = read.metrics.requests;
    assert_eq!(read.units.len(), 3);
    assert!(
        started.elapsed() >= Duration::from_millis(25) * (requests as u32 - 1),
        "{requests} in {:?}",
        started.elapsed()
    );
    Ok(())
}
