//! The half-open window `[since, before)` of event times, in UTC.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};

/// A half-open window of time; an absent edge is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first instant inside.
    pub(crate) since: Option<DateTime<Utc>>,
    /// The first instant outside.
    pub(crate) before: Option<DateTime<Utc>>,
}

impl Window {
    /// Whether the instant lies inside: `since` itself does, `before` itself does not.
    pub(crate) fn contains(&self, instant: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| instant >= since)
            && self.before.is_none_or(|before| instant < before)
    }

    /// Why this window can hold nothing, or `None` when it can.
    pub(crate) fn problem(&self) -> Option<String> {
        let (since, before) = (self.since?, self.before?);
        (since >= before).then(|| {
            format!(
                "the window is {}: `since` {} must be earlier than `before` {} (`before` is exclusive)",
                if since == before { "empty" } else { "reversed" },
                utc(since),
                utc(before)
            )
        })
    }
}

/// Reads an edge of the window: a date (midnight UTC) or an RFC 3339 time with its offset.
pub(crate) fn parse_edge(text: &str) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).map_err(|_| {
        format!(
            "`{text}` is not a date (2024-01-31) or an RFC 3339 time with its offset (2024-01-31T06:00:00Z)"
        )
    })
}

/// The instant as RFC 3339 in UTC with `+00:00`, with microseconds only where there are some.
pub(crate) fn utc(instant: DateTime<Utc>) -> String {
    let places = if instant.timestamp_subsec_micros() == 0 {
        SecondsFormat::Secs
    } else {
        SecondsFormat::Micros
    };
    instant.to_rfc3339_opts(places, false)
}

#[cfg(test)]
mod tests {
    use super::{Window, parse_edge, utc};

    fn window(since: &str, before: &str) -> Window {
        Window {
            since: parse_edge(since).ok(),
            before: parse_edge(before).ok(),
        }
    }

    #[test]
    fn since_is_inside_and_before_is_outside() {
        let january = window("2024-01-01", "2024-02-01");
        assert!(january.contains(parse_edge("2024-01-01T00:00:00Z").unwrap()));
        assert!(january.contains(parse_edge("2024-01-31T23:59:59.999999Z").unwrap()));
        assert!(!january.contains(parse_edge("2024-02-01").unwrap()));
        assert!(!january.contains(parse_edge("2023-12-31T23:59:59.999999Z").unwrap()));
        assert!(Window::default().contains(parse_edge("1970-01-01").unwrap()));
    }

    #[test]
    fn a_reversed_or_empty_window_says_so() {
        assert!(
            window("2024-02-01", "2024-01-01")
                .problem()
                .unwrap()
                .contains("reversed")
        );
        assert!(
            window("2024-02-01", "2024-02-01")
                .problem()
                .unwrap()
                .contains("empty")
        );
        assert_eq!(window("2024-01-01", "2024-02-01").problem(), None);
    }

    #[test]
    fn an_offset_is_converted_and_a_naive_time_is_refused() {
        assert_eq!(
            utc(parse_edge("2024-01-01T02:00:00+02:00").unwrap()),
            "2024-01-01T00:00:00+00:00"
        );
        assert!(
            parse_edge("2024-01-01T00:00:00")
                .unwrap_err()
                .contains("offset")
        );
    }
}
