//! What a failed request means: who can do something about it, whether to try again, what to say.

use std::fmt;
use std::time::Duration;

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The caller asked for something wrong and can ask better.
    User,
    /// Time: the same request may succeed later.
    Transient,
    /// The server's answer stands: gone, private, refused.
    Permanent,
}

impl ErrorClass {
    /// The class as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// In which way a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// Answered with a status that is no success.
    Status {
        /// The status.
        status: u16,
        /// The patience that the server asked for.
        retry_after: Option<Duration>,
    },
    /// Answered with success, but with an HTML page.
    Html,
    /// Answered with success, but with a body that is not JSON.
    NotJson,
    /// Answered with JSON in which what the spec describes is not found.
    Shape,
    /// The collection changed faster than it could be read.
    Moved,
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// The connection ended before the answer did.
    Dropped,
    /// The answer is larger than allowed.
    TooLarge,
    /// The collections of one unit are larger together than allowed, and may never end.
    TooMuch,
    /// The address is on another server than the API, which credentials must not reach.
    OtherServer,
}

/// A request that failed, after all its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFailure {
    /// What was asked for; never holds a secret.
    pub url: String,
    /// In which way the last attempt failed.
    pub kind: FailureKind,
    /// How often it was tried.
    pub attempts: u32,
    /// The first line of the answer, or what went wrong below HTTP.
    pub detail: String,
    /// The start of the last answer's body.
    pub body: Option<String>,
}

impl std::error::Error for RequestFailure {}

impl fmt::Display for RequestFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            kind,
            attempts,
            detail,
            ..
        } = self;
        write!(formatter, "GET {url} failed")?;
        if *attempts > 1 {
            write!(formatter, " after {attempts} attempts")?;
        }
        match kind {
            FailureKind::Status { status, .. } => write!(formatter, ": HTTP {status}")?,
            FailureKind::Html => formatter.write_str(": an HTML page instead of JSON")?,
            FailureKind::NotJson => formatter.write_str(": a body that is not JSON")?,
            FailureKind::Shape => formatter.write_str(": an unexpected answer")?,
            FailureKind::Moved => {
                formatter.write_str(": the list kept moving while it was read")?
            }
            FailureKind::Timeout => formatter.write_str(": no answer in time")?,
            FailureKind::Connect => formatter.write_str(": cannot connect")?,
            FailureKind::Dropped => formatter.write_str(": the connection broke off")?,
            FailureKind::TooLarge => formatter.write_str(": the answer is too large")?,
            FailureKind::TooMuch => formatter.write_str(": the unit is too large")?,
            FailureKind::OtherServer => formatter.write_str(": not an address of this API")?,
        }
        if detail.is_empty() {
            Ok(())
        } else {
            write!(formatter, " ({detail})")
        }
    }
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) class: ErrorClass,
    /// Whether the same request is worth another attempt now.
    pub(crate) retry: bool,
    /// What to do when it has failed for good.
    pub(crate) advice: &'static str,
}

/// The one place where failures are judged.
pub(crate) fn classify(kind: &FailureKind) -> Verdict {
    use ErrorClass::{Permanent, Transient, User};
    let verdict = |class, advice| Verdict {
        class,
        retry: class == Transient,
        advice,
    };
    let later = "the server has trouble; run again later, what was landed is kept";
    match kind {
        FailureKind::Status { status, .. } => match status {
            300..=399 => verdict(
                Permanent,
                "it redirects to another server; set `service_root` to where the API is now",
            ),
            401 => verdict(
                Permanent,
                "the server refuses the credentials; check the options that name them, or that they have not expired",
            ),
            403 => verdict(
                Permanent,
                "the credentials given may not read this; use an account that may",
            ),
            404 => verdict(
                Permanent,
                "it does not exist or is private; check names, `service_root` and `version`, or give credentials that may see it",
            ),
            410 => verdict(Permanent, "it was there and is gone or suspended"),
            408 | 425 => verdict(Transient, later),
            429 => verdict(
                Transient,
                "the server asks for fewer requests; lower `concurrency` or set `requests_per_second`",
            ),
            501 | 505 => verdict(
                Permanent,
                "the server does not offer this; check `service_root` and `version`",
            ),
            500..=599 => verdict(Transient, later),
            _ => verdict(
                User,
                "the server does not accept the request; check the options",
            ),
        },
        FailureKind::Html => verdict(
            Transient,
            "check that `service_root` is the API rather than a web site or a login page; else run again later",
        ),
        FailureKind::NotJson | FailureKind::Dropped => verdict(Transient, later),
        FailureKind::Moved => verdict(
            Transient,
            "run again later, or with a larger `page_size` or a narrower window",
        ),
        FailureKind::Timeout => verdict(
            Transient,
            "run again later, or with a smaller `page_size` or a narrower window",
        ),
        FailureKind::Connect => verdict(
            Transient,
            "check the option `service_root`, the network and the proxy settings",
        ),
        FailureKind::Shape => verdict(
            Permanent,
            "check that the spec describes this API and version",
        ),
        FailureKind::TooLarge => verdict(
            Permanent,
            "use a smaller `page_size`, or raise `max_body_bytes` in the spec",
        ),
        FailureKind::TooMuch => verdict(
            Permanent,
            "its pages may have no end; if they do, raise `max_unit_bytes` in the spec",
        ),
        FailureKind::OtherServer => verdict(
            Permanent,
            "answers link to a server other than `service_root`; set `service_root` to the address that the server itself uses",
        ),
    }
}

impl RequestFailure {
    /// A first, failed attempt.
    pub(crate) fn new(
        url: impl Into<String>,
        kind: FailureKind,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            url: url.into(),
            kind,
            attempts: 1,
            detail: detail.into(),
            body: None,
        }
    }

    /// Who can do something about it.
    pub fn class(&self) -> ErrorClass {
        classify(&self.kind).class
    }

    /// The status, where there was one that is no success.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            FailureKind::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The word under which an item that failed so is quarantined.
    pub(crate) fn quarantine_class(&self) -> &'static str {
        match (&self.kind, self.class()) {
            (
                FailureKind::Html
                | FailureKind::NotJson
                | FailureKind::Shape
                | FailureKind::TooLarge
                | FailureKind::TooMuch,
                _,
            ) => MALFORMED,
            (_, ErrorClass::Transient) => "transient",
            _ => "permanent",
        }
    }

    /// Whether a smaller page may succeed where this one failed.
    pub(crate) fn is_overload(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Timeout
                | FailureKind::Status {
                    status: 503 | 504,
                    ..
                }
        )
    }
}

/// The class of items that were answered but are not what the spec describes.
pub(crate) const MALFORMED: &str = "malformed";

/// What of an answer fits into a message: an HTML page's title, else the first line.
pub(crate) fn first_line(body: &str) -> String {
    const LONGEST: usize = 200;
    let title = body
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map(|(title, _)| title);
    let line = title
        .or_else(|| body.lines().find(|line| !line.trim().is_empty()))
        .unwrap_or_default();
    line.trim()
        .chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{ErrorClass, FailureKind, RequestFailure, classify, first_line};

    #[test]
    fn every_failure_has_its_class() {
        use ErrorClass::{Permanent, Transient, User};
        let status = |status| FailureKind::Status {
            status,
            retry_after: None,
        };
        let table = [
            (status(301), Permanent, "service_root"),
            (status(400), User, "options"),
            (status(401), Permanent, "credentials"),
            (status(403), Permanent, "account"),
            (status(404), Permanent, "private"),
            (status(405), User, "options"),
            (status(408), Transient, "later"),
            (status(410), Permanent, "suspended"),
            (status(412), User, "options"),
            (status(425), Transient, "later"),
            (status(429), Transient, "requests_per_second"),
            (status(500), Transient, "later"),
            (status(501), Permanent, "version"),
            (status(502), Transient, "later"),
            (status(503), Transient, "later"),
            (status(504), Transient, "later"),
            (FailureKind::Html, Transient, "service_root"),
            (FailureKind::NotJson, Transient, "later"),
            (FailureKind::Shape, Permanent, "spec"),
            (FailureKind::Moved, Transient, "page_size"),
            (FailureKind::Timeout, Transient, "page_size"),
            (FailureKind::Connect, Transient, "service_root"),
            (FailureKind::Dropped, Transient, "later"),
            (FailureKind::TooLarge, Permanent, "page_size"),
            (FailureKind::TooMuch, Permanent, "max_unit_bytes"),
            (FailureKind::OtherServer, Permanent, "service_root"),
        ];
        for (kind, class, advice) in table {
            let verdict = classify(&kind);
            assert_eq!(verdict.class, class, "{kind:?}");
            assert_eq!(verdict.retry, class == Transient, "{kind:?}");
            assert!(
                verdict.advice.contains(advice),
                "{kind:?}: {}",
                verdict.advice
            );
        }
    }

    #[test]
    fn a_message_names_address_status_first_line_and_attempts() {
        let mut failure = RequestFailure::new(
            "https://example.org/bugs/1",
            FailureKind::Status {
                status: 503,
                retry_after: None,
            },
            first_line("\nRequestExpired: too slow\nmore"),
        );
        failure.attempts = 6;
        assert_eq!(
            failure.to_string(),
            "GET https://example.org/bugs/1 failed after 6 attempts: HTTP 503 (RequestExpired: too slow)"
        );
    }

    #[test]
    fn an_html_page_is_quoted_by_its_title() {
        let page = "<html>\n<head><title>Launchpad is unavailable</title></head></html>";
        assert_eq!(first_line(page), "Launchpad is unavailable");
    }
}
