//! Requests to a web server, and the versions that its answers are compared with. Owns where a request goes and what goes with
//! it; what an answer means is [`answer`](super::answer)'s.

use std::time::Duration;

use datafusion::object_store::{Result, RetryConfig};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, LOCATION, RANGE};
use reqwest::{Client, Response, StatusCode, redirect};
use tables::StorageOptions;
use url::{Host, Position, Url};

use super::answer::{content_range, judged, modified, seen, version, whole_length};
use super::fault::Failure;
use super::headers;
use super::key::Seen;
use super::patience::Patience;
use crate::error::ReadError;

/// A server has so long to take a connection, and to send something more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Redirects are followed so often.
const MOST_REDIRECTS: usize = 10;

/// A server, for all that read from it.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    /// What precedes the path of its addresses.
    pub(super) root: Url,
    headers: HeaderMap,
    pub(super) retry: RetryConfig,
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl Server {
    /// The server of `url`, as variables say that servers are asked.
    ///
    /// # Errors
    /// When a variable has a value that cannot be used.
    pub(super) fn new(url: &Url, options: &StorageOptions) -> std::result::Result<Self, ReadError> {
        let refused = |what: String| ReadError::of_file(&url[..Position::BeforePath], what);
        let root = Url::parse(&url[..Position::BeforePath]);
        let root = root.map_err(|error| refused(error.to_string()))?;
        let retry = tables::storage::retries(&root, options);
        let retry = retry.map_err(|error| refused(error.to_string()))?;
        let headers = headers::of(&root, options)?;
        // Bytes are taken as they are stored, and every redirect is looked at.
        let mut client = Client::builder()
            .user_agent(concat!("spillway/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        if is_loopback(&root) {
            // A proxy cannot reach this machine's own addresses.
            client = client.no_proxy();
        }
        let client = client.build();
        Ok(Self {
            client: client.map_err(|error| refused(error.to_string()))?,
            root,
            headers,
            retry,
        })
    }

    /// The address of a file.
    pub(super) fn address(&self, target: &str) -> String {
        format!("{}/{target}", &self.root[..Position::BeforePath])
    }

    /// Asks once, and again where the answer leads.
    async fn ask(&self, target: &str, range: Option<String>) -> Result<Response, Failure> {
        let lasting = |what: &str| Failure::Lasting(what.to_owned());
        let url = Url::parse(&self.address(target));
        let mut url = url.map_err(|error| lasting(&error.to_string()))?;
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self
                .client
                .get(url.clone())
                .header(ACCEPT_ENCODING, "identity");
            if let Some(range) = &range {
                request = request.header(RANGE, range);
            }
            if url.origin() == self.root.origin() {
                request = request.headers(self.headers.clone());
            }
            let answer = request.send().await;
            let answer = answer.map_err(|error| Failure::of_transport(&error))?;
            let leads = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let location = answer.headers().get(LOCATION).filter(|_| leads);
            let Some(location) = location else {
                return judged(answer);
            };
            let next = location.to_str().ok().and_then(|text| url.join(text).ok());
            let next = next.ok_or_else(|| lasting("the server leads to what is no address"))?;
            match (url.scheme(), next.scheme()) {
                ("http", "http" | "https") | ("https", "https") => url = next,
                (_, scheme) => {
                    let what = format!(
                        "the server leads to an address that begins with {scheme}://, which is not followed"
                    );
                    return Err(lasting(&what));
                }
            }
        }
        Err(lasting("the server leads on and on"))
    }

    /// What the server says of a file, by a request for its first byte: addresses that are signed are so for one method.
    pub(super) async fn look(&self, target: &str) -> Result<(Seen, i64)> {
        let mut patience = Patience::new(&self.retry);
        loop {
            let failure = match self.ask(target, Some("bytes=0-0".to_owned())).await {
                Ok(mut answer) => match seen(&answer) {
                    Ok(seen) => {
                        let modified = modified(answer.headers());
                        if answer.status() == StatusCode::PARTIAL_CONTENT {
                            // Read, so that the connection serves for more.
                            drop(answer.chunk().await);
                        }
                        return Ok((seen, modified));
                    }
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            self.wait(&mut patience, target, failure).await?;
        }
    }

    /// Waits before another attempt.
    ///
    /// # Errors
    /// The failure, when there is to be none.
    pub(super) async fn wait(
        &self,
        patience: &mut Patience,
        target: &str,
        failure: Failure,
    ) -> Result<()> {
        let waited = patience.after(failure).await;
        waited.map_err(|(failure, attempts)| failure.of_store(&self.address(target), attempts))
    }

    /// An answer with the bytes of the file that was seen from `from` on, up to `until` or further, and how many bytes of
    /// it are before them.
    pub(super) async fn open(
        &self,
        target: &str,
        known: &Seen,
        from: u64,
        until: Option<u64>,
    ) -> Result<(Response, u64), Failure> {
        let range = match (known.ranges, until) {
            (true, Some(until)) if from > 0 || Some(until) != known.length => {
                Some(format!("bytes={from}-{}", until.saturating_sub(1)))
            }
            _ => None,
        };
        let is_part = range.is_some();
        let answer = self.ask(target, range).await?;
        let changed = || {
            Failure::Changed("it is not the file any more that was there when it was planned to be read; run again when nobody changes it".to_owned())
        };
        let (length, before) = match answer.status() {
            StatusCode::PARTIAL_CONTENT if is_part => match content_range(answer.headers()) {
                Some((Some(range), length)) if range.start == from => (length, 0),
                _ => {
                    let what = "the server gives a part that was not asked for";
                    return Err(Failure::Lasting(what.to_owned()));
                }
            },
            StatusCode::OK => (whole_length(&answer)?, from),
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(changed()),
            status => return Err(Failure::Lasting(format!("the server answers {status}"))),
        };
        let is_other = |known: Option<u64>| known.is_some() && length.is_some() && known != length;
        if is_other(known.length)
            || known.version.is_some() && known.version != version(answer.headers())
        {
            return Err(changed());
        }
        Ok((answer, before))
    }
}
