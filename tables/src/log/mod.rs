//! The commit log: what a record says, how the state of the table follows from the records, and their versioned
//! spelling on disk. Owns `commits/<n>.json` and `intents/<token>.json`; does not decide when one is written (`staging`) or
//! finished (`recover`).
//!
//! A record holds what its commit added and removed. Every [`state::SNAPSHOT_EVERY`]th one, and every one that is shorter
//! that way, holds all files of the table instead, so that the state is read from a bounded number of records and a small
//! commit to a large table stays small.

mod commit;
mod files_read;
mod intent;
pub(crate) mod interval;
mod json;
mod newest;
mod record;
mod state;
mod transaction;

use std::fmt;

use crate::error::Error;
use crate::store::Store;

pub use commit::{Commit, DataFile, Totals};
pub use files_read::{FileList, FileRead, FilesRead};
pub(crate) use intent::{Intent, read_intent};
pub use interval::Interval;
pub(crate) use json::{ControlFile, from_json, to_json};
pub(crate) use newest::{Newest, expect, newest};
pub(crate) use record::{AddedFile, Record, read_record};
pub(crate) use state::{read_decided, read_state};
pub use transaction::Transaction;

/// The format version that this program writes, and the newest it reads.
const VERSION: u64 = 1;

/// The path of a record in the control area.
pub(crate) fn record_key(number: u64) -> String {
    format!("commits/{number:08}.json")
}

/// The path of the mark that a record has been carried out.
pub(crate) fn done_key(number: u64) -> String {
    format!("commits/{number:08}.done")
}

pub(crate) fn intent_key(token: &str) -> String {
    format!("intents/{token}.json")
}

/// A control object as a message names it.
pub(crate) fn full_path(store: &dyn Store, key: &str) -> String {
    format!("{key} in the control folder of {}", store.location())
}

fn damaged(key: &str, reason: impl fmt::Display) -> Error {
    Error::DamagedRecord {
        path: key.to_owned(),
        reason: reason.to_string(),
    }
}
