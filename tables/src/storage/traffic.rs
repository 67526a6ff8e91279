//! Counting requests where they leave the process, and what they cost. Owns the price table.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use http::{Method, StatusCode, header};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use super::provider::Provider;

/// What the error says after a copy that the server has taken on and not made yet.
pub(crate) const COPY_PENDING: &str = "the storage is still making the copy";

/// Requests to an object store, each attempt counted, repetitions included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageTraffic {
    /// GET and HEAD of objects.
    pub reads: u64,
    /// PUT and POST: objects, parts, copies, begun and finished uploads.
    pub writes: u64,
    /// Listings, of unfinished uploads too.
    pub lists: u64,
    /// DELETE: objects and unfinished uploads.
    pub deletes: u64,
    /// Bytes in the bodies of requests.
    pub bytes_sent: u64,
    /// Bytes in the bodies of answers, as the server announced them.
    pub bytes_received: u64,
    /// Requests that did not come through, or were answered with a fault of the server: each is tried again.
    pub retried: u64,
    /// Requests that the server answered with "slow down" (429 or 503). They are in `retried` too.
    pub throttled: u64,
}

impl StorageTraffic {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.reads + self.writes + self.lists + self.deletes
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let sum = u64::saturating_add;
        Self {
            reads: sum(self.reads, other.reads),
            writes: sum(self.writes, other.writes),
            lists: sum(self.lists, other.lists),
            deletes: sum(self.deletes, other.deletes),
            bytes_sent: sum(self.bytes_sent, other.bytes_sent),
            bytes_received: sum(self.bytes_received, other.bytes_received),
            retried: sum(self.retried, other.retried),
            throttled: sum(self.throttled, other.throttled),
        }
    }

    /// What the requests cost, about, in US dollars; `None` where there is no public price. Storage and transfer out of
    /// the region are not in it.
    pub fn cost(&self, provider: Provider) -> Option<f64> {
        let prices = Prices::of(provider)?;
        // More requests than a float can count exactly would cost more than anyone has.
        #[expect(clippy::cast_precision_loss, reason = "an estimate in dollars")]
        let count = |requests: u64| requests as f64;
        Some(
            count(self.writes) * prices.write
                + count(self.lists) * prices.list
                + count(self.reads) * prices.read,
        )
    }
}

impl fmt::Display for StorageTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests ({} reads, {} writes, {} lists, {} deletes), {} bytes sent, {} received",
            self.requests(),
            self.reads,
            self.writes,
            self.lists,
            self.deletes,
            self.bytes_sent,
            self.bytes_received
        )?;
        if self.retried > 0 {
            write!(f, ", {} retried", self.retried)?;
        }
        if self.throttled > 0 {
            write!(f, ", {} throttled", self.throttled)?;
        }
        Ok(())
    }
}

/// The requests to one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketTraffic {
    /// The bucket's URL.
    pub bucket: String,
    /// Whose storage it is.
    pub provider: Provider,
    /// Its requests.
    pub traffic: StorageTraffic,
}

/// US dollars for one request. Deleting is free everywhere.
///
/// List prices of the providers' public price pages, standard (hot) class, as they stood in 2025, without discounts,
/// free quotas or regions with other prices: S3 Standard in us-east-1 ($0.005 for 1,000 PUT, COPY, POST or LIST,
/// $0.0004 for 1,000 GET), Cloud Storage Standard (class A $0.005, class B $0.0004 for 1,000), Azure Blob hot LRS in
/// East US ($0.05 for 10,000 writes or listings, $0.004 for 10,000 reads), R2 ($4.50 for a million class A, $0.36
/// class B). An order of magnitude, not a bill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// PUT, POST, COPY, a part.
    pub write: f64,
    /// A page of a listing.
    pub list: f64,
    /// GET or HEAD.
    pub read: f64,
}

impl Prices {
    /// The provider's prices; `None` for servers of one's own.
    pub fn of(provider: Provider) -> Option<Self> {
        match provider {
            Provider::Aws | Provider::Google | Provider::Azure => Some(Self {
                write: 0.005 / 1e3,
                list: 0.005 / 1e3,
                read: 0.000_4 / 1e3,
            }),
            Provider::R2 => Some(Self {
                write: 4.5 / 1e6,
                list: 4.5 / 1e6,
                read: 0.36 / 1e6,
            }),
            Provider::S3Compatible | Provider::Memory => None,
        }
    }
}

/// The counters of one bucket.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    retried: AtomicU64,
    throttled: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> StorageTraffic {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StorageTraffic {
            reads: get(&self.reads),
            writes: get(&self.writes),
            lists: get(&self.lists),
            deletes: get(&self.deletes),
            bytes_sent: get(&self.bytes_sent),
            bytes_received: get(&self.bytes_received),
            retried: get(&self.retried),
            throttled: get(&self.throttled),
        }
    }

    fn class(&self, request: &HttpRequest) -> &AtomicU64 {
        let query = request.uri().query().unwrap_or_default();
        let is_listing = || {
            query.split('&').any(|pair| {
                matches!(
                    pair.split('=').next(),
                    Some("list-type" | "uploads" | "prefix" | "delimiter")
                ) || pair == "comp=list"
            })
        };
        match *request.method() {
            Method::DELETE => &self.deletes,
            // Deletes of many objects at once.
            Method::POST
                if query
                    .split('&')
                    .any(|pair| pair == "delete" || pair == "delete=") =>
            {
                &self.deletes
            }
            Method::GET if is_listing() => &self.lists,
            Method::GET | Method::HEAD => &self.reads,
            _ => &self.writes,
        }
    }

    fn answered(&self, response: &HttpResponse) {
        let announced = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse().ok());
        add(&self.bytes_received, announced.unwrap_or(0));
        let status = response.status();
        let throttled = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        if throttled {
            add(&self.throttled, 1);
        }
        if throttled || status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            add(&self.retried, 1);
        }
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Makes clients whose every request is counted.
#[derive(Debug, Clone, Default)]
pub(super) struct CountingConnector {
    pub(super) counters: Arc<Counters>,
}

impl HttpConnector for CountingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(CountingService {
            inner: ReqwestConnector::default().connect(options)?,
            counters: Arc::clone(&self.counters),
        }))
    }
}

#[derive(Debug)]
struct CountingService {
    inner: HttpClient,
    counters: Arc<Counters>,
}

#[async_trait]
impl HttpService for CountingService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        add(self.counters.class(&request), 1);
        add(
            &self.counters.bytes_sent,
            request.body().content_length() as u64,
        );
        let answer = self.inner.execute(request).await;
        match &answer {
            Ok(response) => self.counters.answered(response),
            Err(_) => add(&self.counters.retried, 1),
        }
        finished(answer?)
    }
}

/// Azure may answer a copy before it is made. The client takes that for success, and then the copy's source would be
/// deleted under it; so it is a failure, after which the caller looks at what is there.
fn finished(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let status = response.headers().get("x-ms-copy-status");
    if status.is_some_and(|status| status == "pending") && response.status() == StatusCode::ACCEPTED
    {
        let pending = std::io::Error::other(COPY_PENDING);
        return Err(HttpError::new(HttpErrorKind::Unknown, pending));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;

    use super::*;

    fn class_of(method: &str, uri: &str) -> StorageTraffic {
        let counters = Counters::default();
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(HttpRequestBody::empty())
            .unwrap();
        add(counters.class(&request), 1);
        counters.snapshot()
    }

    #[test]
    fn requests_are_counted_by_what_they_are_billed_as() {
        for (method, uri, reads, writes, lists, deletes) in [
            ("GET", "http://h/b/key", 1, 0, 0, 0),
            ("HEAD", "http://h/b/key", 1, 0, 0, 0),
            ("PUT", "http://h/b/key?partNumber=1&uploadId=x", 0, 1, 0, 0),
            ("POST", "http://h/b/key?uploads", 0, 1, 0, 0),
            ("GET", "http://h/b?list-type=2&prefix=a", 0, 0, 1, 0),
            ("GET", "http://h/b?uploads=&prefix=a", 0, 0, 1, 0),
            ("GET", "http://h/c?restype=container&comp=list", 0, 0, 1, 0),
            ("DELETE", "http://h/b/key?uploadId=x", 0, 0, 0, 1),
            ("POST", "http://h/b?delete", 0, 0, 0, 1),
        ] {
            let expected = StorageTraffic {
                reads,
                writes,
                lists,
                deletes,
                ..StorageTraffic::default()
            };
            assert_eq!(class_of(method, uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_copy_that_is_only_begun_is_not_taken_for_made() {
        for (status, code, taken) in [
            ("pending", 202, false),
            ("success", 202, true),
            // As a later look at the object tells it.
            ("pending", 200, true),
        ] {
            let response = http::Response::builder()
                .status(code)
                .header("x-ms-copy-status", status)
                .body(bytes::Bytes::new().into())
                .unwrap();
            let answer = finished(response);
            assert_eq!(answer.is_ok(), taken, "{status}, {code}");
            if let Err(error) = answer {
                assert!(format!("{error:?}").contains(COPY_PENDING), "{error:?}");
            }
        }
    }

    #[test]
    fn a_thousand_writes_to_s3_cost_half_a_cent_and_deletes_nothing() {
        let traffic = StorageTraffic {
            writes: 1000,
            deletes: 5000,
            ..StorageTraffic::default()
        };
        let cost = traffic.cost(Provider::Aws).unwrap();
        assert!((cost - 0.005).abs() < 1e-12, "{cost}");
        assert_eq!(traffic.cost(Provider::S3Compatible), None);
    }
}
