//! Whatever dies while a job runs, the published table is the one of an undisturbed run, and the run ends by itself.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use rstest::rstest;
use testkit::cluster::{Cluster, http_get};
use testkit::{Child, Outcome, Workspace, wait_for};

use super::cluster::{SORTED, readings};
use super::launchpad::workspace;
use super::published::contents;
use super::signals::run_in;

/// A moment of the first try.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// The job was sent.
    Submitted,
    /// An executor has shuffled data on its disk.
    Shuffling,
    /// A file of the table is being staged.
    Writing,
}

/// A cluster of three, and a workspace with a pipeline that takes some seconds on it. The pipeline has run here once.
pub(super) struct Scene {
    pub(super) cluster: Cluster,
    workspace: Workspace,
    expected: std::collections::BTreeMap<String, Vec<Vec<u8>>>,
}

impl Scene {
    pub(super) fn new() -> anyhow::Result<Option<Self>> {
        match Cluster::start(env!("CARGO_BIN_EXE_pipelines"), 3, 1)? {
            Some(cluster) => Ok(Some(Self::on(cluster)?)),
            None => Ok(None),
        }
    }

    /// The same with every executor on a host of its own.
    fn on_hosts() -> anyhow::Result<Option<Self>> {
        match Cluster::start_on_hosts(env!("CARGO_BIN_EXE_pipelines"), 3, 1)? {
            Some(cluster) => Ok(Some(Self::on(cluster)?)),
            None => Ok(None),
        }
    }

    fn on(cluster: Cluster) -> anyhow::Result<Self> {
        let workspace = workspace()?.with("PIPELINES_SCHEDULER", cluster.address());
        readings(&workspace, 6, 25_000)?;
        workspace.write("p.sql", SORTED)?;
        workspace
            .run(["run", "p.sql", "--mode", "local"])?
            .expect(0, &[]);
        let expected = contents(&workspace.path().join("table"))?;
        std::fs::remove_dir_all(workspace.path().join("table"))?;
        std::fs::remove_dir_all(workspace.path().join(".table.spillway"))?;
        Ok(Self {
            cluster,
            workspace,
            expected,
        })
    }

    pub(super) fn start(&self) -> anyhow::Result<Child> {
        self.workspace
            .start(["run", "p.sql", "--mode", "cluster", "--restart"])
    }

    /// Starts a run and waits for that moment of it. A machine may be so quick that the run ended before the moment was
    /// seen; then there is another one.
    pub(super) fn at(&self, moment: Moment) -> anyhow::Result<Child> {
        let staging = self.workspace.path().join(".table.spillway/staging");
        for _ in 0..20 {
            let before = self.cluster.files_of(0);
            let mut run = self.start()?;
            wait_for("that moment of the run", || {
                let seen = match moment {
                    Moment::Submitted => run.said().contains("cluster ("),
                    Moment::Shuffling => {
                        let now = self.cluster.files_of(0);
                        now.iter().any(|file| !before.contains(file))
                    }
                    Moment::Writing => staged(&staging, "rows-1"),
                };
                (seen || !run.runs().is_ok_and(|runs| runs)).then_some(())
            })?;
            if run.runs()? {
                return Ok(run);
            }
            self.check(&run.wait()?)?;
        }
        anyhow::bail!("every run ended before {moment:?} was seen")
    }

    /// The run ended well, and the table is that of a run without faults.
    pub(super) fn check(&self, ended: &Outcome) -> anyhow::Result<()> {
        assert_eq!(
            ended.code,
            Some(0),
            "{}{}",
            ended.all(),
            self.cluster.said()
        );
        let found = contents(&self.workspace.path().join("table"))?;
        assert!(found == self.expected, "other bytes: {}", ended.all());
        Ok(())
    }
}

/// The run missed the executor that it lost at that moment. Late in a job it may have given all that it had to give.
fn assert_missed(moment: Moment, ended: &Outcome) {
    let needed = matches!(moment, Moment::Shuffling);
    assert!(
        !needed || ended.stderr.contains("try 1 of"),
        "{}",
        ended.all()
    );
}

/// Whether a try staged any file.
fn staged(staging: &Path, folder: &str) -> bool {
    let Ok(attempts) = std::fs::read_dir(staging) else {
        return false;
    };
    attempts
        .flatten()
        .any(|attempt| attempt.path().join(folder).exists())
}

#[rstest]
fn a_killed_executor_costs_a_try(
    #[values(Moment::Shuffling, Moment::Writing)] moment: Moment,
) -> anyhow::Result<()> {
    let Some(mut scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(moment)?;
    scene.cluster.kill_executor(0)?;
    let ended = run.wait()?;
    scene.check(&ended)?;
    assert_missed(moment, &ended);
    Ok(())
}

#[test]
fn a_paused_executor_costs_a_try_and_does_no_harm_when_it_goes_on() -> anyhow::Result<()> {
    let Some(scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(Moment::Shuffling)?;
    scene.cluster.signal_executor(0, "STOP")?;
    wait_for("the second try", || {
        run.said().contains("try 1 of").then_some(())
    })?;
    scene.cluster.signal_executor(0, "CONT")?;
    let ended = run.wait()?;
    scene.check(&ended)?;
    assert!(ended.stderr.contains("no heartbeat"), "{}", ended.all());
    Ok(())
}

#[rstest]
fn a_scheduler_that_was_started_again_costs_a_try(
    #[values(Moment::Shuffling, Moment::Writing)] moment: Moment,
) -> anyhow::Result<()> {
    let Some(mut scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(moment)?;
    scene.cluster.kill_scheduler()?;
    scene.cluster.start_scheduler()?;
    let ended = run.wait()?;
    scene.check(&ended)
}

#[test]
fn a_scheduler_that_was_away_for_a_quarter_of_a_minute_does_not_cost_the_run() -> anyhow::Result<()>
{
    let Some(mut scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(Moment::Shuffling)?;
    scene.cluster.kill_scheduler()?;
    let away = Instant::now();
    wait_for("the end of the time without a scheduler", || {
        (away.elapsed() > Duration::from_secs(15)).then_some(())
    })?;
    scene.cluster.start_scheduler()?;
    let ended = run.wait()?;
    scene.check(&ended)
}

#[rstest]
fn a_killed_driver_leaves_nothing_that_harms_the_next_run(
    #[values(Moment::Shuffling, Moment::Writing)] moment: Moment,
) -> anyhow::Result<()> {
    let Some(scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(moment)?;
    run.kill()?;
    let ended = scene.start()?.wait()?;
    scene.check(&ended)
}

#[rstest]
fn an_executor_that_is_asked_to_end_costs_no_try_and_is_gone_afterwards(
    #[values(Moment::Shuffling, Moment::Writing)] moment: Moment,
) -> anyhow::Result<()> {
    let Some(scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(moment)?;
    scene.cluster.signal_executor(0, "TERM")?;
    let ended = run.wait()?;
    scene.check(&ended)?;
    assert!(!ended.stderr.contains("try 1 of"), "{}", ended.all());
    wait_for("two executors", || {
        (scene.cluster.listed()? == 2).then_some(())
    })?;
    let again = scene.start()?.wait()?;
    scene.check(&again)?;
    assert!(!again.stderr.contains("try 1 of"), "{}", again.all());
    Ok(())
}

#[test]
fn an_executor_that_is_asked_twice_ends_at_once() -> anyhow::Result<()> {
    let Some(scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(Moment::Shuffling)?;
    scene.cluster.signal_executor(0, "TERM")?;
    wait_for("the executor's answer", || {
        scene.cluster.said().contains("asked to end").then_some(())
    })?;
    scene.cluster.signal_executor(0, "TERM")?;
    let ended = run.wait()?;
    scene.check(&ended)?;
    assert_missed(Moment::Shuffling, &ended);
    Ok(())
}

#[test]
fn executors_join_and_leave_during_one_run() -> anyhow::Result<()> {
    let Some(mut scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(Moment::Shuffling)?;
    scene.cluster.add_executor()?;
    scene.cluster.kill_executor(1)?;
    wait_for("the second try", || {
        run.said().contains("try 1 of").then_some(())
    })?;
    scene.cluster.add_executor()?;
    scene.cluster.kill_executor(2)?;
    let ended = run.wait()?;
    scene.check(&ended)
}

#[rstest]
fn a_cancelled_run_leaves_no_job(#[values(false, true)] dead: bool) -> anyhow::Result<()> {
    let Some(scene) = Scene::new()? else {
        return Ok(());
    };
    let run = scene.at(Moment::Shuffling)?;
    let id = run_in(&run.said()).map(str::to_owned);
    let id = id.with_context(|| run.said())?;
    let run = match dead {
        true => {
            run.kill()?;
            None
        }
        false => Some(run),
    };
    let cancelled = scene.workspace.run(["cancel", &id])?;
    cancelled.expect(0, &[&format!("run {id} is cancelled")]);
    if let Some(run) = run {
        run.wait()?.expect(143, &["nothing was published"]);
    }
    wait_for("a scheduler without jobs at work", || {
        let metrics = http_get(&scene.cluster.address(), "/metrics")?;
        metrics
            .contains("\nspillway_scheduler_jobs_running 0\n")
            .then_some(())
    })?;
    assert!(!scene.workspace.path().join("table").exists());
    let again = scene.start()?.wait()?;
    scene.check(&again)
}

#[rstest]
fn an_executor_whose_link_is_cut_costs_a_try_and_works_again_when_it_is_mended(
    #[values(Moment::Shuffling, Moment::Writing)] moment: Moment,
) -> anyhow::Result<()> {
    let Some(scene) = Scene::on_hosts()? else {
        return Ok(());
    };
    let network = scene.cluster.network().context("there is no network")?;
    let run = scene.at(moment)?;
    network.cut(0)?;
    let ended = run.wait()?;
    scene.check(&ended)?;
    assert_missed(moment, &ended);

    network.mend(0)?;
    // Whether or not the scheduler dropped it meanwhile, it takes part in the next run.
    scene.cluster.wait_for_executors(3)?;
    let again = scene.start()?.wait()?;
    scene.check(&again)
}
