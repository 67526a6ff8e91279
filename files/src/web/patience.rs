//! When a request to a web server is sent again: as requests to object stores are, by the same variables. Owns how long is
//! waited, and that what came through begins the count anew.

use std::time::{Duration, Instant};

use datafusion::object_store::RetryConfig;

use super::fault::Failure;

/// No more than this between attempts to connect: a host that is not there should be told soon.
const MOST_TO_CONNECT: Duration = Duration::from_secs(2);
/// So many bytes are worth another row of attempts.
const PROGRESS: u64 = 1 << 20;

/// The attempts of one reading.
#[derive(Debug)]
pub(super) struct Patience {
    policy: RetryConfig,
    failures: usize,
    since: Instant,
    bytes: u64,
}

impl Patience {
    pub(super) fn new(policy: &RetryConfig) -> Self {
        Self {
            policy: policy.clone(),
            failures: 0,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Bytes came through.
    pub(super) fn received(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.failures > 0 && self.bytes >= PROGRESS {
            self.failures = 0;
        }
    }

    /// Waits before another attempt.
    ///
    /// # Errors
    /// The failure, with the number of attempts in vain, when there is to be none.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<(), (Failure, usize)> {
        if self.failures == 0 {
            self.since = Instant::now();
        }
        self.bytes = 0;
        self.failures += 1;
        let Failure::Passing {
            after, unreachable, ..
        } = &failure
        else {
            return Err((failure, 1));
        };
        let delay = self
            .delay(*unreachable, rand::random())
            .max(after.unwrap_or_default());
        let is_late = self.since.elapsed() + delay > self.policy.retry_timeout;
        if self.failures > self.policy.max_retries || is_late {
            return Err((failure, self.failures));
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// The delay behind the failures so far, where `fraction` in `0..=1` is the jitter.
    fn delay(&self, unreachable: bool, fraction: f64) -> Duration {
        let backoff = &self.policy.backoff;
        let most = match unreachable {
            true => backoff.max_backoff.min(MOST_TO_CONNECT),
            false => backoff.max_backoff,
        };
        let doublings = i32::try_from(self.failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = backoff.init_backoff.as_secs_f64() * backoff.base.powi(doublings.min(30));
        most.min(Duration::from_secs_f64(grown)).mul_f64(fraction)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::object_store::BackoffConfig;

    use super::*;

    fn refused(after: Option<u64>) -> Failure {
        Failure::Passing {
            what: "no".to_owned(),
            after: after.map(Duration::from_secs),
            unreachable: false,
        }
    }

    #[tokio::test]
    async fn attempts_end_and_what_came_through_begins_them_anew() {
        let policy = RetryConfig {
            max_retries: 2,
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(1),
                ..BackoffConfig::default()
            },
            ..RetryConfig::default()
        };
        let mut patience = Patience::new(&policy);
        assert!(patience.after(refused(None)).await.is_ok());
        patience.received(1 << 19);
        assert!(patience.after(refused(None)).await.is_ok());
        let (_, attempts) = patience.after(refused(None)).await.unwrap_err();
        assert_eq!(attempts, 3);
        let mut patience = Patience::new(&policy);
        for _ in 0..5 {
            assert!(patience.after(refused(None)).await.is_ok());
            patience.received(1 << 20);
        }
        // Longer than anybody waits.
        assert!(patience.after(refused(Some(1000))).await.is_err());
        assert!(
            patience
                .after(Failure::Missing(String::new()))
                .await
                .is_err()
        );
    }

    #[test]
    fn delays_double_up_to_the_most() {
        let mut patience = Patience::new(&RetryConfig::default());
        let mut delays = [0, 1, 2, 3, 90].map(|failures| {
            patience.failures = failures;
            patience.delay(false, 1.0).as_millis()
        });
        assert_eq!(delays, [100, 100, 200, 400, 15_000]);
        delays = [0, 1, 2, 3, 90].map(|failures| {
            patience.failures = failures;
            patience.delay(true, 0.5).as_millis()
        });
        assert_eq!(delays, [50, 50, 100, 200, 1_000]);
    }
}
