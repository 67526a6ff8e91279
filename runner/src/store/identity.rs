//! What names a run, one try of it, and the request behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{NoContext, Timestamp, Uuid};

/// Names a run: a UUID of version 7, whose first digits are the time at which it was minted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// A new id for a run that begins at `at`; two calls never give the same one.
    #[must_use]
    pub fn mint(at: DateTime<Utc>) -> Self {
        let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
        let since_epoch = Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos());
        Self(Uuid::new_v7(since_epoch))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), formatter)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl TryFrom<String> for RunId {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// One try of a run by one process. Whoever writes to a run shows it; a number that is no longer the
/// run's current one is stale and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunAttempt {
    /// The run.
    pub run: RunId,
    /// Counts from 1.
    pub number: u32,
}

impl fmt::Display for RunAttempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "run {} attempt {}", self.run, self.number)
    }
}

/// What makes two requests "the same run asked for again": a digest of the pipeline's name, the
/// fingerprint of its definition and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunIdentity(String);

impl RunIdentity {
    /// The identity of a run of this pipeline, definition and parameters.
    #[must_use]
    pub fn of(
        pipeline: &str,
        definition_fingerprint: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Self {
        let mut digest = Sha256::new();
        // Each part is preceded by its length, so that no two different requests read the same.
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        };
        part(pipeline);
        part(definition_fingerprint);
        for (name, value) in parameters {
            part(name);
            part(value);
        }
        Self(hex::encode(digest.finalize()))
    }

    /// The 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for RunIdentity {
    fn from(stored: String) -> Self {
        Self(stored)
    }
}

impl fmt::Display for RunIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn identity_depends_on_every_part_and_not_on_where_one_part_ends() {
        let bugs = RunIdentity::of("bugs", "f1", &parameters(&[("member", "ada-example")]));
        assert_eq!(
            bugs,
            RunIdentity::of("bugs", "f1", &parameters(&[("member", "ada-example")]))
        );
        for other in [
            RunIdentity::of("bug", "sf1", &parameters(&[("member", "ada-example")])),
            RunIdentity::of("bugs", "f2", &parameters(&[("member", "ada-example")])),
            RunIdentity::of("bugs", "f1", &parameters(&[("member", "bob-example")])),
            RunIdentity::of("bugs", "f1", &parameters(&[("membera", "da-example")])),
            RunIdentity::of("bugs", "f1", &parameters(&[])),
        ] {
            assert_ne!(bugs, other);
        }
    }

    #[test]
    fn ids_sort_by_the_time_at_which_they_were_minted() {
        let earlier = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let later = earlier + chrono::TimeDelta::milliseconds(1);
        assert!(RunId::mint(earlier) < RunId::mint(later));
        assert_ne!(RunId::mint(earlier), RunId::mint(earlier));
    }
}
