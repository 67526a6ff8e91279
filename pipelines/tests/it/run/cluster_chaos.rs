//! Faults in many orders: one or two in each scenario, drawn from its seed. Whatever they are, the run ends by itself, or is
//! asked for again after its own death, and the table is the one of a run without faults.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rstest::rstest;
use testkit::{Child, wait_for};

use super::cluster_faults::{Moment, Scene};

/// What happens to whom.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL to an executor.
    Kill,
    /// SIGKILL to an executor, and another one joins.
    Replace,
    /// SIGSTOP to an executor for longer than it may be silent, then SIGCONT.
    Pause,
    /// SIGTERM to an executor.
    Drain,
    /// SIGKILL to the scheduler, and it is started again.
    Scheduler,
    /// SIGKILL to the run, and it is asked for again.
    Driver,
}

const FAULTS: [Fault; 6] = [
    Fault::Kill,
    Fault::Replace,
    Fault::Pause,
    Fault::Drain,
    Fault::Scheduler,
    Fault::Driver,
];
const MOMENTS: [Moment; 3] = [Moment::Submitted, Moment::Shuffling, Moment::Writing];

impl Fault {
    /// Lets it happen to the executor of that number, or to whom it is for.
    fn strike(self, scene: &mut Scene, executor: usize, run: Child) -> anyhow::Result<Child> {
        match self {
            Self::Kill => scene.cluster.kill_executor(executor)?,
            Self::Replace => {
                scene.cluster.kill_executor(executor)?;
                scene.cluster.add_executor()?;
            }
            Self::Pause => {
                scene.cluster.signal_executor(executor, "STOP")?;
                wait_for("the end of the try", || {
                    let said = run.said();
                    let ended = said.contains("no heartbeat") || said.contains("✓");
                    ended.then_some(())
                })?;
                scene.cluster.signal_executor(executor, "CONT")?;
            }
            Self::Drain => scene.cluster.signal_executor(executor, "TERM")?,
            Self::Scheduler => {
                scene.cluster.kill_scheduler()?;
                scene.cluster.start_scheduler()?;
            }
            Self::Driver => {
                run.kill()?;
                return scene.start();
            }
        }
        Ok(run)
    }
}

#[rstest]
fn any_faults_leave_the_table_of_a_run_without_them(
    #[values(
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
        25, 26, 27, 28, 29
    )]
    seed: u64,
) -> anyhow::Result<()> {
    let Some(mut scene) = Scene::new()? else {
        return Ok(());
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Each kind at each moment once, the rest as it comes.
    let index = usize::try_from(seed)?;
    let first = FAULTS[index % FAULTS.len()];
    let moment = MOMENTS[index / FAULTS.len() % MOMENTS.len()];
    let second =
        (seed >= 18 || random.random_bool(0.3)).then(|| FAULTS.choose(&mut random).copied());
    let victim = random.random_range(0..3);

    let run = scene.at(moment)?;
    let mut run = first.strike(&mut scene, victim, run)?;
    let mut struck = vec![first];
    // The second one may come too late; the first never does.
    if let Some(second) = second.flatten()
        && run.runs()?
    {
        run = second.strike(&mut scene, (victim + 1) % 3, run)?;
        struck.push(second);
    }
    let ended = run.wait()?;
    scene.check(&ended)?;
    eprintln!("seed {seed}: {struck:?} at {moment:?}");
    Ok(())
}
