//! What a run announces before it stages anything, so that another one finds it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ControlFile, VERSION, from_json, intent_key};
use crate::commit::CommitMode;
use crate::error::Result;
use crate::parse;
use crate::store::Store;

/// `intents/<token>.json`: a run that stages files and has not decided yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) version: u64,
    #[serde(deserialize_with = "parse::line")]
    pub(crate) run_id: String,
    #[serde(deserialize_with = "parse::token")]
    pub(crate) token: String,
    #[serde(deserialize_with = "parse::number")]
    pub(crate) epoch: u64,
    #[serde(deserialize_with = "parse::number")]
    pub(crate) base: u64,
    pub(crate) mode: CommitMode,
    pub(crate) begun_at: DateTime<Utc>,
}

impl Intent {
    pub(crate) fn new(run_id: &str, token: &str, epoch: u64, base: u64, mode: CommitMode) -> Self {
        Self {
            version: VERSION,
            run_id: run_id.to_owned(),
            token: token.to_owned(),
            epoch,
            base,
            mode,
            begun_at: Utc::now(),
        }
    }
}

impl ControlFile for Intent {
    fn check(&self) -> std::result::Result<(), String> {
        if parse::is_attempt(&self.token) {
            return Ok(());
        }
        Err(format!("{:?} is not the name of an attempt", self.token))
    }
}

/// What an attempt announced; `None` if it cannot be read, or is not of that attempt: a damaged intent is no reason to
/// keep what it announced.
pub(crate) async fn read_intent(store: &dyn Store, token: &str) -> Result<Option<Intent>> {
    let key = intent_key(token);
    let content = store.read(&key).await?.unwrap_or_default();
    let intent = from_json::<Intent>(&key, &content).ok();
    Ok(intent.filter(|intent| intent.token == token))
}
