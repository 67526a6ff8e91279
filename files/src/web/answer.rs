//! What a web server's answer says before its body comes. Owns what is believed of it.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED,
    RETRY_AFTER, TRANSFER_ENCODING,
};
use reqwest::{Response, StatusCode, Version};

use super::fault::Failure;
use super::key::Seen;

/// Encodings in which a file may be stored as what it is: its bytes say so themselves, and are not undone here.
const SEEN_IN_THE_BYTES: [&str; 9] = [
    "",
    "identity",
    "gzip",
    "x-gzip",
    "zstd",
    "bzip2",
    "x-bzip2",
    "xz",
    "aws-chunked",
];

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The answer, if it has what was asked for, or says that there is no such part.
///
/// # Errors
/// What the status means, with it.
pub(super) fn judged(answer: Response) -> Result<Response, Failure> {
    let status = answer.status();
    let words = status.to_string();
    let words = words.trim();
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
            let encoding = header(answer.headers(), CONTENT_ENCODING).unwrap_or_default();
            let encoding = encoding.trim().to_ascii_lowercase();
            if !SEEN_IN_THE_BYTES.contains(&encoding.as_str()) {
                return Err(Failure::Lasting(format!(
                    "the server sends it in the encoding `{encoding}`, though it was asked for the bytes as they are"
                )));
            }
            Ok(answer)
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(answer),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Failure::Missing(format!(
            "the server has no such file ({words})"
        ))),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Denied(format!(
            "the server does not give it to this user ({words}); what it wants to see of one is in the variable \
             PIPELINES_STORAGE_HTTP_HEADERS"
        ))),
        _ => {
            let what = format!("the server answers {words}");
            let is_passing = status.is_server_error()
                || matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                );
            Err(match is_passing {
                true => Failure::Passing {
                    what,
                    after: header(answer.headers(), RETRY_AFTER)
                        .and_then(|text| retry_after(text, Utc::now())),
                    unreachable: false,
                },
                false => Failure::Lasting(what),
            })
        }
    }
}

/// Reads a `Retry-After`: seconds, or an HTTP date.
fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.to_utc() - now).to_std().unwrap_or_default())
}

/// What an answer says of a file, of which one byte was asked for.
///
/// # Errors
/// When it contradicts itself, or nothing tells where it ends.
pub(super) fn seen(answer: &Response) -> Result<Seen, Failure> {
    let headers = answer.headers();
    let (length, ranges) = match answer.status() {
        StatusCode::PARTIAL_CONTENT => match content_range(headers) {
            Some((Some(range), length)) if range.start == 0 => (length, length.is_some()),
            _ => {
                return Err(Failure::Lasting(
                    "the server gives a part that was not asked for".to_owned(),
                ));
            }
        },
        // Of a file without bytes there is no first one.
        StatusCode::RANGE_NOT_SATISFIABLE => match content_range(headers) {
            Some((None, Some(0))) => (Some(0), false),
            _ => {
                return Err(Failure::Lasting(format!(
                    "the server answers {}",
                    answer.status()
                )));
            }
        },
        _ => (whole_length(answer)?, false),
    };
    Ok(Seen {
        length,
        ranges,
        version: version(headers),
    })
}

/// The length of an answer with all of a file; `None` if it ends where it ends.
///
/// # Errors
/// When nothing would tell an end from a connection that broke.
pub(super) fn whole_length(answer: &Response) -> Result<Option<u64>, Failure> {
    let headers = answer.headers();
    if let Some(length) = header(headers, CONTENT_LENGTH).and_then(|text| text.trim().parse().ok())
    {
        return Ok(Some(length));
    }
    let tells_its_end =
        headers.contains_key(TRANSFER_ENCODING) || answer.version() >= Version::HTTP_2;
    match tells_its_end {
        true => Ok(None),
        false => Err(Failure::Lasting(
            "the server does not say how long it is, and ends with the connection: nothing would tell that from a part of it"
                .to_owned(),
        )),
    }
}

/// `Content-Range`: which bytes there are, and how long the file is.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(Option<Range<u64>>, Option<u64>)> {
    let text = header(headers, CONTENT_RANGE)?
        .trim()
        .strip_prefix("bytes")?
        .trim();
    let (range, length) = text.split_once('/')?;
    let range = match range.trim() {
        "*" => None,
        range => {
            let (first, last) = range.split_once('-')?;
            Some(first.trim().parse().ok()?..last.trim().parse::<u64>().ok()?.checked_add(1)?)
        }
    };
    Some((range, length.trim().parse().ok()))
}

/// What tells a file from others that were at its address.
pub(super) fn version(headers: &HeaderMap) -> Option<String> {
    let version = headers.get(ETAG).or_else(|| headers.get(LAST_MODIFIED))?;
    Some(version.as_bytes().escape_ascii().to_string())
}

/// When it was changed, nanoseconds since 1970; 0 if nobody says.
pub(super) fn modified(headers: &HeaderMap) -> i64 {
    header(headers, LAST_MODIFIED)
        .and_then(|text| DateTime::parse_from_rfc2822(text).ok())
        .and_then(|time| time.timestamp_nanos_opt())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now = "2024-01-01T00:00:00Z".parse().unwrap();
        let wait = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(wait(" 12 "), Some(12));
        assert_eq!(wait("Mon, 01 Jan 2024 00:00:30 GMT"), Some(30));
        assert_eq!(wait("Sun, 31 Dec 2023 23:59:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn parts_say_where_they_are() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(of("bytes 0-0/10"), Some((Some(0..1), Some(10))));
        assert_eq!(of("bytes 5-9/*"), Some((Some(5..10), None)));
        assert_eq!(of("bytes */0"), Some((None, Some(0))));
        for wrong in ["bytes", "items 0-1/2", "bytes 1/2", "bytes a-b/3"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
