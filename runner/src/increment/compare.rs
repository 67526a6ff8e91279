//! The files of one source, compared with the lists of the outputs. Owns what makes a file the same one, and which files an
//! `append` would add once more.

use std::collections::HashSet;

use connectors::source::ByFile;
use datafusion::execution::SessionState;
use files::listing::{File, Listing, Place};
use language::{Bound, Source};
use sha2::{Digest, Sha256};
use tables::{FileList, FileRead, PublishMode};

use super::found::{Again, Found};
use super::outputs::{Output, Outputs};
use crate::error::RunError;

/// Characters of a digest that tell one content, or one request, from another.
const DIGITS: usize = 16;

/// A source's files, compared.
pub(super) struct Compared {
    /// All of them.
    pub(super) listing: Listing,
    /// For each file, whether it is new or changed.
    pub(super) due: Vec<bool>,
    /// How many are what.
    pub(super) found: Found,
    /// Files that were read before, when something else was asked for.
    pub(super) otherwise: u64,
}

impl Compared {
    /// Of a source, with what the outputs say.
    ///
    /// # Errors
    /// When its location cannot be looked at or has never had a file, or files must not be read again that would have to.
    pub(super) async fn of(
        outputs: &Outputs,
        bound: &Bound,
        source: &Source,
        by_file: &dyn ByFile,
        session: &SessionState,
    ) -> Result<Self, RunError> {
        let no_files = |cause| RunError::NoFiles {
            table: source.name.clone(),
            location: source.location.clone(),
            source: cause,
        };
        let listing = by_file.list(session).await;
        let listing = listing.map_err(|error| no_files(Some(Box::new(error))))?;
        let pipeline = bound.name.as_str();
        let lists: Vec<(&Output, Option<&FileList>)> = outputs
            .open
            .iter()
            .map(|output| (output, output.list(pipeline, source)))
            .collect();
        let known = || lists.iter().filter_map(|(_, list)| *list);
        // Files that were read may go, all of them; a place that never had one is a mistake.
        let is_first = known().all(FileList::is_empty);
        if listing.files.is_empty() && (outputs.reads_all || is_first) {
            return Err(no_files(None));
        }
        let request = request_of(bound);
        let (mut found, mut otherwise) = (Found::default(), 0);
        let mut due = Vec::with_capacity(listing.files.len());
        let mut there = HashSet::new();
        let (mut changed, mut uneven) = (Again::default(), Again::default());
        for file in &listing.files {
            let path = path_of(file);
            let now = now(file, &request);
            let same = |was: &FileRead| was.size == now.size && was.tag == now.tag;
            let before: Vec<_> = lists
                .iter()
                .map(|(output, list)| (*output, list.and_then(|list| list.get(&path))))
                .collect();
            let is_known = before.iter().all(|(_, was)| was.is_some_and(same));
            let is_changed = before
                .iter()
                .any(|(_, was)| was.is_some_and(|was| !same(was)));
            match (is_known, is_changed) {
                (true, _) => {
                    found.read_before += 1;
                    let other = |was: &FileRead| was.request != request;
                    otherwise += u64::from(before.iter().any(|(_, was)| was.is_some_and(other)));
                }
                (_, true) => found.changed += 1,
                (_, false) => found.new += 1,
            }
            if !is_known {
                let appended = before
                    .iter()
                    .filter(|(output, _)| output.mode == PublishMode::Append);
                for (output, was) in appended {
                    match was {
                        Some(was) if same(was) => uneven.note(&output.name, &file.name),
                        Some(_) => changed.note(&output.name, &file.name),
                        None => {}
                    }
                }
            }
            due.push(!is_known);
            if !is_first {
                there.insert(path);
            }
        }
        let gone: HashSet<&str> = known()
            .flat_map(FileList::iter)
            .map(|(path, _)| path)
            .filter(|path| !there.contains(*path))
            .collect();
        found.gone = gone.len() as u64;
        if let Some(problem) = changed.as_changed().or_else(|| uneven.as_uneven()) {
            return Err(RunError::Increment {
                table: source.name.clone(),
                problem,
            });
        }
        Ok(Self {
            listing,
            due,
            found,
            otherwise,
        })
    }
}

/// What a file is known by.
pub(super) fn path_of(file: &File) -> String {
    match &file.place {
        Place::Local(path) => match path.to_str() {
            Some(path) => path.to_owned(),
            // With its bytes, so that no two names are one.
            None => format!("{path:?}"),
        },
        stored => stored.address().unwrap_or_default(),
    }
}

/// As it is now, for a request.
pub(super) fn now(file: &File, request: &str) -> FileRead {
    FileRead {
        size: file.size,
        tag: match &file.version {
            Some(tag) => digest([tag.as_str()]),
            None => file.modified.to_string(),
        },
        request: request.to_owned(),
    }
}

/// What was asked for: the values of parameters.
pub(super) fn request_of(bound: &Bound) -> String {
    let values = bound.parameters.iter().map(|(name, value)| {
        let value = value.text();
        format!("{name}={}", value.as_deref().unwrap_or("NULL"))
    });
    let values: Vec<String> = values.collect();
    digest(values.iter().map(String::as_str))
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        // Each with its length, so that no two lists of parts read the same.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut text = hex::encode(digest.finalize());
    text.truncate(DIGITS);
    text
}
