//! The spec of an API as it is written in TOML. What each key means is in `docs/rest-sources.md`.
//!
//! Owns the shape. Whether the names in it fit together is [`super::check`]'s.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::template::{FieldPath, Template};

/// An API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) user_agent: Option<String>,
    pub(crate) base: Base,
    #[serde(default)]
    pub(crate) auth: Auth,
    #[serde(default)]
    pub(crate) defaults: Defaults,
    pub(crate) pagination: Pagination,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<Spanned<String>, Parameter>,
    pub(crate) locations: BTreeMap<Spanned<String>, Location>,
    pub(crate) resources: BTreeMap<Spanned<String>, Resource>,
}

/// Where the API is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base {
    /// A full address or one of the aliases.
    pub(crate) url: Spanned<String>,
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, Spanned<String>>,
    /// What follows the root in every address; may hold `{version}`.
    #[serde(default)]
    pub(crate) path: Option<Spanned<Template>>,
    pub(crate) version: Option<String>,
}

/// How requests are signed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    #[serde(default)]
    pub(crate) kind: AuthKind,
    /// The header of `kind = "header"`.
    pub(crate) header: Option<Spanned<String>>,
    /// The consumer name of `kind = "oauth1_plaintext"` where the option gives none.
    pub(crate) consumer: Option<String>,
    /// Whether the API answers nothing without credentials.
    #[serde(default)]
    pub(crate) required: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthKind {
    #[default]
    None,
    Bearer,
    Basic,
    Header,
    Oauth1Plaintext,
}

/// A duration as text, such as `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HumanDuration(pub(crate) Duration);

impl TryFrom<String> for HumanDuration {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_duration(&text).map(Self)
    }
}

/// Numbers that hold where no option says otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Defaults {
    pub(crate) page_size: NonZeroU64,
    pub(crate) min_page_size: NonZeroU64,
    pub(crate) max_page_size: NonZeroU64,
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) connect_timeout: HumanDuration,
    pub(crate) request_timeout: HumanDuration,
    /// The largest answer that is read, in bytes.
    pub(crate) max_body_bytes: NonZeroU64,
    /// The most that the answers of one unit may have together, in bytes: it is held in memory until it is whole.
    pub(crate) max_unit_bytes: NonZeroU64,
    pub(crate) max_attempts: NonZeroU32,
    pub(crate) first_delay: HumanDuration,
    pub(crate) max_delay: HumanDuration,
    pub(crate) max_retry_after: HumanDuration,
    pub(crate) max_total: HumanDuration,
}

impl Default for Defaults {
    fn default() -> Self {
        let seconds = |count| HumanDuration(Duration::from_secs(count));
        Self {
            page_size: NonZeroU64::MIN.saturating_add(99),
            min_page_size: NonZeroU64::MIN.saturating_add(9),
            max_page_size: NonZeroU64::MIN.saturating_add(999),
            concurrency: NonZeroUsize::MIN.saturating_add(3),
            requests_per_second: None,
            connect_timeout: seconds(10),
            request_timeout: seconds(60),
            max_body_bytes: NonZeroU64::MIN.saturating_add((64 << 20) - 1),
            max_unit_bytes: NonZeroU64::MIN.saturating_add((64 << 20) - 1),
            max_attempts: NonZeroU32::MIN.saturating_add(5),
            first_delay: HumanDuration(Duration::from_millis(500)),
            max_delay: seconds(30),
            max_retry_after: seconds(300),
            max_total: seconds(1800),
        }
    }
}

/// How a collection is cut into pages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pagination {
    pub(crate) style: Spanned<Style>,
    /// The parameter that asks for a number of rows.
    pub(crate) size: Option<String>,
    /// The parameters that carry the offset (`offset_limit`).
    #[serde(default)]
    pub(crate) offset: Vec<String>,
    /// The parameter that carries the page's number (`page_number`).
    pub(crate) page: Option<String>,
    /// The number of the first page (`page_number`).
    #[serde(default = "first_page")]
    pub(crate) first_page: u64,
    /// The parameter that carries the cursor (`cursor`).
    pub(crate) cursor: Option<String>,
    /// Where the body says what comes next: a link or a cursor. Its absence is the end.
    pub(crate) next: Option<FieldPath>,
}

fn first_page() -> u64 {
    1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Style {
    /// Everything comes in one answer.
    Single,
    NextLink,
    LinkHeader,
    PageNumber,
    OffsetLimit,
    Cursor,
}

/// An option that this API adds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameter {
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) required: bool,
    pub(crate) default: Option<Spanned<String>>,
    /// The values allowed; empty for any.
    #[serde(default)]
    pub(crate) choices: Vec<String>,
}

/// Something that can be extracted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Location {
    pub(crate) summary: String,
    /// An entry that is fetched before anything else.
    pub(crate) root: Option<Spanned<String>>,
    /// The collection whose rows lead to units.
    pub(crate) list: Spanned<String>,
    /// The unit's key, from a row of the list; rows of one key are one unit.
    pub(crate) unit: Spanned<Template>,
    /// The entry that is fetched for a unit; without it the row itself is the entry.
    pub(crate) fetch: Option<Spanned<String>>,
    /// Keeps only records whose actor is the root entry.
    pub(crate) only_root_actor: Option<When>,
}

/// A condition on a parameter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    pub(crate) parameter: Spanned<String>,
    pub(crate) equals: Spanned<String>,
}

/// An entry, or a collection of entries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    pub(crate) path: Spanned<Template>,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Spanned<OneOrMany>>,
    /// The server-side filter of what changed.
    pub(crate) since: Option<Since>,
    /// Where the rows are; makes this a collection.
    pub(crate) records: Option<Spanned<FieldPath>>,
    /// Where the body tells how many rows there are.
    pub(crate) total: Option<FieldPath>,
    /// Where the body links to how many rows there are.
    pub(crate) total_link: Option<FieldPath>,
    /// The field that names a row for good; rows are told apart by it.
    pub(crate) identity: Option<FieldPath>,
    /// Another style than the API's.
    pub(crate) pagination: Option<Pagination>,
    /// Fields without which an entry is malformed.
    #[serde(default)]
    pub(crate) required: Vec<FieldPath>,
    /// Fields that others get of this entry.
    #[serde(default)]
    pub(crate) carry: Vec<String>,
    #[serde(default)]
    pub(crate) embed: Vec<Embed>,
    #[serde(default)]
    pub(crate) children: Vec<Spanned<String>>,
    pub(crate) record: Option<RecordSpec>,
    /// What a status means here, for the message.
    #[serde(default)]
    pub(crate) explain: BTreeMap<String, String>,
}

impl Resource {
    /// The named fields of an entry that others get.
    pub(crate) fn carried(&self, entry: &serde_json::Value) -> serde_json::Value {
        reduced(&self.carry, entry)
    }
}

/// Only the named fields of an entry; an absent one stays absent.
pub(crate) fn reduced(fields: &[String], entry: &serde_json::Value) -> serde_json::Value {
    let kept = fields
        .iter()
        .filter_map(|name| Some((name.clone(), entry.get(name)?.clone())));
    serde_json::Value::Object(kept.collect())
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(Template),
    Many(Vec<Template>),
}

impl OneOrMany {
    pub(crate) fn templates(&self) -> &[Template] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// The parameter that asks only for what changed since the window began.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Since {
    pub(crate) parameter: String,
    /// Taken from the window's start, for servers that compare strictly or coarsely.
    pub(crate) margin: Option<HumanDuration>,
    #[serde(default)]
    pub(crate) format: SinceFormat,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SinceFormat {
    #[default]
    Rfc3339,
    Date,
    UnixSeconds,
}

/// A collection attached to its parent entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embed {
    pub(crate) resource: Spanned<String>,
    /// The field of the parent that gets the list.
    pub(crate) r#as: String,
    /// The fields kept of each row.
    pub(crate) fields: Vec<String>,
}

/// How an entry becomes a record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordSpec {
    pub(crate) key: Spanned<Template>,
    #[serde(default)]
    pub(crate) repeats: Repeats,
    pub(crate) time: FieldPath,
    #[serde(default)]
    pub(crate) time_format: TimeFormat,
    pub(crate) url: Spanned<Template>,
    pub(crate) actor: Option<Actor>,
}

/// Who acted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Actor {
    /// The field that links to the person.
    pub(crate) field: FieldPath,
    /// The resource whose `carry` says what is kept of that person.
    pub(crate) resource: Spanned<String>,
}

/// What two entries of one key in one unit are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Repeats {
    /// The same entry, seen twice.
    #[default]
    Drop,
    /// Two entries; the later ones get `-2`, `-3`, … after their key.
    Number,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TimeFormat {
    /// RFC 3339 in UTC; any other offset is an error of the server's.
    #[default]
    Utc,
    /// RFC 3339 with any offset.
    Rfc3339,
    UnixSeconds,
}
