//! The crawl: root, list, units, each with its children, within one set of limits.
//!
//! One task lists, at most one page ahead of what is worked on; units run beside it, twice as
//! many as there are request slots, so that every slot is busy while others wait for an answer.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::client::Client;
use super::lookup::Lookup;
use super::options::Settings;
use super::pagination::Pager;
use super::record_filter::{missing_field, shared_json};
use super::spec::{Location, Resource, SinceFormat, Spec};
use super::template::{Bare, FieldPath, Values};
use crate::extract::{Control, ExtractError, Quarantined, Unit};
use crate::failure::{FailureKind, RequestFailure, classify};
use crate::window::utc;

/// A resource with its name in the spec.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) resource: &'a Resource,
}

/// The entry that an extraction starts from.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) entry: Value,
    /// What records carry of it.
    pub(super) json: Arc<str>,
    /// The link by which other entries name it.
    pub(super) link: Option<String>,
}

/// A unit to be read, or a row of the list that leads to none.
pub(super) enum Work {
    Read { key: String, row: Value },
    Unreadable(Quarantined),
}

/// One extraction.
#[derive(Debug)]
pub(crate) struct Crawl {
    pub(crate) spec: Arc<Spec>,
    pub(crate) location: String,
    pub(crate) settings: Arc<Settings>,
    pub(crate) client: Client,
    pub(crate) control: Control,
    pub(crate) people: Lookup,
}

/// Reads everything into the channel; an error is the last thing sent.
pub(crate) async fn run(crawl: Arc<Crawl>, out: mpsc::Sender<Result<Unit, ExtractError>>) {
    let cancel = crawl.control.cancel.clone();
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(ExtractError::Cancelled),
        outcome = read(crawl, &out) => outcome,
    };
    if let Err(error) = outcome {
        // Nobody listens any more when this fails, so there is nobody to tell.
        let _ = out.send(Err(error)).await;
    }
}

async fn read(
    crawl: Arc<Crawl>,
    out: &mpsc::Sender<Result<Unit, ExtractError>>,
) -> Result<(), ExtractError> {
    let root = Arc::new(crawl.root().await?);
    let (pages, rows) = mpsc::channel(1);
    let (listed, worked) = tokio::join!(
        crawl.list(root.as_ref().as_ref(), pages),
        work(&crawl, &root, rows, out)
    );
    worked?;
    listed
}

/// Reads the units of the rows that come, until there are no more or nobody wants them.
async fn work(
    crawl: &Arc<Crawl>,
    root: &Arc<Option<Root>>,
    rows: mpsc::Receiver<Vec<Value>>,
    out: &mpsc::Sender<Result<Unit, ExtractError>>,
) -> Result<(), ExtractError> {
    let start = (rows, VecDeque::new(), HashSet::new());
    let work = stream::unfold(start, |(mut rows, mut page, mut seen)| async move {
        loop {
            let Some(row) = page.pop_front() else {
                page = VecDeque::from(rows.recv().await?);
                continue;
            };
            if let Some(work) = crawl.work_of(row, root.as_ref().as_ref(), &mut seen) {
                return Some((work, (rows, page, seen)));
            }
        }
    });
    let mut units = work
        .map(|work| {
            let (crawl, root) = (Arc::clone(crawl), Arc::clone(root));
            // A task of its own keeps reading its sockets while the consumer is busy.
            AbortOnDropHandle::new(tokio::spawn(async move {
                crawl.control.gate.ready().await;
                crawl.unit(work, root.as_ref().as_ref()).await
            }))
        })
        .buffer_unordered(crawl.settings.concurrency * 2)
        .boxed();
    while let Some(unit) = units.next().await {
        let unit = unit.map_err(|source| ExtractError::TaskFailed { source })?;
        crawl.client.metrics().units_done().increment();
        if out.send(Ok(unit)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl Crawl {
    pub(super) fn location(&self) -> &Location {
        &self.spec.locations[self.location.as_str()]
    }

    pub(super) fn named(&self, name: &toml::Spanned<String>) -> Named<'_> {
        let (name, resource) = self
            .spec
            .resources
            .get_key_value(name.get_ref().as_str())
            .unwrap_or_else(|| unreachable!("BUG: the spec's check found every resource"));
        Named {
            name: name.get_ref(),
            resource,
        }
    }

    /// The address of a resource with its query.
    pub(super) fn address(
        &self,
        named: Named<'_>,
        parent: Option<&Value>,
        root: Option<&Value>,
        item: Option<&Value>,
    ) -> Result<Url, RequestFailure> {
        let Settings {
            base,
            parameters,
            window,
            ..
        } = self.settings.as_ref();
        let values = Values {
            bare: Bare::Parameters(parameters),
            parent,
            root,
            item,
        };
        let path = named
            .resource
            .path
            .get_ref()
            .render_address(&values)
            .map_err(|missing| {
                RequestFailure::new(
                    base.as_str(),
                    FailureKind::Shape,
                    format!("what the `{}` hangs on {missing}", named.name),
                )
            })?;
        let mut url = self.client.resolve(base, &path)?;
        let mut pairs = Vec::new();
        for (name, templates) in &named.resource.query {
            for template in templates.get_ref().templates() {
                // A parameter that was left out leaves out what it would have said.
                if let Ok(value) = template.render(&values) {
                    pairs.push((name.as_str(), value));
                }
            }
        }
        if let (Some(filter), Some(since)) = (&named.resource.since, window.since) {
            let margin = filter
                .margin
                .and_then(|margin| chrono::TimeDelta::from_std(margin.0).ok());
            let since = margin
                .and_then(|margin| since.checked_sub_signed(margin))
                .unwrap_or(since);
            let text = match filter.format {
                SinceFormat::Rfc3339 => utc(since),
                SinceFormat::Date => since.date_naive().to_string(),
                SinceFormat::UnixSeconds => since.timestamp().to_string(),
            };
            pairs.push((filter.parameter.as_str(), text));
        }
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }

    pub(super) fn pager(&self, named: Named<'_>, url: Url, size: u64) -> (Pager, FieldPath) {
        let style = named
            .resource
            .pagination
            .as_ref()
            .unwrap_or(&self.spec.pagination);
        let pager = Pager::new(
            style,
            named.resource.identity.as_ref(),
            url,
            size,
            self.settings.min_page_size,
        );
        let records = named
            .resource
            .records
            .as_ref()
            .map(|records| records.get_ref().clone());
        (pager, records.unwrap_or_default())
    }

    /// A failure without whose answer nothing more can be read.
    pub(super) fn fatal(&self, named: Named<'_>, failure: RequestFailure) -> ExtractError {
        let explained = failure
            .status()
            .and_then(|status| named.resource.explain.get(&status.to_string()));
        let advice = explained
            .cloned()
            .unwrap_or_else(|| classify(&failure.kind).advice.to_owned());
        ExtractError::Request {
            failure: Box::new(failure),
            advice,
        }
    }

    pub(super) async fn root(&self) -> Result<Option<Root>, ExtractError> {
        let Some(root) = &self.location().root else {
            return Ok(None);
        };
        let named = self.named(root);
        let fetched = async {
            let url = self.address(named, None, None, None)?;
            self.client.get(&url).await
        };
        let answer = fetched
            .await
            .map_err(|failure| self.fatal(named, failure))?;
        let identity = named.resource.identity.as_ref();
        let link = identity.and_then(|identity| identity.find(&answer.body)?.as_str());
        let link = link.map(str::to_owned);
        let missing = missing_field(named.resource, &answer.body);
        let nameless = self.settings.only_root_actor && link.is_none();
        if let Some(problem) = missing.or(nameless.then(|| "has no identity".to_owned())) {
            return Err(ExtractError::Entry {
                resource: named.name.to_owned(),
                url: answer.url.into(),
                problem,
            });
        }
        let json = shared_json(&named.resource.carried(&answer.body));
        Ok(Some(Root {
            entry: answer.body,
            json,
            link,
        }))
    }

    /// Where reading begins, told without asking the network.
    pub(crate) fn first_address(&self) -> Option<Url> {
        let root = self.location().root.as_ref().and_then(|root| {
            let named = self.named(root);
            let url = self.address(named, None, None, None).ok()?;
            Some(json!({ named.resource.identity.as_ref()?.to_string(): url.as_str() }))
        });
        self.address(self.named(&self.location().list), None, root.as_ref(), None)
            .ok()
    }
}
