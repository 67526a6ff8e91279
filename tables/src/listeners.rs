//! Telling others of commits: catalogs, logs of other formats, notifications. Owns how far each listener has heard, in
//! `listener-<name>.json` of the control folder; what a listener makes of a commit is its own.
//!
//! A commit is told after it was carried out, under the run's lease, and its number is written down when the listener says
//! that it succeeded. Whatever happens in between, the next process that opens or recovers the table tells it again,
//! from the log. So a listener hears of every commit in order, of some more than once; and it never has a part in a
//! decision: its failures are warnings.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::commit::CommitMode;
use crate::error::{Error, Result};
use crate::log::{self, Commit, ControlFile, from_json, full_path, to_json};
use crate::parse;
use crate::store::Store;

/// What a listener fails with.
pub type ListenerError = Box<dyn std::error::Error + Send + Sync>;

/// Somebody who wants to know of every commit of a table.
#[async_trait]
pub trait CommitListener: fmt::Debug + Send + Sync {
    /// Names the listener in the table's control folder, the same in every process: small letters, digits and hyphens. One
    /// that the table does not know yet hears of the newest commit first.
    fn name(&self) -> &str;

    /// Hears of a commit whose files are in place. Must be idempotent: after any failure it is called again with the same
    /// commit, maybe by another process. Other runs wait for the table meanwhile, so it has to end by itself.
    ///
    /// # Errors
    /// Then it is called again when the table is opened or recovered next, and hears of no later commit before.
    async fn after_commit(&self, commit: &Commit) -> Result<(), ListenerError>;
}

/// The listeners of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listeners(Vec<Arc<dyn CommitListener>>);

impl Listeners {
    /// # Errors
    /// Why it cannot be one of them.
    pub(crate) fn add(&mut self, listener: Arc<dyn CommitListener>) -> Result<(), &'static str> {
        let name = listener.name();
        if !parse::is_listener(name) {
            return Err("a name has small letters, digits and hyphens, 64 at most");
        }
        if self.0.iter().any(|other| other.name() == name) {
            return Err("another one has this name");
        }
        self.0.push(listener);
        Ok(())
    }

    /// Tells each what it has not heard, up to commit `newest`, which has been carried out. Only under the lease.
    pub(crate) async fn tell(&self, store: &dyn Store, newest: u64) {
        for listener in &self.0 {
            if let Err(error) = tell(listener.as_ref(), store, newest).await {
                warn!(
                    table = store.location(),
                    listener = listener.name(),
                    error = error.as_ref(),
                    "a listener did not hear of a commit; it will when the table is opened next"
                );
            }
        }
    }
}

async fn tell(
    listener: &dyn CommitListener,
    store: &dyn Store,
    newest: u64,
) -> Result<(), ListenerError> {
    let key = format!("listener-{}.json", listener.name());
    let mut heard = match read(store, &key, listener.name()).await? {
        Some(heard) if heard.commit <= newest => heard,
        // New, or its file is none that can be believed. Written down before anything is told: from now on no commit is
        // left out.
        _ => {
            let heard = Heard {
                version: 1,
                listener: listener.name().to_owned(),
                commit: newest.saturating_sub(1),
            };
            store.put(&key, to_json(&key, &heard)?).await?;
            heard
        }
    };
    while heard.commit < newest {
        heard.commit += 1;
        // A fence changes nothing, and precedes the table where there is no state.
        if let Some(commit) = log::read_state(store, heard.commit).await?
            && commit.mode != CommitMode::Fence
        {
            listener.after_commit(&commit).await?;
        }
        store.put(&key, to_json(&key, &heard)?).await?;
    }
    Ok(())
}

/// How far a listener has heard.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heard {
    version: u64,
    #[serde(deserialize_with = "parse::line")]
    listener: String,
    /// The newest commit of which it said that it succeeded.
    #[serde(deserialize_with = "parse::number")]
    commit: u64,
}

impl ControlFile for Heard {
    fn check(&self) -> std::result::Result<(), String> {
        if parse::is_listener(&self.listener) {
            return Ok(());
        }
        Err(format!("{:?} is not the name of a listener", self.listener))
    }
}

/// `None` if there is none, or none that this program can use: hearing twice does no harm.
async fn read(store: &dyn Store, key: &str, listener: &str) -> Result<Option<Heard>> {
    let Some(content) = store.read(key).await? else {
        return Ok(None);
    };
    match from_json::<Heard>(&full_path(store, key), &content) {
        Ok(heard) if heard.listener == listener => Ok(Some(heard)),
        Ok(heard) => {
            warn!(
                table = store.location(),
                key,
                found = heard.listener,
                "of another listener"
            );
            Ok(None)
        }
        Err(error @ (Error::DamagedRecord { .. } | Error::UnknownVersion { .. })) => {
            warn!(table = store.location(), %error, "a listener is told of the newest commit again");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
