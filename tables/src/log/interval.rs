//! The interval of data that a run covers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::parse;

/// A half-open interval of data, `[start, end)`, as the pipeline spells it. Compared as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// First instant or day in the interval.
    #[serde(deserialize_with = "parse::line")]
    pub start: String,
    /// First one after it.
    #[serde(deserialize_with = "parse::line")]
    pub end: String,
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}
