//! Who publishes what, as a record says it.

use serde::{Deserialize, Serialize};

use crate::parse;

/// Who publishes what, in words that are the same whenever the same is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Who publishes: the pipeline's name.
    #[serde(deserialize_with = "parse::line")]
    pub application: String,
    /// What was asked for: a digest of the definition and its parameters.
    #[serde(deserialize_with = "parse::line")]
    pub request: String,
    /// Which of the run's outputs.
    #[serde(deserialize_with = "parse::line")]
    pub output: String,
}
