//! What an executor does that passes its memory ceiling: its tasks end as exhausted, and where that does not free the memory
//! in time, the process ends.
//!
//! Owns the reaction; measuring and the moment are `engine::memory`'s.

use std::future::Future;
use std::time::Duration;

use datafusion::common::{DataFusionError, Result};
use engine::memory::{Exceeded, Reaction};
use tokio::sync::watch;

/// Below this the program itself does not fit.
pub(crate) const SMALLEST: u64 = 192 << 20;

/// Memory that tasks let go of is the system's again by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// As the runs' for an exhausted budget.
const EXIT_CODE: i32 = 8;

/// The tasks of an executor, all of which end when it passes its ceiling.
#[derive(Debug)]
pub(crate) struct Ceiling(watch::Sender<Option<Exceeded>>);

impl Default for Ceiling {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Ceiling {
    /// Does the work of a task.
    ///
    /// # Errors
    /// The work's, and [`DataFusionError::ResourcesExhausted`] when the ceiling is passed meanwhile.
    pub(crate) async fn under<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut passed = self.0.subscribe();
        tokio::select! {
            biased;
            _ = passed.changed() => {
                let exceeded = passed.borrow().as_ref().map(ToString::to_string);
                Err(DataFusionError::ResourcesExhausted(exceeded.unwrap_or_default()))
            }
            done = work => done,
        }
    }
}

impl Reaction for Ceiling {
    fn stop(&self, exceeded: &Exceeded) {
        self.0.send_replace(Some(exceeded.clone()));
    }

    fn say(&self, exceeded: &Exceeded) {
        tracing::error!(%exceeded, "memory is exhausted, and ending the tasks did not free it: this executor ends");
    }

    fn record(&self, _: &Exceeded) {}

    fn exit_code(&self) -> i32 {
        EXIT_CODE
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn exceeded() -> Exceeded {
        Exceeded {
            ceiling: 1 << 30,
            resident: 2 << 30,
            operators: Vec::new(),
            functions: vec![String::from("repeat")],
            queries: String::new(),
        }
    }

    #[tokio::test]
    async fn tasks_of_now_end_as_exhausted_and_later_ones_are_not_touched() {
        let ceiling = Arc::new(Ceiling::default());
        let (begun, begins) = tokio::sync::oneshot::channel();
        let task = tokio::spawn({
            let ceiling = Arc::clone(&ceiling);
            async move {
                ceiling
                    .under::<()>(async move {
                        begun.send(()).unwrap();
                        std::future::pending().await
                    })
                    .await
            }
        });
        begins.await.unwrap();
        ceiling.stop(&exceeded());
        let error = task.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, DataFusionError::ResourcesExhausted(why) if why.contains("`repeat`")),
            "{error}"
        );
        assert_eq!(ceiling.under(async { Ok(7) }).await.unwrap(), 7);
    }
}
