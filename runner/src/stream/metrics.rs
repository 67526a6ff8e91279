//! What a stream tells of itself. Owns the words and units; who counts is the monitor.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::quantity::{bytes, count, thousands};

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It goes, or has not begun.
    Active,
    /// It goes, but the source has to wait until the rest has caught up.
    Paused,
    /// The sink has everything, and was ended.
    Completed,
    /// Something failed.
    Failed,
    /// Somebody cancelled it, or did not wait for it.
    Cancelled,
}

impl Status {
    /// Whether nothing comes after it.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// The counts of a stream. An item is a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// What it was doing when they were taken.
    pub status: Status,
    /// Chunks that the sink took.
    pub chunks: u64,
    /// Rows in them.
    pub items: u64,
    /// Bytes of these rows in memory.
    pub bytes: u64,
    /// Chunks that the source gave.
    pub chunks_read: u64,
    /// Rows in them.
    pub items_read: u64,
    /// Tries of stages that failed.
    pub errors: u64,
    /// Tries that came after a failed one.
    pub retries: u64,
    /// Chunks that were put aside.
    pub put_aside: u64,
    /// How often the source was made to wait.
    pub pauses: u64,
    /// Chunks that wait between source, stages and sink.
    pub buffered: usize,
    /// The most that ever did.
    pub most_buffered: usize,
    /// Bytes that the chunks under way hold: those that wait, those that are worked on, results that wait for others before
    /// them, and those that were put aside. A chunk that is a slice counts all that it keeps. Not in it is what a source, a
    /// stage or a sink holds for itself.
    pub memory: u64,
    /// The most that it ever was.
    pub peak_memory: u64,
    /// From the beginning to the end, or until now.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// What each stage counted, in their order.
    pub stages: Vec<StageMetrics>,
}

/// The counts of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageMetrics {
    /// The stage.
    pub name: String,
    /// Chunks that came.
    pub taken: u64,
    /// Chunks that it gave.
    pub given: u64,
    /// Tries that failed.
    pub errors: u64,
    /// Tries that came after a failed one.
    pub retries: u64,
    /// Chunks that it put aside.
    pub put_aside: u64,
}

fn seconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}

impl Metrics {
    /// Rows in a second.
    pub fn items_per_second(&self) -> f64 {
        self.per_second(self.items)
    }

    /// Megabytes of rows in memory in a second; a megabyte is a million bytes.
    pub fn megabytes_per_second(&self) -> f64 {
        self.per_second(self.bytes) / 1e6
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate of more than a double can count is the same rate"
    )]
    fn per_second(&self, number: u64) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 {
            number as f64 / seconds
        } else {
            0.0
        }
    }
}

impl fmt::Display for Metrics {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is not negative, and a saturated one is shown"
        )]
        let rate = self.items_per_second() as u64;
        write!(
            f,
            "{} in {} in {:.2} s ({} rows/s, {:.1} MB/s, at most {} held)",
            count(self.items, "row"),
            count(self.chunks, "chunk"),
            self.duration.as_secs_f64(),
            thousands(rate),
            self.megabytes_per_second(),
            bytes(self.peak_memory),
        )?;
        for (number, noun) in [(self.errors, "error"), (self.put_aside, "chunk")] {
            if number > 0 {
                let what = if noun == "chunk" { " put aside" } else { "" };
                write!(f, ", {}{what}", count(number, noun))?;
            }
        }
        Ok(())
    }
}
