//! Which fault falls on which request, and what it does to the answer.

use std::io;

use axum::body::{Body, Bytes};
use futures::{StreamExt as _, stream};

use crate::options::Faults;

/// The page of the load balancer when the service is away.
pub(crate) const HTML_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Error: Launchpad is temporarily unavailable</title></head>\n<body><h1>Launchpad is temporarily unavailable</h1>\n<p>Please try again in a few minutes.</p></body></html>\n";

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503 instead of an answer.
    Fail,
    /// 429 instead of an answer.
    RateLimit,
    /// The connection is closed in the middle of the body.
    Drop,
    /// The body ends half way, as if it were all.
    Truncate,
    /// The body is not JSON.
    Malformed,
    /// The body is an HTML page.
    Html,
}

impl Fault {
    /// The fault that falls on the request with this number, from one.
    pub(crate) fn of(faults: &Faults, number: u64) -> Option<Self> {
        let switches = [
            (faults.fail_every, Self::Fail),
            (faults.rate_limit_every, Self::RateLimit),
            (faults.drop_every, Self::Drop),
            (faults.truncate_every, Self::Truncate),
            (faults.malformed_json_every, Self::Malformed),
            (faults.html_200_every, Self::Html),
        ];
        let (_, fault) = switches.into_iter().find(|(every, _)| {
            every.is_some_and(|every| number.is_multiple_of(u64::from(every)))
        })?;
        Some(fault)
    }

    /// The name of its switch.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail_every",
            Self::RateLimit => "rate_limit_every",
            Self::Drop => "drop_every",
            Self::Truncate => "truncate_every",
            Self::Malformed => "malformed_json_every",
            Self::Html => "html_200_every",
        }
    }
}

/// The first half of a body, after which the connection breaks.
pub(crate) fn broken_off(body: &str) -> Body {
    let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
    let pieces = stream::once(async { Ok(half) }).chain(stream::once(async {
        // Lets the server send what it has before the connection breaks.
        tokio::task::yield_now().await;
        Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the stand-in drops this connection",
        ))
    }));
    Body::from_stream(pieces)
}

/// The first half of a body.
pub(crate) fn cut(body: &str) -> String {
    // Bodies are ASCII, as the service escapes everything else; were one not, it would be cut lossily.
    String::from_utf8_lossy(&body.as_bytes()[..body.len() / 2]).into_owned()
}

/// A body that is as long as it was, but not JSON: its last member has no value.
pub(crate) fn malformed(body: &str) -> String {
    format!("{}, \"broken\": }}", body.strip_suffix('}').unwrap_or(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_switch_that_falls_on_a_request_fires() {
        let faults = Faults {
            fail_every: Some(6),
            drop_every: Some(3),
            ..Faults::default()
        };
        let fired: Vec<_> = (1..=6).map(|number| Fault::of(&faults, number)).collect();
        assert_eq!(
            fired,
            [None, None, Some(Fault::Drop), None, None, Some(Fault::Fail)]
        );
        assert_eq!(Fault::of(&Faults::default(), 6), None);
    }

    #[test]
    fn a_malformed_body_is_not_json() {
        let body = malformed("{\"a\": 1}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&body).is_err(),
            "{body}"
        );
    }
}
