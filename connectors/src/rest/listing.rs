//! The list of a crawl: its pages, its rows, how long it is.

use std::collections::HashSet;

use serde_json::Value;
use tokio::sync::mpsc;
use url::Url;

use super::crawl::{Crawl, Named, Root, Work};
use super::pages::next_page;
use super::pagination::{Moved, hash_of};
use super::record_filter::{malformed, missing_field};
use super::template::{Bare, Values};
use crate::extract::{Estimate, ExtractError};
use crate::failure::{FailureKind, RequestFailure};

/// Readings of a list into which rows were inserted while it was read.
const MAX_READINGS: u32 = 3;

impl Crawl {
    /// Sends the rows of the list, page by page, and again when rows came in behind its back.
    pub(super) async fn list(
        &self,
        root: Option<&Root>,
        pages: mpsc::Sender<Vec<Value>>,
    ) -> Result<(), ExtractError> {
        let named = self.named(&self.location().list);
        let fatal = |failure| self.fatal(named, failure);
        let url = self
            .address(named, None, root.map(|root| &root.entry), None)
            .map_err(fatal)?;
        let (mut pager, records) = self.pager(named, url, self.settings.page_size);
        let metrics = self.client.metrics();
        let (mut read, mut moves, mut readings, mut inserted) = (0_u64, 0_u64, 1, false);
        let mut total_link = None;
        loop {
            // Room first: a page is asked for when the one before it is being worked on.
            let Ok(room) = pages.reserve().await else {
                return Ok(());
            };
            self.control.gate.ready().await;
            let total = self.total(total_link.take());
            let (page, ()) = tokio::join!(next_page(&self.client, &mut pager, &records), total);
            let (turn, answer) = page.map_err(fatal)?;
            read += 1;
            let stated = named
                .resource
                .total
                .as_ref()
                .and_then(|total| total.find(&answer.body)?.as_u64());
            match stated {
                Some(total) => metrics.set_items_total(total),
                None if read == 1 => total_link = self.total_link(named, &answer.url, &answer.body),
                None => {}
            }
            match turn.moved {
                Moved::No => {}
                Moved::Inserted => inserted = true,
                Moved::Removed => moves += 1,
            }
            if moves > 20 + read / 2 {
                return Err(fatal(RequestFailure::new(
                    answer.url,
                    FailureKind::Moved,
                    format!("{moves} times"),
                )));
            }
            metrics.items_listed().add(turn.rows.len() as u64);
            room.send(turn.rows);
            if turn.done {
                if !inserted || readings == MAX_READINGS {
                    return Ok(());
                }
                inserted = false;
                readings += 1;
                pager.restart();
            }
        }
    }

    fn total_link(&self, named: Named<'_>, from: &Url, body: &Value) -> Option<Url> {
        let link = named.resource.total_link.as_ref()?.find(body)?.as_str()?;
        self.client.resolve(from, link).ok()
    }

    /// Asks how many rows there are. Only progress is shown with it, so a failure is none.
    async fn total(&self, link: Option<Url>) {
        let Some(link) = link else { return };
        if let Some(total) = self
            .client
            .attempt(&link)
            .await
            .ok()
            .and_then(|answer| answer.body.as_u64())
        {
            self.client.metrics().set_items_total(total);
        }
    }

    pub(super) fn work_of(
        &self,
        row: Value,
        root: Option<&Root>,
        seen: &mut HashSet<u128>,
    ) -> Option<Work> {
        let named = self.named(&self.location().list);
        let values = Values {
            bare: Bare::Entry(&row),
            parent: None,
            root: root.map(|root| &root.entry),
            item: None,
        };
        let key = match missing_field(named.resource, &row) {
            Some(problem) => Err(problem),
            None => self
                .location()
                .unit
                .get_ref()
                .render(&values)
                .map_err(|missing| missing.to_string()),
        };
        let (key, work) = match key {
            Ok(key) => (key.clone(), Work::Read { key, row }),
            Err(problem) => {
                let key = format!(
                    "{}-row-{:032x}",
                    named.name,
                    hash_of(row.to_string().as_bytes())
                );
                let url = named
                    .resource
                    .identity
                    .as_ref()
                    .and_then(|identity| identity.find(&row)?.as_str());
                let url = url.unwrap_or(self.settings.base.as_str()).to_owned();
                (
                    key.clone(),
                    Work::Unreadable(malformed(&key, named.name, url, &problem, &row)),
                )
            }
        };
        if !seen.insert(hash_of(key.as_bytes())) {
            return None;
        }
        self.client.metrics().units_found().increment();
        if (self.control.landed)(&key) {
            self.client.metrics().units_skipped().increment();
            return None;
        }
        Some(work)
    }

    /// How many rows the list has.
    pub(super) async fn estimate(&self) -> Result<Estimate, ExtractError> {
        let root = self.root().await?;
        let named = self.named(&self.location().list);
        let fatal = |failure| self.fatal(named, failure);
        let url = self
            .address(named, None, root.as_ref().map(|root| &root.entry), None)
            .map_err(fatal)?;
        let (mut pager, records) = self.pager(named, url, self.settings.min_page_size);
        let (turn, answer) = next_page(&self.client, &mut pager, &records)
            .await
            .map_err(fatal)?;
        let stated = named
            .resource
            .total
            .as_ref()
            .and_then(|total| total.find(&answer.body)?.as_u64());
        let (items, source) = match (stated, self.total_link(named, &answer.url, &answer.body)) {
            (Some(total), _) => (Some(total), "the list's own total"),
            (None, _) if turn.done => (Some(turn.rows.len() as u64), "the whole list"),
            (None, Some(link)) => {
                let total = self.client.get(&link).await.map_err(fatal)?.body.as_u64();
                (total, "the list's own total")
            }
            (None, None) => (None, "the list does not tell how long it is"),
        };
        let nothing = items == Some(0);
        Ok(Estimate {
            items,
            rows: nothing.then_some(0),
            exact: nothing,
            source: source.to_owned(),
        })
    }
}
