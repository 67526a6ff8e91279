//! Where the next page of a collection begins, and whether the collection moved meanwhile.
//!
//! A state machine without I/O: it says what to ask for and is told what came.
//!
//! Offset pages over a live list shift when rows are inserted or removed. Each page is therefore
//! begun one row early, at a row of the page before: when none of the rows of that page shows up,
//! rows were removed and the pager steps back until it meets a row it knows; when more show up
//! than were asked for again, rows were inserted and the caller may want to read the list anew.
//! A page that came shorter than its size has hidden rows, and never means the end.

use std::collections::HashSet;

use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::client::Answer;
use super::spec::{Pagination, Style};
use super::template::FieldPath;

/// The first 128 bits of a SHA-256.
pub(crate) fn hash_of(bytes: &[u8]) -> u128 {
    let digest = Sha256::digest(bytes);
    digest[..16]
        .iter()
        .fold(0, |hash, byte| (hash << 8) | u128::from(*byte))
}

/// What moved between two pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    No,
    /// Rows came in before the place that was reached: they have not been seen.
    Inserted,
    /// Rows went away; the pager has stepped back to where it knows rows again.
    Removed,
}

/// What a page brought.
#[derive(Debug)]
pub(crate) struct Turn {
    /// The rows that the page before did not have.
    pub(crate) rows: Vec<Value>,
    pub(crate) done: bool,
    pub(crate) moved: Moved,
}

/// The server's own idea of the next page leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the next page is one that was read before")]
pub(crate) struct Stuck;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Offset(u64),
    Link(Url),
    Token(Option<String>),
}

fn hash_of_place(place: &Place) -> u128 {
    match place {
        Place::Offset(offset) => u128::from(*offset),
        Place::Link(link) => hash_of(link.as_str().as_bytes()),
        Place::Token(token) => hash_of(token.as_deref().unwrap_or_default().as_bytes()),
    }
}

/// Walks through one collection.
#[derive(Debug)]
pub(crate) struct Pager {
    style: Pagination,
    identity: Option<FieldPath>,
    /// The collection, with its query.
    url: Url,
    place: Place,
    /// The links and cursors that were followed, as hashes: one that comes again never ends.
    followed: HashSet<u128>,
    size: u64,
    full_size: u64,
    min_size: u64,
    good_pages: u32,
    /// The rows of the last page, and the very last of them.
    known: HashSet<u128>,
    last: Option<u128>,
    /// How many rows of the last page, hidden ones included, the next one is to begin with.
    overlap: u64,
    /// Whether this page was stepped back to, so that known rows in it are no news.
    stepped_back: bool,
    /// Whether every page so far was as long as asked for.
    whole: bool,
}

/// Good pages at a narrowed size before a larger one is tried.
const GOOD_PAGES_TO_WIDEN: u32 = 4;

impl Pager {
    pub(crate) fn new(
        style: &Pagination,
        identity: Option<&FieldPath>,
        url: Url,
        size: u64,
        min_size: u64,
    ) -> Self {
        let place = match style.style.get_ref() {
            Style::OffsetLimit | Style::PageNumber => Place::Offset(0),
            Style::Single | Style::NextLink | Style::LinkHeader => Place::Link(url.clone()),
            Style::Cursor => Place::Token(None),
        };
        Self {
            style: style.clone(),
            identity: identity.cloned(),
            url,
            place,
            followed: HashSet::new(),
            size,
            full_size: size,
            min_size: min_size.clamp(1, size),
            good_pages: 0,
            known: HashSet::new(),
            last: None,
            overlap: 0,
            stepped_back: false,
            whole: true,
        }
    }

    /// Begins again at the first page, with the size that proved itself.
    pub(crate) fn restart(&mut self) {
        let (size, full_size) = (self.size, self.full_size);
        *self = Self::new(
            &self.style,
            self.identity.as_ref(),
            self.url.clone(),
            full_size,
            self.min_size,
        );
        self.size = size;
    }

    /// The address of the next page.
    pub(crate) fn address(&self) -> Url {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        let base = match &self.place {
            Place::Link(link) => link,
            Place::Offset(offset) => {
                if let Some(page) = &self.style.page {
                    pairs.push((
                        page,
                        (self.style.first_page + offset / self.size).to_string(),
                    ));
                } else if *offset > 0 {
                    pairs.extend(
                        self.style
                            .offset
                            .iter()
                            .map(|name| (name.as_str(), offset.to_string())),
                    );
                }
                &self.url
            }
            Place::Token(token) => {
                if let (Some(name), Some(token)) = (&self.style.cursor, token) {
                    pairs.push((name, token.clone()));
                }
                &self.url
            }
        };
        if let Some(size) = &self.style.size {
            pairs.push((size, self.size.to_string()));
        }
        let mut address = base.clone();
        let says = |(name, value): &(&str, String)| {
            base.query_pairs()
                .any(|pair| pair.0 == *name && pair.1 == *value)
        };
        if !pairs.iter().all(says) {
            let kept: Vec<(String, String)> = base
                .query_pairs()
                .filter(|(name, _)| pairs.iter().all(|(ours, _)| ours != name))
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            address
                .query_pairs_mut()
                .clear()
                .extend_pairs(kept)
                .extend_pairs(pairs);
        }
        address
    }

    /// Asks for about half as many rows from now on; `false` when that is not possible.
    pub(crate) fn narrow(&mut self) -> bool {
        if self.style.size.is_none() {
            return false;
        }
        let half = self.size / 2;
        let fits = |size: u64| match &self.place {
            // A page's number means the same rows only if what came before is whole pages.
            Place::Offset(offset) if self.style.page.is_some() => self.whole && offset % size == 0,
            _ => true,
        };
        let Some(size) = (self.min_size..=half).rev().find(|size| fits(*size)) else {
            return false;
        };
        self.size = size;
        self.good_pages = 0;
        true
    }

    fn widen(&mut self) {
        self.good_pages += 1;
        if self.size == self.full_size || self.good_pages < GOOD_PAGES_TO_WIDEN {
            return;
        }
        let double = (self.size * 2).min(self.full_size);
        let fits = match &self.place {
            Place::Offset(offset) if self.style.page.is_some() => {
                self.whole && offset % double == 0
            }
            _ => true,
        };
        if fits {
            self.size = double;
            self.good_pages = 0;
        }
    }

    fn identity_of(&self, row: &Value) -> u128 {
        match self
            .identity
            .as_ref()
            .and_then(|identity| identity.find(row))
        {
            Some(identity) => hash_of(identity.to_string().as_bytes()),
            None => hash_of(row.to_string().as_bytes()),
        }
    }

    /// Takes the rows of the page that was asked for.
    pub(crate) fn accept(&mut self, answer: &Answer, rows: Vec<Value>) -> Result<Turn, Stuck> {
        let next = self
            .style
            .next
            .as_ref()
            .map(|path| match path.find(&answer.body) {
                Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            });
        let turn = match (self.style.style.get_ref(), &self.place) {
            (Style::OffsetLimit, Place::Offset(offset)) => {
                self.accept_offset(*offset, rows, answer, next)
            }
            (_, Place::Offset(offset)) => {
                // Numbered pages: the server decides how long a page is, only an empty one ends.
                let offset = *offset;
                let done = rows.is_empty() || matches!(next, Some(None));
                self.whole &= rows.len() as u64 == self.size;
                self.place = Place::Offset(offset + self.size);
                Turn {
                    rows,
                    done,
                    moved: Moved::No,
                }
            }
            (Style::Cursor, _) => {
                let next = Place::Token(next.flatten());
                self.follow(rows, next != Place::Token(None), next)?
            }
            (Style::LinkHeader, _) => self.follow_link(rows, answer, answer.next_link.clone())?,
            (Style::NextLink, _) => self.follow_link(rows, answer, next.flatten())?,
            (Style::Single | Style::OffsetLimit | Style::PageNumber, _) => Turn {
                rows,
                done: true,
                moved: Moved::No,
            },
        };
        if turn.moved != Moved::Removed {
            self.widen();
        }
        Ok(turn)
    }

    fn follow_link(
        &mut self,
        rows: Vec<Value>,
        answer: &Answer,
        link: Option<String>,
    ) -> Result<Turn, Stuck> {
        match link {
            None => Ok(Turn {
                rows,
                done: true,
                moved: Moved::No,
            }),
            Some(link) => {
                let next = answer.url.join(&link).map_err(|_| Stuck)?;
                self.follow(rows, true, Place::Link(next))
            }
        }
    }

    fn follow(&mut self, rows: Vec<Value>, more: bool, next: Place) -> Result<Turn, Stuck> {
        self.followed.insert(hash_of_place(&self.place));
        if more && self.followed.contains(&hash_of_place(&next)) {
            return Err(Stuck);
        }
        self.place = next;
        Ok(Turn {
            rows,
            done: !more,
            moved: Moved::No,
        })
    }

    fn accept_offset(
        &mut self,
        offset: u64,
        rows: Vec<Value>,
        answer: &Answer,
        next: Option<Option<String>>,
    ) -> Turn {
        let count = rows.len() as u64;
        let ids: Vec<u128> = rows.iter().map(|row| self.identity_of(row)).collect();
        let seen_before = |index: usize, id: &u128| match self.identity {
            Some(_) => self.known.contains(id),
            // Rows without an identity may repeat: only the very row that was asked for again
            // is the one already seen.
            None => self.overlap > 0 && index == 0 && self.last == Some(*id),
        };
        let again: Vec<bool> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| seen_before(index, id))
            .collect();
        let found = again.iter().filter(|again| **again).count() as u64;
        if self.overlap > 0 && found == 0 && offset > 0 {
            self.place = Place::Offset(offset.saturating_sub(self.size));
            self.stepped_back = true;
            return Turn {
                rows: Vec::new(),
                done: false,
                moved: Moved::Removed,
            };
        }
        let stepped_back = std::mem::take(&mut self.stepped_back);
        let inserted = self.overlap > 0 && found > self.overlap && !stepped_back;
        let moved = if inserted { Moved::Inserted } else { Moved::No };
        let fresh: Vec<Value> = rows
            .into_iter()
            .zip(again)
            .filter_map(|(row, again)| (!again).then_some(row))
            .collect();
        let (step, done) = match next {
            // The server says how far it went: it may allow fewer rows than were asked for.
            Some(Some(link)) => (self.step_to(offset, answer, &link), false),
            Some(None) => (self.size, true),
            None => (count, fresh.is_empty()),
        };
        let hidden = step.saturating_sub(count);
        let most = (step / 2).max(u64::from(step > 1));
        // Beyond half a page the overlap would cost more than it tells, and behind hidden rows
        // only an identity tells which row is which.
        let tells = count > 0 && hidden < most && (hidden == 0 || self.identity.is_some());
        self.overlap = if tells { hidden + 1 } else { 0 };
        self.last = ids.last().copied();
        self.known = ids.into_iter().collect();
        self.place = Place::Offset(offset + step - self.overlap);
        Turn {
            rows: fresh,
            done,
            moved,
        }
    }

    fn step_to(&self, offset: u64, answer: &Answer, link: &str) -> u64 {
        answer
            .url
            .join(link)
            .ok()
            .and_then(|next| {
                let of = |name: &str| {
                    next.query_pairs()
                        .find(|(key, _)| key == name)
                        .map(|(_, value)| value.into_owned())
                };
                self.style
                    .offset
                    .iter()
                    .find_map(|name| of(name)?.parse::<u64>().ok())
            })
            .and_then(|next| next.checked_sub(offset))
            .filter(|step| *step > 0)
            .unwrap_or(self.size)
    }
}
