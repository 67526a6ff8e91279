//! How far the log goes, and that no record up to there is missing. Looks at names, not into records.

use std::collections::BTreeSet;

use super::{done_key, record_key};
use crate::error::{Error, Result};
use crate::parse;
use crate::store::Store;

/// What the control folder says about commits: the highest number, and whether it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) number: u64,
    pub(crate) done: bool,
}

/// The newest record. Records are numbered from 1 and never removed, so the log is whole if none of them, up to the
/// greatest number that anything names, is missing.
///
/// # Errors
/// [`Error::LostRecord`] where one is: its number would be given again, and its rows be forgotten or doubled.
pub(crate) async fn newest(store: &dyn Store) -> Result<Option<Newest>> {
    let mut records = BTreeSet::new();
    let mut done = BTreeSet::new();
    for name in store.list("commits").await? {
        match commit_of(&name) {
            Some((number, Part::Record)) => drop(records.insert(number)),
            Some((number, Part::Done)) => drop(done.insert(number)),
            // Not a name that this program gives: somebody's copy.
            None => {}
        }
    }
    let Some(number) = records.last().max(done.last()).copied() else {
        return Ok(None);
    };
    if records.len() as u64 != number {
        // A listing that a commit overtakes may show a mark and not its record: that one is asked for by its name. At
        // the first that is not there it ends, so a mark of any number costs no more.
        for missing in (1..=number).filter(|number| !records.contains(number)) {
            if store.read(&record_key(missing)).await?.is_none() {
                let evidence = if done.contains(&missing) {
                    format!("{} says that it was carried out", done_key(missing))
                } else {
                    format!("commit {number} came after it")
                };
                return Err(lost(store, missing, evidence));
            }
        }
    }
    Ok(Some(Newest {
        number,
        done: done.contains(&number),
    }))
}

/// Refuses a log that ends before a commit that something else knows of.
///
/// # Errors
/// [`Error::LostRecord`] if there is no commit `known` by now.
pub(crate) async fn expect(
    store: &dyn Store,
    newest: Option<Newest>,
    known: u64,
    whence: &str,
) -> Result<()> {
    if newest.is_some_and(|newest| newest.number >= known) || known == 0 {
        return Ok(());
    }
    // Of those from the newest to that one, the first is what has to be restored first.
    let missing = newest.map_or(1, |newest| newest.number + 1);
    Err(lost(
        store,
        missing,
        format!("{whence} knows commit {known}"),
    ))
}

fn lost(store: &dyn Store, number: u64, evidence: String) -> Error {
    Error::LostRecord {
        table: store.location().to_owned(),
        record: record_key(number),
        evidence,
    }
}

/// What a file in the folder of the commits is.
enum Part {
    Record,
    Done,
}

/// The commit that a name in the folder of the commits tells; `None` for a file that is not ours.
fn commit_of(name: &str) -> Option<(u64, Part)> {
    let (digits, _) = name.split_once('.')?;
    let number = digits.parse().ok()?;
    let is = |key: String| key.strip_prefix("commits/") == Some(name);
    match number {
        1..=parse::MAX_NUMBER if is(record_key(number)) => Some((number, Part::Record)),
        1..=parse::MAX_NUMBER if is(done_key(number)) => Some((number, Part::Done)),
        _ => None,
    }
}
