//! A fake with a client, and the recorded data beside the checkout.
#![expect(
    clippy::unwrap_used,
    reason = "test helper: a failure here is the test's failure"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use launchpad_fake::{Faults, LaunchpadFake, Options};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use serde_json::Value;

/// Every status a task can be searched by.
pub(crate) const ALL_STATUSES: &str = "status=New&status=Incomplete&status=Opinion&status=Invalid\
    &status=Won%27t+Fix&status=Expired&status=Confirmed&status=Triaged&status=In+Progress\
    &status=Deferred&status=Fix+Committed&status=Fix+Released&status=Does+Not+Exist";

/// Any free port of this machine.
pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running fake and a client that follows no redirects.
pub(crate) struct Server {
    pub(crate) fake: LaunchpadFake,
    pub(crate) http: reqwest::Client,
}

/// An answer, read whole.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            "application/json",
            "{}",
            self.body
        );
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    pub(crate) async fn start(options: Options) -> Self {
        let fake = LaunchpadFake::start(options, LOOPBACK).await.unwrap();
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { fake, http }
    }

    pub(crate) async fn sample() -> Self {
        Self::start(Options::default()).await
    }

    pub(crate) async fn with_faults(faults: Faults) -> Self {
        Self::start(Options {
            bugs: 40,
            faults,
            ..Options::default()
        })
        .await
    }

    /// `path` below the root, or an absolute link.
    pub(crate) fn url(&self, path: &str) -> String {
        if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.fake.root())
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.http.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Reply {
            status,
            headers,
            body: response.text().await.unwrap(),
        }
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()
    }

    /// The error text of a path.
    pub(crate) async fn refusal(&self, path: &str) -> (u16, String) {
        let reply = self.get(path).await;
        assert!(
            reply.header("content-type").starts_with("text/plain"),
            "{path}"
        );
        (reply.status.as_u16(), reply.body)
    }

    /// Every entry of a collection, from its first page to its last.
    pub(crate) async fn walk(&self, path: &str) -> Vec<Value> {
        let mut entries = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.json(&path).await;
            entries.extend(page["entries"].as_array().unwrap().iter().cloned());
            next = page
                .get("next_collection_link")
                .map(|link| link.as_str().unwrap().to_owned());
        }
        entries
    }
}

/// The `self_link`s of entries.
pub(crate) fn links(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry["self_link"].as_str().unwrap())
        .collect()
}

/// A file or folder of the data beside the checkout, if it is there.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared").join(path))
        .find(|candidate| candidate.exists());
    if found.is_none() {
        eprintln!("SKIPPED: there is no ../shared/{path} beside the checkout");
    }
    found
}
