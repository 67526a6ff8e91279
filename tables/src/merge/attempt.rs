//! The attempts at a merge, each with less memory than the one before. Owns the sessions they run in.

use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

/// Rows in a batch when memory is short.
const LOW_MEMORY_BATCH_ROWS: usize = 1024;
/// How often, and after which pause, is looked whether a failed plan gave its memory back.
const RELEASE_POLLS: usize = 100;
const RELEASE_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How much a plan may ask for; each is tried when the one before exhausted the memory pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// As the session is set.
    Usual,
    /// One stream and small batches, and one step after the other: fewer operators share the memory pool, and each asks
    /// for less at a time.
    OneStream,
    /// The same with joins that sort both sides, which spill, instead of holding the keys of one.
    SortedJoins,
}

impl Attempt {
    pub(super) const ALL: [Self; 3] = [Self::Usual, Self::OneStream, Self::SortedJoins];

    /// Ends the names of the staging folders: the attempt before may have begun files.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::OneStream => "-again",
            Self::SortedJoins => "-sorted",
        }
    }

    pub(super) fn session(self, ctx: &SessionContext) -> SessionContext {
        let state = ctx.state();
        let config = state.config().clone();
        let config = match self {
            Self::Usual => return ctx.clone(),
            Self::OneStream => config.with_target_partitions(1),
            Self::SortedJoins => {
                // The planner takes a sort-merge join only for several streams.
                let mut config = config.with_target_partitions(2);
                config.options_mut().optimizer.prefer_hash_join = false;
                config
            }
        };
        SessionContext::new_with_state(
            SessionStateBuilder::new_from_existing(state)
                .with_config(config.with_batch_size(LOW_MEMORY_BATCH_ROWS))
                .build(),
        )
    }
}

/// The same session with joins that hold the keys of one side: only those tell a scan which keys can match, so that it
/// leaves out files by their footers.
pub(super) fn with_hash_joins(ctx: &SessionContext) -> SessionContext {
    let state = ctx.state();
    let mut config = state.config().clone();
    config.options_mut().optimizer.prefer_hash_join = true;
    SessionContext::new_with_state(
        SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .build(),
    )
}

/// Whether memory did not suffice.
pub(super) fn is_exhausted(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// The tasks of a plan that failed end a moment after it did, and hold memory until then. Waits for that, but not for
/// memory that others of the process hold.
pub(super) async fn memory_given_back(ctx: &SessionContext) {
    let pool = &ctx.runtime_env().memory_pool;
    for _ in 0..RELEASE_POLLS {
        if pool.reserved() == 0 {
            return;
        }
        tokio::time::sleep(RELEASE_POLL_INTERVAL).await;
    }
}
