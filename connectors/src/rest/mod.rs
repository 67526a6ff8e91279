//! The engine for paginated JSON APIs: a spec in TOML says what an API is, this reads it.
//!
//! - `spec`, `check`, `spec_error`, `template`: the spec and what is wrong with it;
//! - `factory`: the kinds of sources that it makes;
//! - `options`, `auth`, `address`: what a user sets;
//! - `client`, `retry`: one request;
//! - `pagination`, `pages`: one collection;
//! - `crawl`, `listing`, `unit`, `record_filter`, `lookup`, `record`: one extraction.

mod address;
mod auth;
mod check;
mod client;
mod crawl;
mod factory;
mod listing;
mod lookup;
mod options;
mod pages;
mod pagination;
mod record;
mod record_filter;
mod retry;
mod spec;
pub(crate) mod spec_error;
mod template;
mod unit;

pub use factory::{Api, Rest};

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::extract::{Control, Estimate, Extract, ExtractError, Unit};
use crate::window::utc;
use client::Client;
use crawl::Crawl;
use lookup::Lookup;
use options::Settings;
use spec::Spec;

/// One location of an API, opened.
#[derive(Debug)]
pub(crate) struct RestSource {
    spec: Arc<Spec>,
    location: String,
    settings: Arc<Settings>,
    http: reqwest::Client,
}

impl RestSource {
    /// Makes the source; nothing is asked yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub(crate) fn new(
        spec: Arc<Spec>,
        location: &str,
        settings: Settings,
    ) -> Result<Self, reqwest::Error> {
        let http = client::connection_pool(&settings)?;
        Ok(Self {
            spec,
            location: location.to_owned(),
            settings: Arc::new(settings),
            http,
        })
    }

    fn crawl(&self, control: Control) -> Crawl {
        Crawl {
            spec: Arc::clone(&self.spec),
            location: self.location.clone(),
            settings: Arc::clone(&self.settings),
            client: Client::new(
                self.http.clone(),
                &self.settings,
                Arc::clone(&control.metrics),
            ),
            control,
            people: Lookup::new(),
        }
    }
}

#[async_trait]
impl Extract for RestSource {
    fn describe(&self) -> String {
        let address = self.crawl(Control::default()).first_address();
        let address = address.unwrap_or_else(|| self.settings.base.clone());
        let window = self.settings.window;
        let since = window
            .since
            .map(|since| format!(", from {}", utc(since)))
            .unwrap_or_default();
        let before = window
            .before
            .map(|before| format!(", before {}", utc(before)))
            .unwrap_or_default();
        format!(
            "{} {} at {address}{since}{before}",
            self.spec.name, self.location
        )
    }

    fn schema(&self) -> SchemaRef {
        record::schema()
    }

    async fn estimate(&self) -> Result<Estimate, ExtractError> {
        self.crawl(Control::default()).estimate().await
    }

    fn units(self: Arc<Self>, control: Control) -> BoxStream<'static, Result<Unit, ExtractError>> {
        let crawl = Arc::new(self.crawl(control));
        // Room for as many units as are read at once: a consumer that writes them in batches
        // does not stall the requests, one that does not read stops them.
        let room = self.settings.concurrency * 2;
        stream::once(async move {
            let (out, units) = mpsc::channel(room);
            let task = AbortOnDropHandle::new(tokio::spawn(crawl::run(crawl, out)));
            stream::unfold((units, Some(task)), |(mut units, mut task)| async move {
                if let Some(unit) = units.recv().await {
                    return Some((unit, (units, task)));
                }
                let ended = task.take()?.await;
                let source = ended.err()?;
                Some((Err(ExtractError::TaskFailed { source }), (units, None)))
            })
        })
        .flatten()
        .boxed()
    }
}
