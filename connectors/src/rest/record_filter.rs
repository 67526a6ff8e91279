//! From the entries of one unit to its records: what is missing, whose it is, when it happened.
//!
//! Owns which entries are kept. Fetching them is the crawl's.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::spec::{RecordSpec, Repeats, Resource, TimeFormat};
use super::template::{Bare, Values};
use crate::extract::{QUARANTINED_BODY_BYTES, Quarantined, Unit};
use crate::failure::MALFORMED;
use crate::metrics::Metrics;
use crate::window::Window;

/// What every entry of an extraction passes or not by.
#[derive(Debug)]
pub(crate) struct RecordFilter<'a> {
    pub(crate) window: Window,
    /// The entry at the root of the location.
    pub(crate) root: Option<&'a Value>,
    /// The link of the only actor whose records are kept.
    pub(crate) only_actor: Option<&'a str>,
}

/// An entry that will be landed.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) name: &'a str,
    pub(crate) spec: &'a RecordSpec,
    /// `None` for the unit's own entry, which is completed before it is written.
    pub(crate) entry: Option<Value>,
    pub(crate) key: String,
    pub(crate) position: Option<i64>,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) url: String,
    pub(crate) actor: Option<String>,
}

/// The entries of one unit as they are sorted.
#[derive(Debug)]
pub(crate) struct Sorted<'a> {
    unit: &'a str,
    pub(crate) kept: Vec<Kept<'a>>,
    pub(crate) quarantined: Vec<Quarantined>,
    filtered: u64,
    fetched: u64,
    keys: HashMap<String, u64>,
}

enum Verdict<'a> {
    Keep(Kept<'a>),
    Filter,
    Quarantine(String),
}

/// Where an entry came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) name: &'a str,
    pub(crate) resource: &'a Resource,
    /// The address that was asked.
    pub(crate) url: &'a str,
    pub(crate) parent: Option<&'a Value>,
    pub(crate) position: Option<i64>,
}

impl<'a> Sorted<'a> {
    pub(crate) fn new(unit: &'a str) -> Self {
        Self {
            unit,
            kept: Vec::new(),
            quarantined: Vec::new(),
            filtered: 0,
            fetched: 0,
            keys: HashMap::new(),
        }
    }

    /// Keeps, filters or quarantines an entry. The unit's own entry (without a
    /// position) is only referred to, as it is still to be completed.
    pub(crate) fn sort(
        &mut self,
        filter: &RecordFilter<'_>,
        origin: Origin<'a>,
        spec: &'a RecordSpec,
        entry: &Value,
    ) {
        self.fetched += 1;
        match verdict(filter, origin, spec, entry) {
            Verdict::Filter => self.filtered += 1,
            Verdict::Quarantine(reason) => {
                let values = values(filter, origin, entry);
                let url = spec
                    .url
                    .get_ref()
                    .render(&values)
                    .unwrap_or_else(|_| origin.url.to_owned());
                self.quarantined
                    .push(malformed(self.unit, origin.name, url, &reason, entry));
            }
            Verdict::Keep(mut kept) => {
                let count = self.keys.entry(kept.key.clone()).or_default();
                *count += 1;
                match (*count, spec.repeats) {
                    (1, _) => {}
                    (_, Repeats::Drop) => {
                        self.fetched -= 1;
                        return;
                    }
                    (again, Repeats::Number) => kept.key.push_str(&format!("-{again}")),
                }
                if kept.position.is_some() {
                    kept.entry = Some(entry.clone());
                }
                self.kept.push(kept);
            }
        }
    }

    /// Counts the unit, every entry of it once.
    pub(crate) fn count(&self, metrics: &Metrics) {
        let (landed, quarantined) = (self.kept.len() as u64, self.quarantined.len() as u64);
        debug_assert_eq!(
            self.fetched,
            landed + self.filtered + quarantined,
            "unit {}",
            self.unit
        );
        metrics.entries_fetched().add(self.fetched);
        metrics.entries_landed().add(landed);
        metrics.entries_filtered().add(self.filtered);
        metrics.entries_quarantined().add(quarantined);
    }
}

fn values<'v>(filter: &RecordFilter<'v>, origin: Origin<'v>, entry: &'v Value) -> Values<'v> {
    Values {
        bare: Bare::Entry(entry),
        parent: origin.parent,
        root: filter.root,
        item: None,
    }
}

fn verdict<'a>(
    filter: &RecordFilter<'_>,
    origin: Origin<'a>,
    spec: &'a RecordSpec,
    entry: &Value,
) -> Verdict<'a> {
    if let Some(problem) = missing_field(origin.resource, entry) {
        return Verdict::Quarantine(problem);
    }
    let actor = match spec
        .actor
        .as_ref()
        .map(|actor| (actor, actor.field.find(entry)))
    {
        None | Some((_, Some(Value::Null))) => None,
        Some((_, Some(Value::String(link)))) => Some(link.clone()),
        Some((actor, _)) => return Verdict::Quarantine(format!("has no usable `{}`", actor.field)),
    };
    if filter.only_actor.is_some() && filter.only_actor != actor.as_deref() {
        return Verdict::Filter;
    }
    let occurred_at = match time(spec, entry) {
        Ok(time) => time,
        Err(problem) => return Verdict::Quarantine(problem),
    };
    if !filter.window.contains(occurred_at) {
        return Verdict::Filter;
    }
    let values = Values {
        bare: Bare::Entry(entry),
        parent: origin.parent,
        root: filter.root,
        item: None,
    };
    let rendered = spec
        .key
        .get_ref()
        .render(&values)
        .and_then(|key| Ok((key, spec.url.get_ref().render(&values)?)));
    match rendered {
        Err(missing) => Verdict::Quarantine(missing.to_string()),
        Ok((key, url)) => Verdict::Keep(Kept {
            name: origin.name,
            spec,
            entry: None,
            key,
            position: origin.position,
            occurred_at,
            url,
            actor,
        }),
    }
}

/// Why the entry is malformed, when one of its required fields is absent or null.
pub(crate) fn missing_field(resource: &Resource, entry: &Value) -> Option<String> {
    if !entry.is_object() {
        return Some("is not a JSON object".to_owned());
    }
    resource
        .required
        .iter()
        .find(|field| field.find(entry).is_none_or(Value::is_null))
        .map(|field| format!("has no `{field}`"))
}

fn time(spec: &RecordSpec, entry: &Value) -> Result<DateTime<Utc>, String> {
    let field = &spec.time;
    let value = field.find(entry).filter(|value| !value.is_null());
    let value = value.ok_or_else(|| format!("has no time in `{field}`"))?;
    let wrong = |what: &str| format!("has {value} in `{field}`, which is not {what}");
    let range = |time: DateTime<Utc>| {
        // What Arrow's microseconds and every reader's calendar can hold.
        let readable = (1..=9999).contains(&chrono::Datelike::year(&time));
        if readable {
            Ok(time)
        } else {
            Err(wrong("a year from 1 to 9999"))
        }
    };
    if spec.time_format == TimeFormat::UnixSeconds {
        let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        let micros = seconds
            .map(|seconds| (seconds * 1e6).round())
            .filter(|micros| micros.abs() < 9e17);
        return micros
            .and_then(|micros| DateTime::from_timestamp_micros(micros as i64))
            .ok_or_else(|| wrong("a number of seconds"))
            .and_then(range);
    }
    let parsed = value
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let parsed = parsed.ok_or_else(|| wrong("an RFC 3339 time with its offset"))?;
    if spec.time_format == TimeFormat::Utc && parsed.offset().local_minus_utc() != 0 {
        return Err(wrong("in UTC"));
    }
    range(parsed.with_timezone(&Utc))
}

/// An entry that is not what the spec describes.
pub(crate) fn malformed(
    unit: &str,
    resource: &str,
    url: String,
    reason: &str,
    entry: &Value,
) -> Quarantined {
    let mut body = entry.to_string();
    body.truncate(body.floor_char_boundary(QUARANTINED_BODY_BYTES));
    Quarantined {
        unit: unit.to_owned(),
        resource: resource.to_owned(),
        url,
        reason: format!("the {resource} {reason}"),
        class: MALFORMED,
        body: Some(body),
    }
}

/// A unit of which nothing can be landed. It counts as one entry.
pub(crate) fn quarantined_unit(metrics: &Metrics, quarantined: Quarantined) -> Unit {
    metrics.entries_fetched().increment();
    metrics.entries_quarantined().increment();
    tracing::warn!(
        unit = quarantined.unit,
        url = quarantined.url,
        class = quarantined.class,
        reason = quarantined.reason,
        "unit is quarantined"
    );
    Unit {
        key: quarantined.unit.clone(),
        records: Vec::new(),
        bytes: 0,
        quarantined: vec![quarantined],
    }
}

/// One text shared by every record of the unit.
pub(crate) fn shared_json(value: &Value) -> Arc<str> {
    Arc::from(value.to_string())
}
