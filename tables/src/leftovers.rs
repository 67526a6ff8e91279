//! What runs that did not end by themselves left behind a table, seen without touching it. [`Table::recover`] removes it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::log;
use crate::parse;
use crate::table::Table;

/// What is there that a table at rest does not have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// A decided commit whose files are not all in place.
    pub unfinished: Option<u64>,
    /// Runs that staged and did not decide; one of them may be alive.
    pub runs: Vec<LeftRun>,
}

/// A run that staged files or announced that it would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRun {
    /// Its name in the staging area.
    pub token: String,
    /// The run; `None` where it left no announcement that can be read.
    pub run_id: Option<String>,
    /// Since when.
    pub begun_at: Option<DateTime<Utc>>,
}

impl Leftovers {
    /// Whether there is nothing.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl Table {
    /// What [`Table::recover`] would find. Takes no lease and writes nothing, so it cannot tell a dead run from one that
    /// is at work: recovery can, and leaves that alone.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the control folder cannot be read.
    pub async fn leftovers(&self) -> Result<Leftovers> {
        let store = self.store.as_ref();
        let newest = log::newest(store).await?;
        let mut tokens: BTreeSet<String> = store.list_staged().await?.into_iter().collect();
        tokens.retain(|name| parse::is_attempt(name));
        let intents = store.list("intents").await?;
        let announced = intents.iter();
        let announced = announced.filter_map(|name| parse::attempt_of_intent(name));
        tokens.extend(announced.map(str::to_owned));
        let unfinished = newest
            .filter(|newest| !newest.done)
            .map(|newest| newest.number);
        let decided = match unfinished {
            Some(number) => Some(log::read_record(store, number).await?.token),
            None => None,
        };
        let mut runs = Vec::new();
        for token in tokens
            .into_iter()
            .filter(|token| decided.as_ref() != Some(token))
        {
            let intent = log::read_intent(store, &token).await?;
            runs.push(LeftRun {
                token,
                begun_at: intent.as_ref().map(|intent| intent.begun_at),
                run_id: intent.map(|intent| intent.run_id),
            });
        }
        Ok(Leftovers { unfinished, runs })
    }
}
