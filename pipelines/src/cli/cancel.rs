//! `pipelines cancel RUN`: stops a run wherever its process is, and its jobs on the cluster. Owns how it is told.

use runner::cancel::{Cancelling, PATIENCE};
use runner::error::{ErrorKind, RunError};
use runner::quantity::count;
use runner::settings::ClusterPlace;
use runner::store::RunState;

use super::exit::ExitStatus;
use super::flags::ClusterFlags;
use super::session::Session;

/// Which run.
#[derive(Debug, clap::Args)]
pub(super) struct CancelArguments {
    /// The run's id, or the beginning of it
    run: String,
    /// The cluster on which the jobs of a dead run are cancelled.
    #[command(flatten)]
    cluster: ClusterFlags,
}

pub(super) async fn cancel(
    session: &Session,
    arguments: &CancelArguments,
) -> Result<ExitStatus, RunError> {
    let printer = session.printer;
    let cancelling = Cancelling::ask(&session.state_dir(), &arguments.run).await?;
    let run = cancelling.run().clone();
    if cancelling.has_process() {
        printer.say(format_args!(
            "asked process {} on {} to stop run {}",
            run.owner.pid, run.owner.host, run.id
        ));
    } else {
        let place = ClusterPlace::resolve(&arguments.cluster.overrides(), &session.environment);
        if let Some((jobs @ 1.., cluster)) = cancelling.cancel_jobs(&place).await? {
            printer.say(format_args!(
                "cancelled {} at {}",
                count(jobs, "job"),
                cluster.url()
            ));
        }
    }
    match cancelling.end().await? {
        RunState::Running => {
            printer.warning(format_args!(
                "run {} goes on: its process did not stop within {} s",
                run.id,
                PATIENCE.as_secs()
            ));
            Ok(ExitStatus::Error(ErrorKind::Transient))
        }
        state => {
            printer.say(format_args!("run {} is {state}", run.id));
            Ok(match state {
                RunState::Cancelled => ExitStatus::Success,
                _ => ExitStatus::Error(ErrorKind::Failed),
            })
        }
    }
}
