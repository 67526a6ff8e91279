//! What a fake serves and how it misbehaves: the options of one server.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How a fake is set up. The default is the bundled sample: 200 bugs of seed 1, no faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What the generator starts from. The same seed gives the same bytes, in any order of requests.
    pub seed: u64,
    /// How many bugs there are. The first fifteen are the [`crate::landmarks`].
    pub bugs: u32,
    /// The share of activity and messages that [`crate::SAMPLE_MEMBER`] is the author of, 0 to 1.
    pub member_share: f64,
    /// How the server misbehaves.
    pub faults: Faults,
    /// Serve the recorded responses of this folder instead of generated bugs.
    pub replay: Option<PathBuf>,
    /// Look at OAuth tokens. Without a rule every request is anonymous.
    pub oauth: Option<OAuthRule>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            bugs: 200,
            member_share: 0.5,
            faults: Faults::default(),
            replay: None,
            oauth: None,
        }
    }
}

/// Fault switches. Each `*_every` counts all requests of the server, from one; when several fall on
/// the same request the first in the order below is the one that fires. The default has none.
/// A fault of the body falls only on an answer that has one: a redirect or an error stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Wait this long before every answer.
    pub latency: Option<Duration>,
    /// Answer every n-th request with 503.
    pub fail_every: Option<u32>,
    /// Make those 503 an HTML page, as the load balancer does, instead of the service's text.
    pub html_503: bool,
    /// Answer every n-th request with 429 and a `Retry-After`.
    pub rate_limit_every: Option<u32>,
    /// The `Retry-After` of those 429, in whole seconds. The default is one second.
    pub retry_after: RetryAfter,
    /// Close the connection in the middle of the body of every n-th answer.
    pub drop_every: Option<u32>,
    /// Answer every n-th request with 200 and the first half of the JSON body, as a complete response.
    pub truncate_every: Option<u32>,
    /// Answer every n-th request with 200 and a body that is not JSON although it says so.
    pub malformed_json_every: Option<u32>,
    /// Answer every n-th request with 200 and an HTML page.
    pub html_200_every: Option<u32>,
    /// Answer a bug search with 503 when its page size is above this: the client has to narrow.
    pub slow_query_page_over: Option<u32>,
    /// Let rows come and go while a client pages through a search.
    pub drifting: Option<Drift>,
    /// Append `-gzip` to the `ETag` header as the real front end does when it compresses; the value
    /// then misses when a client sends it back as it came.
    pub etag_gzip: bool,
    /// Bugs whose entry lacks `date_created`.
    pub missing_field_bugs: BTreeSet<u32>,
    /// Bugs whose entry, activity and messages are not JSON, each time they are asked for.
    pub malformed_bugs: BTreeSet<u32>,
    /// Bugs whose entry, activity and messages answer 500, each time they are asked for.
    pub broken_bugs: BTreeSet<u32>,
}

/// The `Retry-After` of a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter(
    /// Whole seconds; 0 is allowed.
    pub u32,
);

impl Default for RetryAfter {
    fn default() -> Self {
        Self(1)
    }
}

/// Rows that come and go while a client pages: after every `every` search pages served, `insert` bugs
/// with the highest ids appear and the tasks of the `remove` lowest bugs drop out of all searches
/// (the bugs themselves can still be read).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// After how many pages the rows change, at least 1.
    pub every: u32,
    /// How many bugs appear each time. At most [`Drift::RESERVE`] appear in all.
    pub insert: u32,
    /// How many bugs leave the searches each time. At most [`Drift::RESERVE`] leave in all.
    pub remove: u32,
}

impl Drift {
    /// How many bugs may appear, and how many may leave, in the life of a server.
    pub const RESERVE: u32 = 64;
}

/// Which token the server accepts. A request with the accepted token sees private bugs, hidden
/// messages and numeric ids.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthRule {
    /// Refuse anonymous requests with 401. Otherwise they are answered as anonymous.
    pub required: bool,
    /// The accepted access token.
    pub token: String,
    /// Its secret.
    pub secret: String,
    /// A token that is answered with 401 `Expired token`.
    pub expired_token: Option<String>,
}

impl std::fmt::Debug for OAuthRule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OAuthRule")
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}
