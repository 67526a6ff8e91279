//! What an extraction counts while it runs. Plain atomics: reading them never slows a request.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

macro_rules! counters {
    ($($(#[doc = $doc:expr])+ $name:ident,)+) => {
        /// The counters of one extraction, shared between it and whoever shows its progress.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($name: AtomicU64,)+
            in_flight: AtomicU64,
            max_in_flight: AtomicU64,
            /// The total plus one, so that zero means "not known".
            items_total: AtomicU64,
        }

        /// The counters at one moment.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
        pub struct MetricsSnapshot {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// Requests on the wire now.
            pub in_flight: u64,
            /// The most requests that were on the wire at once.
            pub max_in_flight: u64,
            /// Units of the whole extraction, or rows of its list where that is all the server
            /// tells; `None` until known.
            pub items_total: Option<u64>,
        }

        impl Metrics {
            /// The counters now. Each is exact; together they may be a request apart.
            pub fn snapshot(&self) -> MetricsSnapshot {
                let total = self.items_total.load(Ordering::Relaxed);
                MetricsSnapshot {
                    $($name: self.$name.load(Ordering::Relaxed),)+
                    in_flight: self.in_flight.load(Ordering::Relaxed),
                    max_in_flight: self.max_in_flight.load(Ordering::Relaxed),
                    items_total: total.checked_sub(1),
                }
            }

            $(pub(crate) fn $name(&self) -> Counter<'_> {
                Counter(&self.$name)
            })+
        }
    };
}

counters! {
    /// Requests sent, each attempt counted.
    requests,
    /// Answers with a 2xx status.
    responses_ok,
    /// Answers with a 3xx status that were not followed.
    responses_redirect,
    /// Answers with a 4xx status.
    responses_client_error,
    /// Answers with a 5xx status.
    responses_server_error,
    /// Requests without an answer: no connection, dropped, timed out.
    responses_none,
    /// Attempts after the first.
    retries,
    /// Answers that asked for patience: status 429, or a `Retry-After`.
    throttled,
    /// Bytes of answers, after decompression.
    bytes_received,
    /// Pages of collections read.
    pages,
    /// Times a collection was seen to have moved while it was paged, and was stepped back into.
    list_moves,
    /// Times a page was asked for again with a smaller size.
    narrowings,
    /// Rows of the list seen, those of a unit already known included.
    items_listed,
    /// Distinct units found in the list so far.
    units_found,
    /// Units finished and handed on, in whole or quarantined.
    units_done,
    /// Units left out because an earlier attempt landed them.
    units_skipped,
    /// Entries that could have become a record. Equals landed + filtered + quarantined.
    entries_fetched,
    /// Entries handed on as records.
    entries_landed,
    /// Entries outside the window or of another actor.
    entries_filtered,
    /// Entries, or whole units (counted as one), handed on as quarantined.
    entries_quarantined,
}

/// One counter, for the code that counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counter<'a>(&'a AtomicU64);

impl Counter<'_> {
    pub(crate) fn add(self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn increment(self) {
        self.add(1);
    }
}

/// A request on the wire; the count goes down again when it is dropped, however it ended.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(crate) fn enter(&self) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.max_in_flight.fetch_max(now, Ordering::Relaxed);
        InFlight(self)
    }

    pub(crate) fn set_items_total(&self, total: u64) {
        self.items_total
            .store(total.saturating_add(1), Ordering::Relaxed);
    }
}
