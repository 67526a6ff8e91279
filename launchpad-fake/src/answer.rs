//! Answers that are what was asked for.

use std::ops::Range;

use crate::entries::Entry;
use crate::paging::{Batch, Page};
use crate::refusal::Refusal;
use crate::request::Request;

/// An answer with status 200.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An entry: it has a tag and can be asked for conditionally.
    Entry(Entry),
    /// Anything else in JSON.
    Json(String),
    /// The description of the service.
    Wadl(String),
}

impl Answer {
    /// A page of a collection of `total` entries, or its size alone if that is what was asked for.
    /// `write` gives the entries at a range of positions, without those that are hidden.
    pub(crate) fn page(
        request: &Request,
        entry_type: Option<&str>,
        total: usize,
        write: impl FnOnce(Range<usize>) -> Vec<String>,
    ) -> Result<Self, Refusal> {
        let batch = Batch::read(&request.parameters)?;
        if batch.total_only() {
            return Ok(Self::Json(total.to_string()));
        }
        let entries = write(batch.range(total));
        let page = Page {
            path: &request.raw_path,
            parameters: &request.parameters,
            batch,
            total,
            entry_type,
            entries,
        };
        Ok(Self::Json(page.render(&request.links)))
    }
}
