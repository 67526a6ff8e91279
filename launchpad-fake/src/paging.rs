//! Collections and their pages: batch parameters, slices, and the keys around the entries.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::json;
use crate::links::{Links, Version};
use crate::parameters::Parameters;
use crate::refusal::Refusal;

/// Entries per page when the request does not say.
pub(crate) const DEFAULT_SIZE: usize = 75;
/// The most entries per page.
pub(crate) const MAXIMUM_SIZE: usize = 300;

/// What a request says about the page it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    size: usize,
    start: usize,
    backwards: bool,
    total_only: bool,
}

impl Batch {
    /// Reads the batch parameters. A size that is no positive number is ignored; one above the
    /// maximum, or a memo that is no number, is refused.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, Refusal> {
        let size = parameters
            .raw("ws.size")
            .and_then(|size| size.parse::<i64>().ok())
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| *size > 0)
            .unwrap_or(DEFAULT_SIZE);
        if size > MAXIMUM_SIZE {
            return Err(Refusal::BadRequest(format!(
                "Maximum for \"ws.size\" parameter is {MAXIMUM_SIZE}."
            )));
        }
        let start = match parameters.raw("memo").filter(|memo| !memo.is_empty()) {
            Some(memo) => memo.parse().map_err(|_| {
                Refusal::BadRequest(format!("Invalid value for \"memo\" parameter: {memo}."))
            })?,
            None => parameters
                .raw("ws.start")
                .and_then(|start| start.parse().ok())
                .unwrap_or(0),
        };
        Ok(Self {
            size,
            start,
            backwards: parameters.raw("direction") == Some("backwards"),
            total_only: parameters.raw("ws.show") == Some("total_size"),
        })
    }

    /// The page size asked for.
    pub(crate) fn size(self) -> usize {
        self.size
    }

    /// Whether only the number of entries is wanted.
    pub(crate) fn total_only(self) -> bool {
        self.total_only
    }

    /// The positions of the page in a collection of `total` entries.
    pub(crate) fn range(self, total: usize) -> std::ops::Range<usize> {
        let (from, to) = if self.backwards {
            (self.start.saturating_sub(self.size), self.start)
        } else {
            (self.start, self.start.saturating_add(self.size))
        };
        from.min(total)..to.min(total)
    }
}

/// A page to be written: what it is a page of, and its entries.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// The path of the collection, relative to the version.
    pub(crate) path: &'a str,
    /// The whole query.
    pub(crate) parameters: &'a Parameters,
    /// The page asked for.
    pub(crate) batch: Batch,
    /// How many entries the collection has.
    pub(crate) total: usize,
    /// The type of the entries when the collection is a plain one; none for a named operation.
    pub(crate) entry_type: Option<&'a str>,
    /// The entries of the page, as JSON text. Fewer than the size when some were hidden.
    pub(crate) entries: Vec<String>,
}

impl Page<'_> {
    /// The body.
    pub(crate) fn render(&self, links: &Links) -> String {
        let range = self.batch.range(self.total);
        let more = range.end < self.total;
        let mut body = format!("{{\"start\": {}", range.start);
        // `devel` names the size of an operation's answer only where it is free: on its last page.
        if self.entry_type.is_none() && links.version() == Version::Devel && more {
            member(
                &mut body,
                "total_size_link",
                &self.link(links, &["ws.show=total_size".to_owned()]),
            );
        } else {
            body.push_str(&format!(", \"total_size\": {}", self.total));
        }
        let size = format!("ws.size={}", self.batch.size);
        if more {
            let mut query = vec![size.clone(), format!("memo={}", range.end)];
            query.push(format!("ws.start={}", range.end));
            member(&mut body, "next_collection_link", &self.link(links, &query));
        }
        if range.start > 0 {
            let mut query = vec![
                size,
                "direction=backwards".to_owned(),
                format!("memo={}", range.start),
            ];
            let before = range.start.saturating_sub(self.batch.size);
            if before > 0 {
                query.push(format!("ws.start={before}"));
            }
            member(&mut body, "prev_collection_link", &self.link(links, &query));
        }
        body.push_str(", \"entries\": [");
        body.push_str(&self.entries.join(", "));
        body.push(']');
        if let Some(entry_type) = self.entry_type {
            let page_type = links.resource_type(&format!("{entry_type}-page-resource"));
            member(&mut body, "resource_type_link", &page_type);
        }
        body.push('}');
        body
    }

    /// The collection's own query without batch parameters, sorted by key, and then `batch`.
    fn link(&self, links: &Links, batch: &[String]) -> String {
        let mut own: Vec<&(String, String)> = self.parameters.own_query().collect();
        // A stable sort: the values of a repeated key keep their order.
        own.sort_by(|one, other| one.0.cmp(&other.0));
        let query: Vec<String> = own
            .into_iter()
            .map(|(name, value)| format!("{}={}", quote(name), quote(value)))
            .chain(batch.iter().cloned())
            .collect();
        format!("{}?{}", links.api(self.path), query.join("&"))
    }
}

fn member(body: &mut String, name: &str, text: &str) {
    body.push_str(", ");
    json::write_text(name, body);
    body.push_str(": ");
    json::write_text(text, body);
}

/// What stays as it is in a query: what Python's `quote_plus` keeps.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b' ');

fn quote(text: &str) -> String {
    utf8_percent_encode(text, KEPT)
        .to_string()
        .replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn page(query: &str, total: usize, entry_type: Option<&str>, version: Version) -> Value {
        let parameters = Parameters::parse(query);
        let batch = Batch::read(&parameters).unwrap();
        let entries = batch
            .range(total)
            .map(|position| position.to_string())
            .collect();
        let page = Page {
            path: "bzr",
            parameters: &parameters,
            batch,
            total,
            entry_type,
            entries,
        };
        serde_json::from_str(&page.render(&Links::new("host", version))).unwrap()
    }

    #[test]
    fn links_are_those_of_the_real_service() {
        let query = "ws.size=75&ws.op=searchTasks&modified_since=2020-01-01";
        let first = page(query, 200, None, Version::Devel);
        let base = "http://host/devel/bzr?modified_since=2020-01-01&ws.op=searchTasks";
        assert_eq!(
            first["next_collection_link"],
            format!("{base}&ws.size=75&memo=75&ws.start=75")
        );
        assert_eq!(
            first["total_size_link"],
            format!("{base}&ws.show=total_size")
        );
        assert_eq!(first.get("total_size"), None);
        assert_eq!(first.get("prev_collection_link"), None);
        assert_eq!(first.get("resource_type_link"), None);

        let second = page(
            "ws.op=searchTasks&ws.size=75&memo=75&ws.start=75",
            150,
            None,
            Version::Devel,
        );
        assert_eq!(
            second["prev_collection_link"],
            "http://host/devel/bzr?ws.op=searchTasks&ws.size=75&direction=backwards&memo=75"
        );
        assert_eq!(second["total_size"], 150);
        assert_eq!(second.get("next_collection_link"), None);
        assert_eq!(second["start"], 75);
    }

    #[test]
    fn a_page_before_the_last_names_its_size_unless_it_is_an_operation_in_devel() {
        assert_eq!(page("ws.op=x", 100, None, Version::One)["total_size"], 100);
        assert_eq!(page("ws.op=x", 100, None, Version::Beta)["total_size"], 100);
        let plain = page("", 100, Some("bug"), Version::Devel);
        assert_eq!(plain["total_size"], 100);
        assert_eq!(
            plain["resource_type_link"],
            "http://host/devel/#bug-page-resource"
        );
        assert_eq!(page("ws.op=x", 0, None, Version::Devel)["total_size"], 0);
    }

    #[test]
    fn a_memo_wins_over_a_start_and_backwards_ends_at_it() {
        assert_eq!(
            page("memo=10&ws.start=50&ws.size=5", 100, None, Version::One)["entries"][0],
            10
        );
        let back = page(
            "memo=150&ws.start=75&ws.size=75&direction=backwards",
            200,
            None,
            Version::One,
        );
        assert_eq!(back["entries"][0], 75);
        assert_eq!(back["entries"][74], 149);
    }

    #[test]
    fn sizes_that_are_no_numbers_are_ignored_and_large_ones_refused() {
        for size in ["0", "-3", "many", ""] {
            let parameters = Parameters::parse(&format!("ws.size={size}"));
            assert_eq!(Batch::read(&parameters).unwrap().size(), DEFAULT_SIZE);
        }
        let refusal = Batch::read(&Parameters::parse("ws.size=301")).unwrap_err();
        assert_eq!(refusal.text(), "Maximum for \"ws.size\" parameter is 300.");
        assert_eq!(
            Batch::read(&Parameters::parse("memo=x"))
                .unwrap_err()
                .status(),
            400
        );
    }

    #[test]
    fn values_are_quoted_as_python_does() {
        assert_eq!(
            quote("2025-01-01T00:00:00+00:00 ~x/y"),
            "2025-01-01T00%3A00%3A00%2B00%3A00+~x%2Fy"
        );
    }
}
