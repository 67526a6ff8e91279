//! Where a run's query is executed: in this process or on the cluster, and why. Owns the rule and its words.

use std::time::Duration;

use engine::cluster::{Cluster, ClusterError, EMBEDDED, EmbeddedCluster};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::context::RunContext;
use super::error::RunError;
use super::estimate::Estimate;
use super::quantity::{count, thousands};
use crate::settings::{Origin, RunSettings};
use crate::store::{Decision, RunMode};
use language::Mode;

/// How long a scheduler may take to answer for the first time.
const SCHEDULER: Duration = Duration::from_secs(10);
/// The pause between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(250);

/// Decides by the settings and by what the sources will give.
pub fn decide(settings: &RunSettings, estimates: &[Estimate]) -> (RunMode, Decision) {
    let threshold = settings.threshold_rows.value;
    let rows: Option<u64> = estimates.iter().map(|estimate| estimate.rows).sum();
    let mut from: Vec<&str> = estimates
        .iter()
        .map(|estimate| estimate.from.as_str())
        .collect();
    from.dedup();
    let about = if estimates.iter().all(|estimate| estimate.exact) {
        ""
    } else {
        "about "
    };
    let counted = |rows| format!("{about}{} from {}", count(rows, "row"), from.join(" and "));
    let asked = match settings.mode.origin {
        Origin::Flag => "--mode",
        Origin::Environment => "PIPELINES_MODE",
        _ => "the definition",
    };
    let limit = thousands(threshold);
    let (mode, reason) = match (settings.mode.value, rows, &settings.cluster.place.scheduler) {
        (Mode::Local, _, _) => (RunMode::Local, format!("asked for by {asked}")),
        (Mode::Cluster, _, _) => (RunMode::Cluster, format!("asked for by {asked}")),
        (Mode::Auto, None, _) => (
            RunMode::Local,
            String::from("nothing tells the number of rows"),
        ),
        (Mode::Auto, Some(rows), _) if rows <= threshold => (
            RunMode::Local,
            format!("{}, not above the threshold of {limit}", counted(rows)),
        ),
        (Mode::Auto, Some(rows), Some(_)) => (
            RunMode::Cluster,
            format!("{}, above the threshold of {limit}", counted(rows)),
        ),
        (Mode::Auto, Some(rows), None) => (
            RunMode::Local,
            format!(
                "{}, above the threshold of {limit}, but no scheduler is set: --cluster, PIPELINES_SCHEDULER",
                counted(rows)
            ),
        ),
    };
    let decision = Decision {
        estimated_rows: rows,
        threshold_rows: (settings.mode.value == Mode::Auto).then_some(threshold),
        reason,
        detail: json!(estimates),
    };
    (mode, decision)
}

/// A cluster that answered.
#[derive(Debug)]
pub enum Reached {
    /// It was there.
    Running(Box<Cluster>),
    /// It was started for this run and ends with it.
    Embedded(Box<EmbeddedCluster>),
}

impl Reached {
    /// The way to it.
    pub fn cluster(&self) -> &Cluster {
        match self {
            Self::Running(cluster) => cluster,
            Self::Embedded(embedded) => embedded.cluster(),
        }
    }

    /// `error`, or its reason where executors are lost to their ceiling, which only whoever started them can see.
    pub fn explained(&self, error: ClusterError) -> ClusterError {
        match self {
            Self::Embedded(embedded) => match embedded.exhausted() {
                Some(executors) => ClusterError::Exhausted { executors },
                None => error,
            },
            Self::Running(_) => error,
        }
    }
}

/// Finds out whether the cluster that will or may be needed can be spoken with, for before anything is extracted. One that
/// is only needed above the threshold is not asked.
///
/// # Errors
/// As [`reach`].
pub async fn check(run: &RunContext) -> Result<(), RunError> {
    let place = &run.settings.cluster.place;
    match (run.settings.mode.value, place.running()) {
        (Mode::Auto, Some(address)) => Ok(place.check(address)?),
        (Mode::Cluster, Some(address)) => connect(run, address).await.map(drop),
        _ => Ok(()),
    }
}

/// The cluster, if the query shall run there.
///
/// # Errors
/// [`RunError::Cluster`] when the scheduler does not answer, or one cannot be started; [`RunError::Interrupted`].
pub async fn reach(run: &RunContext, mode: RunMode) -> Result<Option<Reached>, RunError> {
    let settings = &run.settings;
    let (RunMode::Cluster, Some(address)) = (mode, &settings.cluster.place.scheduler) else {
        return Ok(None);
    };
    if address.value == EMBEDDED {
        let memory = usize::try_from(settings.memory.value).unwrap_or(usize::MAX);
        let folder = run.work_dir.join("cluster");
        let embedded = EmbeddedCluster::start(&folder, memory).await?;
        return Ok(Some(Reached::Embedded(Box::new(embedded))));
    }
    let cluster = connect(run, &address.value).await?;
    Ok(Some(Reached::Running(Box::new(cluster))))
}

/// Connects to a scheduler, who may be starting again just now.
async fn connect(run: &RunContext, address: &str) -> Result<Cluster, RunError> {
    let deadline = Instant::now() + SCHEDULER;
    let mut told = false;
    loop {
        let error = match run.settings.cluster.place.connect(address).await {
            Ok(cluster) => return Ok(cluster),
            Err(error) => error,
        };
        if !matches!(error, ClusterError::Unreachable { .. }) || Instant::now() > deadline {
            return Err(error.into());
        }
        if !std::mem::replace(&mut told, true) {
            let seconds = SCHEDULER.as_secs();
            run.warn(format!("{error}; waiting for it, {seconds} s at most"))
                .await?;
        }
        tokio::select! {
            () = run.stop.asked() => return Err(run.interrupted()),
            () = sleep(PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Environment, Overrides};
    use language::PipelineOptions;

    fn decided(flags: &[(&str, &str)], rows: &[Option<u64>]) -> (RunMode, String) {
        let mut given = Overrides::default();
        for (name, value) in flags {
            match *name {
                "cluster" => given.cluster.scheduler = Some(String::from(*value)),
                name => given.options.set(name, value).unwrap(),
            }
        }
        let environment = Environment::default();
        let options = PipelineOptions::default();
        let settings = RunSettings::resolve(&given, &environment, &options, 8 << 30).unwrap();
        let estimates: Vec<Estimate> = rows
            .iter()
            .map(|rows| Estimate {
                table: String::from("t"),
                rows: *rows,
                bytes: None,
                exact: true,
                from: String::from("the files' own statistics"),
            })
            .collect();
        let (mode, decision) = decide(&settings, &estimates);
        (mode, decision.reason)
    }

    #[test]
    fn rows_above_the_threshold_go_to_the_cluster_if_there_is_one() {
        let cluster = ("cluster", "there:50050");
        let (mode, reason) = decided(&[cluster], &[Some(700_000), Some(300_001)]);
        assert_eq!(mode, RunMode::Cluster);
        assert_eq!(
            reason,
            "1,000,001 rows from the files' own statistics, above the threshold of 1,000,000"
        );
        let (mode, _) = decided(&[cluster], &[Some(1_000_000)]);
        assert_eq!(mode, RunMode::Local);
        let (mode, reason) = decided(&[], &[Some(2_000_000)]);
        assert_eq!(mode, RunMode::Local);
        assert!(reason.contains("no scheduler"), "{reason}");
        let (mode, _) = decided(&[cluster, ("threshold_rows", "10")], &[Some(11)]);
        assert_eq!(mode, RunMode::Cluster);
    }

    #[test]
    fn a_mode_that_is_asked_for_needs_no_rows() {
        let cluster = ("cluster", "there:50050");
        let (mode, reason) = decided(&[cluster, ("mode", "cluster")], &[None]);
        assert_eq!(
            (mode, reason.as_str()),
            (RunMode::Cluster, "asked for by --mode")
        );
        let (mode, _) = decided(&[cluster, ("mode", "local")], &[Some(u64::from(u32::MAX))]);
        assert_eq!(mode, RunMode::Local);
    }

    #[test]
    fn without_a_number_of_rows_a_run_stays_here() {
        let (mode, _) = decided(&[("cluster", "there:50050")], &[Some(5_000_000), None]);
        assert_eq!(mode, RunMode::Local);
    }
}
