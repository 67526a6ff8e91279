//! When a failed request is tried again: exponential backoff with full jitter, bounded three ways.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::failure::{FailureKind, RequestFailure, classify};

/// No more than this between attempts to connect: a host that is not there should be told soon.
const MAX_CONNECT_DELAY: Duration = Duration::from_secs(2);

/// How often and how patiently a request is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Attempts in all, the first included.
    pub(crate) max_attempts: NonZeroU32,
    /// The most that is waited before the second attempt; doubles with every further one.
    pub(crate) first_delay: Duration,
    /// The most that is waited between two attempts of our own accord.
    pub(crate) max_delay: Duration,
    /// The most of a server's `Retry-After` that is waited.
    pub(crate) max_retry_after: Duration,
    /// No attempt begins when this much has passed since the first.
    pub(crate) max_total: Duration,
}

impl RetryPolicy {
    /// The delay before attempt `failures + 1`, where `fraction` in `0..=1` is the jitter.
    fn delay(&self, failures: u32, kind: &FailureKind, fraction: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let ceiling = match kind {
            FailureKind::Connect => self.max_delay.min(MAX_CONNECT_DELAY),
            _ => self.max_delay,
        };
        let own = self
            .first_delay
            .saturating_mul(1 << doublings)
            .min(ceiling)
            .mul_f64(fraction);
        match kind {
            FailureKind::Status {
                retry_after: Some(asked),
                ..
            } => own.max((*asked).min(self.max_retry_after)),
            _ => own,
        }
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    policy: &'a RetryPolicy,
    started: Instant,
    failures: u32,
    /// Failures that were answered by asking for less; they are not held against the request.
    excused: u32,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(policy: &'a RetryPolicy) -> Self {
        Self {
            policy,
            started: Instant::now(),
            failures: 0,
            excused: 0,
        }
    }

    /// How long to wait before the next attempt.
    ///
    /// # Errors
    /// The failure, with the number of attempts, when there is to be none.
    pub(crate) fn after(
        &mut self,
        mut failure: RequestFailure,
        excused: bool,
    ) -> Result<Duration, RequestFailure> {
        self.failures += 1;
        self.excused += u32::from(excused);
        failure.attempts = self.failures;
        let delay = self
            .policy
            .delay(self.failures - self.excused, &failure.kind, rand::random());
        let exhausted = self.failures - self.excused >= self.policy.max_attempts.get();
        if !classify(&failure.kind).retry
            || exhausted
            || self.started.elapsed() + delay > self.policy.max_total
        {
            return Err(failure);
        }
        tracing::debug!(
            url = failure.url,
            attempt = self.failures,
            delay_ms = delay.as_millis() as u64,
            reason = %failure,
            "request is tried again"
        );
        Ok(delay)
    }
}

/// Reads a `Retry-After`: seconds, or an HTTP date.
pub(crate) fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(header)
        .ok()?
        .with_timezone(&Utc);
    Some((date - now).to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::{Attempts, RetryPolicy, retry_after};
    use crate::failure::{FailureKind, RequestFailure};

    fn policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: NonZeroU32::new(3).unwrap(),
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            max_retry_after: Duration::from_secs(60),
            max_total: Duration::from_secs(600),
        }
    }

    fn unavailable(retry_after: Option<u64>) -> FailureKind {
        FailureKind::Status {
            status: 503,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn delays_double_up_to_the_ceiling_and_jitter_covers_all_of_them() {
        let millis = |failures, fraction| {
            policy()
                .delay(failures, &unavailable(None), fraction)
                .as_millis()
        };
        assert_eq!(
            [millis(1, 1.0), millis(2, 1.0), millis(3, 1.0)],
            [100, 200, 400]
        );
        assert_eq!(millis(40, 1.0), 5000);
        assert_eq!(millis(3, 0.0), 0);
        assert_eq!(
            policy().delay(40, &FailureKind::Connect, 1.0).as_millis(),
            2000
        );
    }

    #[test]
    fn the_server_is_obeyed_up_to_the_cap() {
        assert_eq!(policy().delay(1, &unavailable(Some(7)), 1.0).as_secs(), 7);
        assert_eq!(
            policy().delay(1, &unavailable(Some(900)), 1.0).as_secs(),
            60
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2024-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(retry_after(" 12 ", now).unwrap().as_secs(), 12);
        assert_eq!(
            retry_after("Mon, 01 Jan 2024 00:00:30 GMT", now)
                .unwrap()
                .as_secs(),
            30
        );
        assert_eq!(
            retry_after("Sun, 31 Dec 2023 23:59:00 GMT", now)
                .unwrap()
                .as_secs(),
            0
        );
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn attempts_end_and_permanent_failures_get_none() {
        let policy = policy();
        let failure = |kind| RequestFailure::new("https://example.org/", kind, "");
        let mut attempts = Attempts::new(&policy);
        assert!(
            attempts.after(failure(unavailable(None)), true).is_ok(),
            "excused"
        );
        assert!(attempts.after(failure(unavailable(None)), false).is_ok());
        assert!(attempts.after(failure(FailureKind::Timeout), false).is_ok());
        assert_eq!(
            attempts
                .after(failure(unavailable(None)), false)
                .unwrap_err()
                .attempts,
            4
        );
        let gone = FailureKind::Status {
            status: 410,
            retry_after: None,
        };
        assert_eq!(
            Attempts::new(&policy)
                .after(failure(gone), false)
                .unwrap_err()
                .attempts,
            1
        );
    }
}
