//! Every request of a run on S3 kills the process that sent it (SIGKILL), before the request takes effect or after:
//! another process recovers and runs again, the table is the one of a run without faults, and no upload is left.

use testkit::s3::{Behaviour, Fault, Request, Verdict};

use crate::child::{self, Task, said};
use crate::lake::{Lake, MODES};
use crate::s3_processes::{Victim, ended, first_run};
use crate::support::{TestResult, covered};

/// When the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Its request has arrived and does nothing.
    Before,
    /// Its request has taken effect, and is not answered.
    After,
}

/// Kills a child at every request of its run, one after the other, until a run comes to its end.
async fn killed_at_every_request(mode: usize, when: When) -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    first_run(&lake).await?;
    let first = lake.server.snapshot();
    let second = async || child::second(&lake.table()?, "run-2", mode).await;
    lake.server.reset();
    second().await?;
    let expected = lake.rows()?;
    let requests = lake.server.requests().len();

    let mut points = 0;
    for at in 0.. {
        lake.server.restore(&first);
        lake.server.reset();
        let victim = Victim::default();
        let killer = victim.clone();
        let kill = move |_: &Request| {
            killer.send("KILL");
            Verdict::Cut
        };
        let fault = match when {
            When::Before => Fault::before(kill),
            When::After => Fault::after(kill),
        };
        let fault = lake.server.inject(fault.at(at).times(1));
        let child = Task::new(lake.location(), "run-2", mode).start(lake.server.environment())?;
        victim.is(&child)?;
        let outcome = ended(child).await?;
        let context = format!("{}, request {at}, {when:?}", MODES[mode]);
        lake.rows()
            .map_err(|error| format!("T-1: {context}: {error}"))?;
        if fault.fired() == 0 {
            let said = said(&outcome).ok_or_else(|| outcome.all())?;
            assert!(said.starts_with("committed"), "{context}: {said}");
            break;
        }
        assert_eq!(outcome.code, None, "{context}: {}", outcome.all());
        points += 1;
        lake.server.clear_faults();
        let table = lake.table()?;
        table.recover().await?;
        assert!(table.recover().await?.is_clean(), "T-6: {context}");
        lake.assert_at_rest().await?;
        second().await?;
        assert_eq!(lake.rows()?, expected, "T-2: {context}");
        lake.assert_at_rest().await?;
    }
    covered(&format!(
        "{}: a process killed at {points} of {requests} requests, {when:?}",
        MODES[mode]
    ));
    // A run is not the same to the request: sends of different files overtake each other.
    assert!(points > 15 && points + 2 > requests, "only {points} kills");
    Ok(())
}

/// The tests of one mode: one for each moment, so that a test runner has them side by side.
macro_rules! every_request_of {
    ($($run:ident: $mode:expr;)*) => {$(
        mod $run {
            use super::*;

            #[tokio::test]
            async fn a_process_killed_before_any_request_takes_effect_is_recovered_from() -> TestResult {
                killed_at_every_request($mode, When::Before).await
            }

            #[tokio::test]
            async fn a_process_killed_after_any_request_took_effect_is_recovered_from() -> TestResult {
                killed_at_every_request($mode, When::After).await
            }
        }
    )*};
}

every_request_of! {
    append: 0;
    overwrite: 1;
    replace: 2;
    merge: 3;
}
