//! One unit of a crawl: its entry, its collections, the people it names, its records.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::future::try_join_all;
use serde_json::Value;

use super::crawl::{Crawl, Named, Root, Work};
use super::pages::whole_collection;
use super::record::{Record, to_batch};
use super::record_filter::{
    Origin, RecordFilter, Sorted, malformed, missing_field, quarantined_unit, shared_json,
};
use super::spec::reduced;
use crate::extract::{Quarantined, Unit};
use crate::failure::RequestFailure;

/// Why a unit cannot be landed.
#[derive(Debug)]
enum UnitFailure {
    Request {
        resource: String,
        failure: RequestFailure,
    },
    Entry {
        quarantined: Quarantined,
    },
}

/// The rows of a collection and the address they came from.
type Collection<'a> = (Named<'a>, String, Vec<Value>);

impl Crawl {
    pub(super) async fn unit(&self, work: Work, root: Option<&Root>) -> Unit {
        let metrics = self.client.metrics();
        let (key, row) = match work {
            Work::Unreadable(quarantined) => return quarantined_unit(metrics, quarantined),
            Work::Read { key, row } => (key, row),
        };
        match self.read_unit(&key, row, root).await {
            Ok(unit) => unit,
            Err(UnitFailure::Entry { quarantined }) => quarantined_unit(metrics, quarantined),
            Err(UnitFailure::Request { resource, failure }) => {
                let quarantined = Quarantined {
                    unit: key,
                    resource,
                    reason: failure.to_string(),
                    class: failure.quarantine_class(),
                    url: failure.url,
                    body: failure.body,
                };
                quarantined_unit(metrics, quarantined)
            }
        }
    }

    async fn read_unit(
        &self,
        key: &str,
        row: Value,
        root: Option<&Root>,
    ) -> Result<Unit, UnitFailure> {
        let (location, root_entry) = (self.location(), root.map(|root| &root.entry));
        let (named, url, mut entry) = match &location.fetch {
            None => {
                let named = self.named(&location.list);
                let link = named
                    .resource
                    .identity
                    .as_ref()
                    .and_then(|identity| identity.find(&row)?.as_str());
                (
                    named,
                    link.unwrap_or(self.settings.base.as_str()).to_owned(),
                    row,
                )
            }
            Some(fetch) => {
                let named = self.named(fetch);
                let failed = |failure| UnitFailure::Request {
                    resource: named.name.to_owned(),
                    failure,
                };
                let url = self
                    .address(named, None, root_entry, Some(&row))
                    .map_err(failed)?;
                let answer = self.client.get(&url).await.map_err(failed)?;
                (named, url.into(), answer.body)
            }
        };
        if let Some(problem) = missing_field(named.resource, &entry) {
            let quarantined = malformed(key, named.name, url, &problem, &entry);
            return Err(UnitFailure::Entry { quarantined });
        }
        let read = AtomicU64::new(0);
        let children = named
            .resource
            .children
            .iter()
            .map(|child| self.collection(self.named(child), &entry, root_entry, &read));
        let children = try_join_all(children).await?;
        let filter = RecordFilter {
            window: self.settings.window,
            root: root_entry,
            only_actor: root
                .and_then(|root| root.link.as_deref())
                .filter(|_| self.settings.only_root_actor),
        };
        let parent = entry.clone();
        let mut sorted = Sorted::new(key);
        if let Some(spec) = &named.resource.record {
            let origin = Origin {
                name: named.name,
                resource: named.resource,
                url: &url,
                parent: None,
                position: None,
            };
            sorted.sort(&filter, origin, spec, &entry);
        }
        for (child, child_url, rows) in &children {
            let Some(spec) = &child.resource.record else {
                continue;
            };
            for (row, position) in rows.iter().zip(0_i64..) {
                let origin = Origin {
                    name: child.name,
                    resource: child.resource,
                    url: child_url,
                    parent: Some(&parent),
                    position: Some(position),
                };
                sorted.sort(&filter, origin, spec, row);
            }
        }
        if !sorted.kept.is_empty() {
            // Asked for only now: most units of a narrow window have nothing to land.
            self.embed(named, &mut entry, root_entry, &read).await?;
        }
        let records = self.records(key, &entry, named, &sorted, root).await?;
        let (records, bytes) = match to_batch(&records) {
            Ok((_, bytes)) if records.is_empty() => (Vec::new(), bytes),
            Ok((batch, bytes)) => (vec![batch], bytes),
            Err(problem) => {
                let problem = format!("cannot be put into columns: {problem}");
                let quarantined = malformed(key, named.name, url.clone(), &problem, &entry);
                return Err(UnitFailure::Entry { quarantined });
            }
        };
        sorted.count(self.client.metrics());
        Ok(Unit {
            key: key.to_owned(),
            records,
            bytes,
            quarantined: sorted.quarantined,
        })
    }

    async fn collection<'a>(
        &self,
        named: Named<'a>,
        parent: &Value,
        root: Option<&Value>,
        read: &AtomicU64,
    ) -> Result<Collection<'a>, UnitFailure> {
        let failed = |failure| UnitFailure::Request {
            resource: named.name.to_owned(),
            failure,
        };
        let url = self
            .address(named, Some(parent), root, None)
            .map_err(failed)?;
        let (pager, records) = self.pager(named, url.clone(), self.settings.page_size);
        let rows = whole_collection(&self.client, pager, &records, read)
            .await
            .map_err(failed)?;
        Ok((named, url.into(), rows))
    }

    async fn embed(
        &self,
        named: Named<'_>,
        entry: &mut Value,
        root: Option<&Value>,
        read: &AtomicU64,
    ) -> Result<(), UnitFailure> {
        let embeds = &named.resource.embed;
        let parent: &Value = entry;
        let lists = try_join_all(
            embeds
                .iter()
                .map(|embed| self.collection(self.named(&embed.resource), parent, root, read)),
        )
        .await?;
        for (embed, (_, _, rows)) in embeds.iter().zip(lists) {
            entry[embed.r#as.as_str()] =
                rows.iter().map(|row| reduced(&embed.fields, row)).collect();
        }
        Ok(())
    }

    async fn records(
        &self,
        unit: &str,
        entry: &Value,
        named: Named<'_>,
        sorted: &Sorted<'_>,
        root: Option<&Root>,
    ) -> Result<Vec<Record>, UnitFailure> {
        let unit: Arc<str> = Arc::from(unit);
        let parent = shared_json(&named.resource.carried(entry));
        let mut records = Vec::with_capacity(sorted.kept.len());
        for kept in &sorted.kept {
            let actor = match (&kept.spec.actor, &kept.actor, root) {
                (_, None, _) | (None, ..) => None,
                (_, Some(link), Some(root)) if root.link.as_ref() == Some(link) => {
                    Some(Arc::clone(&root.json))
                }
                (Some(actor), Some(link), _) => {
                    let person = self.named(&actor.resource);
                    let found = self
                        .people
                        .find(&self.client, &self.settings.base, link, person.resource)
                        .await;
                    found.map_err(|failure| UnitFailure::Request {
                        resource: person.name.to_owned(),
                        failure,
                    })?
                }
            };
            records.push(Record {
                resource: Arc::from(kept.name),
                unit: Arc::clone(&unit),
                key: kept.key.clone(),
                position: kept.position,
                occurred_at: kept.occurred_at,
                url: kept.url.clone(),
                record: kept.entry.as_ref().unwrap_or(entry).to_string(),
                parent: kept.position.is_some().then(|| Arc::clone(&parent)),
                root: root.map(|root| Arc::clone(&root.json)),
                actor,
            });
        }
        Ok(records)
    }
}
