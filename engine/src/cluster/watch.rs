//! Notices that an executor is lost while a job runs: by its heartbeat as the scheduler has it, and by whether its port
//! answers. Owns the limits; what follows is the caller's to decide.
//!
//! Neither sign is enough. A killed process refuses connections at once, but its last heartbeat looks fresh for a while; a
//! paused one accepts connections, which the system does for it, but sends no heartbeat.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::client::Executor;
use super::probe::probe;

/// An executor whose heartbeat does not change for so long is lost. Executors send one every two seconds.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that takes longer fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// One failed connection may be an accident.
const FAILED_CONNECTIONS: u32 = 2;

/// The executors that a job began with.
#[derive(Debug)]
pub(super) struct Watch {
    watched: HashMap<String, Watched>,
}

#[derive(Debug)]
struct Watched {
    executor: Executor,
    changed: Instant,
    /// `None` where its port could not be reached from here to begin with.
    failed: Option<u32>,
}

impl Watch {
    /// Begins to watch these.
    pub(super) async fn begin(executors: &[Executor]) -> Self {
        let reached = join_all(executors.iter().map(connect)).await;
        let watched = executors.iter().zip(reached).map(|(executor, reached)| {
            let watched = Watched {
                executor: executor.clone(),
                changed: Instant::now(),
                failed: reached.is_ok().then_some(0),
            };
            (executor.id.clone(), watched)
        });
        Self {
            watched: watched.collect(),
        }
    }

    /// Those that are watched.
    pub(super) fn executors(&self) -> Vec<Executor> {
        let watched = self.watched.values();
        watched.map(|watched| watched.executor.clone()).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    /// Looks again at this time, with the scheduler's newest list. Gives the executor that is lost, and how that was
    /// noticed.
    pub(super) async fn look(
        &mut self,
        listed: &[Executor],
        now: Instant,
    ) -> Option<(Executor, String)> {
        let listed: HashMap<&str, &Executor> = listed
            .iter()
            .map(|executor| (executor.id.as_str(), executor))
            .collect();
        for (id, watched) in &mut self.watched {
            let lost = |reason: String| Some((watched.executor.clone(), reason));
            let Some(seen) = listed.get(id.as_str()) else {
                return lost(String::from("it is not registered any more"));
            };
            if seen.last_seen != watched.executor.last_seen {
                watched.executor.last_seen = seen.last_seen;
                watched.changed = now;
            } else if now.duration_since(watched.changed) > HEARTBEAT_TIMEOUT {
                return lost(format!(
                    "no heartbeat for {} s",
                    HEARTBEAT_TIMEOUT.as_secs()
                ));
            }
        }
        let probed = self
            .watched
            .values_mut()
            .filter_map(|watched| Some((&watched.executor, watched.failed.as_mut()?)))
            .map(|(executor, failed)| async move {
                match connect(executor).await {
                    Ok(()) => *failed = 0,
                    Err(error) => {
                        *failed += 1;
                        if *failed >= FAILED_CONNECTIONS {
                            return Some((
                                executor.clone(),
                                format!("its port does not answer: {error}"),
                            ));
                        }
                    }
                }
                None
            });
        join_all(probed).await.into_iter().flatten().next()
    }
}

/// Those of the executors whose port answers; all of them if none does, because then it is this process that cannot reach
/// them.
pub(super) async fn answering(executors: Vec<Executor>) -> Vec<Executor> {
    let answers = join_all(executors.iter().map(connect)).await;
    if answers.iter().all(Result::is_err) {
        return executors;
    }
    let answered = executors.into_iter().zip(answers);
    answered
        .filter_map(|(executor, answer)| answer.is_ok().then_some(executor))
        .collect()
}

async fn connect(executor: &Executor) -> io::Result<()> {
    probe(&executor.host, executor.port, CONNECT_TIMEOUT).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn executor() -> (TcpListener, Executor) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let executor = Executor {
            id: String::from("one"),
            host: String::from("127.0.0.1"),
            port: listener.local_addr().unwrap().port(),
            vcores: 1,
            last_seen: Some(1),
        };
        (listener, executor)
    }

    #[tokio::test]
    async fn an_executor_whose_port_is_closed_is_lost() {
        let (listener, executor) = executor().await;
        let mut watch = Watch::begin(std::slice::from_ref(&executor)).await;
        assert!(
            watch
                .look(std::slice::from_ref(&executor), Instant::now())
                .await
                .is_none()
        );
        drop(listener);
        assert!(
            watch
                .look(std::slice::from_ref(&executor), Instant::now())
                .await
                .is_none()
        );
        let (lost, reason) = watch.look(&[executor], Instant::now()).await.unwrap();
        assert_eq!(lost.id, "one");
        assert!(reason.contains("port"), "{reason}");
    }

    #[tokio::test]
    async fn an_executor_that_the_scheduler_dropped_is_lost() {
        let (_listener, executor) = executor().await;
        let mut watch = Watch::begin(&[executor]).await;
        let (_, reason) = watch.look(&[], Instant::now()).await.unwrap();
        assert!(reason.contains("registered"), "{reason}");
    }

    #[tokio::test]
    async fn an_executor_without_heartbeats_is_lost_although_its_port_answers() {
        let (_listener, mut executor) = executor().await;
        let mut watch = Watch::begin(std::slice::from_ref(&executor)).await;
        let mut now = Instant::now() + 2 * HEARTBEAT_TIMEOUT;
        executor.last_seen = Some(2);
        assert!(watch.look(&[executor.clone()], now).await.is_none());
        now += HEARTBEAT_TIMEOUT;
        assert!(watch.look(&[executor.clone()], now).await.is_none());
        now += Duration::from_secs(1);
        let (_, reason) = watch.look(&[executor], now).await.unwrap();
        assert!(reason.contains("heartbeat"), "{reason}");
    }

    #[tokio::test]
    async fn a_port_that_never_answered_from_here_says_nothing() {
        let (listener, executor) = executor().await;
        drop(listener);
        let mut watch = Watch::begin(std::slice::from_ref(&executor)).await;
        for _ in 0..3 {
            assert!(
                watch
                    .look(std::slice::from_ref(&executor), Instant::now())
                    .await
                    .is_none()
            );
        }
    }
}
