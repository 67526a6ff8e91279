//! Which commit would be this run's own: what an output shows to its table before it is written.
//!
//! Owns how a run is named in commit logs, and from which record on its commits can be there. Whether one is there is
//! `tables`' to find.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tables::{Claim, Transaction};

use super::context::RunContext;
use super::error::RunError;
use super::increment;
use super::output;
use crate::store::StageName;
use language::{Bound, Output};

/// The entry of the plan stage's detail that says where the log of each table was.
const POSITIONS: &str = "log_positions";

/// Where the logs of the tables were when this run first opened them, as far as earlier attempts tell. No commit of the run
/// is before that; and before an attempt told, it had committed nothing.
#[derive(Debug, Default)]
pub struct Positions(Option<BTreeMap<String, u64>>);

impl Positions {
    /// What the earlier attempts of the run recorded.
    ///
    /// # Errors
    /// When the run store cannot be read.
    pub async fn of_earlier_attempts(run: &RunContext) -> Result<Self, RunError> {
        if run.attempt.number == 1 {
            return Ok(Self::default());
        }
        let stages = run.store.stages(run.attempt.run).await?;
        let planned = stages.iter().filter(|stage| {
            let ended = stage.finished_at.is_some();
            stage.name == StageName::Plan && ended && stage.attempt < run.attempt.number
        });
        let mut known: Option<BTreeMap<String, u64>> = None;
        for stage in planned {
            let known = known.get_or_insert_default();
            let told = stage.detail[POSITIONS].as_object();
            for (location, position) in told.into_iter().flatten() {
                let position = position.as_u64().unwrap_or(0);
                let first = known.entry(location.clone()).or_insert(position);
                *first = position.min(*first);
            }
        }
        Ok(Self(known))
    }

    /// For [`Claim::since`].
    fn of(&self, location: &str) -> Option<u64> {
        // An attempt that ended its plan and did not tell: all of the log.
        let known = self.0.as_ref()?;
        Some(known.get(location).copied().unwrap_or(0))
    }

    /// The plan stage's detail with the positions of this attempt.
    pub fn detail<'a>(views: usize, positions: impl Iterator<Item = (&'a str, u64)>) -> Value {
        let positions: BTreeMap<&str, u64> = positions.collect();
        json!({ "views": views, POSITIONS: positions })
    }
}

/// What the output at `location` shows to its table.
pub fn claim(
    run: &RunContext,
    bound: &Bound,
    output: &Output,
    location: &str,
    positions: &Positions,
) -> Claim {
    Claim {
        transaction: Transaction {
            application: run.pipeline.clone(),
            request: run.identity.to_string(),
            output: output::name(output),
        },
        interval: match increment::is_incremental(&run.registry, bound) {
            true => None,
            false => output::interval(bound),
        },
        plan_fingerprint: Some(bound.fingerprint.clone()),
        since: positions.of(location),
    }
}
