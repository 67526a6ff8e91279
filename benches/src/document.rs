//! The numbers that a run's own document gives (docs/runs.md).

use anyhow::Context;
use serde_json::Value;

/// A run's document.
#[derive(Debug)]
pub(crate) struct Document(Value);

impl Document {
    /// Reads what `run --output json` printed.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(Self(
            serde_json::from_str(text).context("standard output is no run document")?,
        ))
    }

    /// The number at a JSON pointer.
    pub(crate) fn number(&self, pointer: &str) -> anyhow::Result<u64> {
        self.0
            .pointer(pointer)
            .and_then(Value::as_u64)
            .with_context(|| format!("the run document has no {pointer}"))
    }

    /// The memory snapshots: label, resident bytes, peak until then.
    pub(crate) fn snapshots(&self) -> Vec<(String, u64, u64)> {
        let snapshots = self.0["memory"].as_array().into_iter().flatten();
        snapshots
            .filter_map(|it| {
                Some((
                    it["label"].as_str()?.to_owned(),
                    it["rss_bytes"].as_u64()?,
                    it["peak_bytes"].as_u64()?,
                ))
            })
            .collect()
    }
}
