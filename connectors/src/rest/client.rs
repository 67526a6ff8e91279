//! The HTTP client of one extraction: slots, rate, signing, and answers read whole and bounded.
//!
//! Owns how a request is sent and judged. Which requests are made is the crawl's.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use chrono::Utc;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{ACCEPT, LINK, RETRY_AFTER};
use reqwest::{Response, redirect};
use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

use super::address::is_loopback;
use super::auth::Credentials;
use super::options::Settings;
use super::retry::{Attempts, RetryPolicy, retry_after};
use crate::extract::QUARANTINED_BODY_BYTES;
use crate::failure::{FailureKind, RequestFailure, first_line};
use crate::metrics::Metrics;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Where the answer came from, after redirects.
    pub(crate) url: Url,
    pub(crate) body: Value,
    /// Length of the body as it came.
    pub(crate) bytes: u64,
    /// The target of a `Link` header with `rel="next"`.
    pub(crate) next_link: Option<String>,
}

/// Makes the connection pool. Redirects are followed on the same server only: another one must
/// see neither the credentials nor the request.
pub(crate) fn connection_pool(settings: &Settings) -> Result<reqwest::Client, reqwest::Error> {
    let same_server = redirect::Policy::custom(|attempt| {
        let from = attempt.previous().last().map(Url::origin);
        if from != Some(attempt.url().origin()) {
            attempt.stop()
        } else if attempt.previous().len() > 5 {
            attempt.error("more than 5 redirects")
        } else {
            attempt.follow()
        }
    });
    let mut builder = reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .redirect(same_server);
    if is_loopback(&settings.base) {
        // A proxy cannot reach this machine's own addresses.
        builder = builder.no_proxy();
    }
    builder.build()
}

/// Sends requests within the limits of one extraction.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    credentials: Credentials,
    slots: Semaphore,
    rate: Option<DefaultDirectRateLimiter>,
    /// Nobody asks before this instant: the server asked for fewer requests.
    quiet_until: Mutex<Option<Instant>>,
    retry: RetryPolicy,
    max_body_bytes: u64,
    max_unit_bytes: u64,
    metrics: Arc<Metrics>,
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, settings: &Settings, metrics: Arc<Metrics>) -> Self {
        let rate = settings
            .requests_per_second
            .and_then(|rate| Quota::with_period(Duration::from_secs_f64(rate.recip())))
            .map(|quota| RateLimiter::direct(quota.allow_burst(NonZeroU32::MIN)));
        Self {
            http,
            base: settings.base.clone(),
            credentials: settings.credentials.clone(),
            slots: Semaphore::new(settings.concurrency),
            rate,
            quiet_until: Mutex::new(None),
            retry: settings.retry.clone(),
            max_body_bytes: settings.max_body_bytes,
            max_unit_bytes: settings.max_unit_bytes,
            metrics,
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The bytes of answers that one unit may consist of.
    pub(crate) fn max_unit_bytes(&self) -> u64 {
        self.max_unit_bytes
    }

    pub(crate) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.retry)
    }

    /// Resolves a link of an answer, or a path of the spec, to an address.
    pub(crate) fn resolve(&self, from: &Url, link: &str) -> Result<Url, RequestFailure> {
        from.join(link).map_err(|cause| {
            RequestFailure::new(
                from.as_str(),
                FailureKind::Shape,
                format!("`{link}` is no link: {cause}"),
            )
        })
    }

    /// Asks until there is an answer or the attempts are used up.
    pub(crate) async fn get(&self, url: &Url) -> Result<Answer, RequestFailure> {
        let mut attempts = self.attempts();
        loop {
            match self.attempt(url).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.pause(attempts.after(failure, false)?).await,
            }
        }
    }

    /// Waits before another attempt; no slot is held meanwhile.
    pub(crate) async fn pause(&self, delay: Duration) {
        self.metrics.retries().increment();
        tokio::time::sleep(delay).await;
    }

    /// Asks once.
    pub(crate) async fn attempt(&self, url: &Url) -> Result<Answer, RequestFailure> {
        if url.origin() != self.base.origin() {
            let detail = format!("the API is at {}", self.base);
            return Err(RequestFailure::new(
                url.as_str(),
                FailureKind::OtherServer,
                detail,
            ));
        }
        // The semaphore is never closed; were it, asking without a slot would still be right.
        let _slot = self.slots.acquire().await.ok();
        self.quiet().await;
        if let Some(rate) = &self.rate {
            rate.until_ready().await;
        }
        let _in_flight = self.metrics.enter();
        self.metrics.requests().increment();
        let outcome = self.exchange(url).await;
        match &outcome {
            Ok(_) => self.metrics.responses_ok().increment(),
            Err(failure) => self.count(failure),
        }
        outcome
    }

    async fn quiet(&self) {
        loop {
            let until = *self
                .quiet_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match until {
                Some(until) if until > Instant::now() => {
                    tokio::time::sleep_until(until.into()).await
                }
                _ => return,
            }
        }
    }

    fn count(&self, failure: &RequestFailure) {
        let metrics = &self.metrics;
        match failure.kind {
            FailureKind::Status {
                status,
                retry_after,
            } => {
                match status {
                    300..=399 => metrics.responses_redirect().increment(),
                    400..=499 => metrics.responses_client_error().increment(),
                    _ => metrics.responses_server_error().increment(),
                }
                if status == 429 || retry_after.is_some() {
                    metrics.throttled().increment();
                }
                if let (429, Some(asked)) = (status, retry_after) {
                    let until = Instant::now() + asked.min(self.retry.max_retry_after);
                    let mut quiet = self
                        .quiet_until
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    *quiet = (*quiet).max(Some(until));
                }
            }
            FailureKind::Html | FailureKind::NotJson | FailureKind::TooLarge => {
                metrics.responses_ok().increment();
            }
            _ => metrics.responses_none().increment(),
        }
    }

    async fn exchange(&self, url: &Url) -> Result<Answer, RequestFailure> {
        let broken = |cause: reqwest::Error| transport_failure(url, &cause);
        let mut request = self
            .http
            .get(url.clone())
            .header(ACCEPT, "application/json");
        match self.credentials.header(&self.base) {
            Ok(None) => {}
            Ok(Some((name, value))) => request = request.header(name, value),
            Err(cause) => {
                let refused = FailureKind::Status {
                    status: 401,
                    retry_after: None,
                };
                return Err(RequestFailure::new(
                    url.as_str(),
                    refused,
                    cause.to_string(),
                ));
            }
        }
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let wait = header(RETRY_AFTER).and_then(|text| retry_after(text, Utc::now()));
        let next_link = response
            .headers()
            .get_all(LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(next_of_link_header);
        let answered_from = response.url().clone();
        if !status.is_success() {
            let kind = FailureKind::Status {
                status: status.as_u16(),
                retry_after: wait,
            };
            let limit = QUARANTINED_BODY_BYTES as u64;
            let body = self
                .body(response, limit, true)
                .await
                .map_err(broken)?
                .unwrap_or_default();
            return Err(failure_with_body(url, kind, &body, None));
        }
        let Some(body) = self
            .body(response, self.max_body_bytes, false)
            .await
            .map_err(broken)?
        else {
            let detail = format!("more than {} bytes", self.max_body_bytes);
            return Err(RequestFailure::new(
                url.as_str(),
                FailureKind::TooLarge,
                detail,
            ));
        };
        match serde_json::from_slice(&body) {
            Ok(parsed) => Ok(Answer {
                url: answered_from,
                body: parsed,
                bytes: body.len() as u64,
                next_link,
            }),
            Err(_) if body.trim_ascii_start().starts_with(b"<") => {
                Err(failure_with_body(url, FailureKind::Html, &body, None))
            }
            Err(cause) => Err(failure_with_body(
                url,
                FailureKind::NotJson,
                &body,
                Some(cause.to_string()),
            )),
        }
    }

    /// The body, or its first `limit` bytes where that is enough; else `None` for a longer one.
    async fn body(
        &self,
        mut response: Response,
        limit: u64,
        start_is_enough: bool,
    ) -> Result<Option<BytesMut>, reqwest::Error> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            self.metrics.bytes_received().add(chunk.len() as u64);
            body.extend_from_slice(&chunk);
            if body.len() as u64 > limit {
                body.truncate(limit as usize);
                return Ok(start_is_enough.then_some(body));
            }
        }
        Ok(Some(body))
    }
}

fn failure_with_body(
    url: &Url,
    kind: FailureKind,
    body: &[u8],
    detail: Option<String>,
) -> RequestFailure {
    let kept = &body[..body.len().min(QUARANTINED_BODY_BYTES)];
    let mut text = String::from_utf8_lossy(kept).into_owned();
    text.truncate(text.floor_char_boundary(QUARANTINED_BODY_BYTES));
    let detail = detail.unwrap_or_else(|| first_line(&text));
    RequestFailure {
        body: Some(text),
        ..RequestFailure::new(url.as_str(), kind, detail)
    }
}

fn transport_failure(url: &Url, cause: &reqwest::Error) -> RequestFailure {
    let kind = if cause.is_connect() {
        FailureKind::Connect
    } else if cause.is_timeout() {
        FailureKind::Timeout
    } else if cause.is_redirect() {
        FailureKind::Shape
    } else {
        FailureKind::Dropped
    };
    // The innermost cause is the one that says what happened: "connection refused".
    let mut innermost: &dyn std::error::Error = cause;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let detail = if innermost.is::<reqwest::Error>() {
        String::new()
    } else {
        innermost.to_string()
    };
    RequestFailure::new(url.as_str(), kind, detail)
}

/// The target of `<…>; rel="next"` in a `Link` header (RFC 8288).
fn next_of_link_header(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, link)) = rest.split_once('<') {
        let (target, after) = link.split_once('>')?;
        let parameters = after
            .split_once('<')
            .map_or(after, |(parameters, _)| parameters);
        let is_next = parameters.split([';', ',']).any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel")
                    && value
                        .trim()
                        .trim_matches('"')
                        .split_whitespace()
                        .any(|relation| relation.eq_ignore_ascii_case("next"))
            })
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::next_of_link_header;

    #[test]
    fn the_next_link_is_found_among_others() {
        let header = "<https://x/?page=1>; rel=\"prev\", </y?a=1,2;page=3>; rel=\"last next\"";
        assert_eq!(
            next_of_link_header(header).as_deref(),
            Some("/y?a=1,2;page=3")
        );
        assert_eq!(
            next_of_link_header("<https://x/?page=1>; rel=\"prev\""),
            None
        );
        assert_eq!(next_of_link_header("nonsense"), None);
    }
}
