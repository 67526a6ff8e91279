//! Entries as JSON: one module per entry type says what its keys hold, this one puts them together.

pub(crate) mod activity;
pub(crate) mod bug;
pub(crate) mod message;
pub(crate) mod person;
pub(crate) mod target;
pub(crate) mod task;

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::generator::Generator;
use crate::generator::bug::Micros;
use crate::generator::people::{self, PersonId, Standing};
use crate::json;
use crate::keys::EntryType;
use crate::links::Links;

/// What stands in place of a value that the viewer may not see.
pub(crate) const REDACTED: &str = "tag:launchpad.net:2008:redacted";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Viewer {
    /// Somebody without a token: private things do not exist for them.
    Anonymous,
    /// Somebody with the accepted token.
    Known,
}

/// What the entries of one answer are written from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The links of the request.
    pub(crate) links: &'a Links,
    /// Who asks.
    pub(crate) viewer: Viewer,
    /// Where the texts come from.
    pub(crate) generator: &'a Generator,
}

impl Context<'_> {
    /// The link to a person, redacted where the viewer may not know them.
    pub(crate) fn person(&self, id: PersonId) -> String {
        let person = people::get(id);
        if person.standing == Standing::PrivateTeam && self.viewer == Viewer::Anonymous {
            return REDACTED.to_owned();
        }
        self.links.api(&format!("~{}", person.name))
    }
}

/// An entry, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The JSON object.
    pub(crate) json: String,
    /// The value of `http_etag`, quotes included.
    pub(crate) etag: String,
}

/// The values of an entry's own keys.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// Sets a value.
    pub(crate) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push((key, value.into()));
    }

    /// Sets `key` to null for each of the keys.
    pub(crate) fn null(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.set(key, Value::Null);
        }
    }

    /// Sets each collection link to the path of the entry and the key's name without its ending.
    pub(crate) fn collections(&mut self, self_link: &str, keys: &[&'static str]) {
        for key in keys {
            let name = key.trim_end_matches("_collection_link");
            self.set(key, format!("{self_link}/{name}"));
        }
    }

    /// Leaves a value out.
    pub(crate) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| *name != key);
    }

    /// The entry: the standard keys, the type's keys that the version has, the tag of it all.
    pub(crate) fn entry(
        mut self,
        kind: &EntryType,
        links: &Links,
        self_link: &str,
        web_link: &str,
    ) -> Entry {
        let mut body = String::from("{");
        let standard = [
            ("self_link", self_link.to_owned()),
            ("web_link", web_link.to_owned()),
            ("resource_type_link", links.resource_type(kind.name)),
        ];
        for (key, value) in standard {
            json::write_member(key, &Value::String(value), &mut body);
            body.push_str(", ");
        }
        for key in kind.keys.iter().filter(|key| key.is_in(links.version())) {
            let Some(position) = self.0.iter().position(|(name, _)| *name == key.name) else {
                continue;
            };
            let (_, value) = self.0.swap_remove(position);
            json::write_member(key.name, &value, &mut body);
            body.push_str(", ");
        }
        let etag = tag(&body, links);
        json::write_member("http_etag", &Value::String(etag.clone()), &mut body);
        body.push('}');
        Entry { json: body, etag }
    }
}

/// The tag of a body: two hashes as the service has them, of what does not depend on the server's
/// address, so that a tag outlives a restart on another port.
fn tag(body: &str, links: &Links) -> String {
    let hash = hex::encode(Sha256::digest(body.replace(links.root(), "").as_bytes()));
    // 64 digits: what is left of the second half is filled up from the first.
    format!("\"{}-{}{}\"", &hash[..40], &hash[40..], &hash[..16])
}

/// A time as the service writes it: microseconds only when there are any.
pub(crate) fn time(micros: Micros) -> Value {
    let Some(time) = DateTime::from_timestamp_micros(micros) else {
        return Value::Null;
    };
    let precision = if micros.rem_euclid(1_000_000) == 0 {
        SecondsFormat::Secs
    } else {
        SecondsFormat::Micros
    };
    Value::String(time.to_rfc3339_opts(precision, false))
}

/// A time that may be missing.
pub(crate) fn optional_time(micros: Option<Micros>) -> Value {
    micros.map_or(Value::Null, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_have_no_microseconds() {
        assert_eq!(time(1_098_996_327_000_000), "2004-10-28T20:45:27+00:00");
        assert_eq!(
            time(1_697_655_904_145_880),
            "2023-10-18T19:05:04.145880+00:00"
        );
        assert_eq!(
            time(1_740_733_200_000_000 + 1),
            "2025-02-28T09:00:00.000001+00:00"
        );
    }
}
