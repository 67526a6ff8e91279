//! SQL functions of Spillway, one file per function.
//!
//! Owns the functions that pipelines need and DataFusion does not have: [`week_of`](mod@week_of),
//! [`local_time`](mod@local_time), [`valid_zone`](mod@valid_zone), [`link_name`](mod@link_name) and
//! [`json_pick`](mod@json_pick).
//! Owns no I/O, no session and no state: every function is immutable, so the planner may fold it and
//! a cluster may run it anywhere. `docs/functions.md` is the user's page; `slt/` holds what it promises.
//!
//! ```
//! use datafusion::prelude::SessionContext;
//!
//! # fn main() -> datafusion::error::Result<()> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let mut context = SessionContext::new();
//! udfs::register_all(&mut context)?;
//!
//! let batches = context
//!     .sql("SELECT week_of(to_timestamp('2024-02-29T12:00:00Z')) AS week")
//!     .await?
//!     .collect()
//!     .await?;
//! let week = datafusion::arrow::util::pretty::pretty_format_batches(&batches)?.to_string();
//! assert!(week.contains("2024-02-26"), "{week}");
//! # Ok(())
//! # })
//! # }
//! ```

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;

mod instants;
pub mod json_pick;
pub mod link_name;
pub mod local_time;
mod signature;
mod texts;
pub mod valid_zone;
pub mod week_of;

/// Every function of this crate, in the order of its name.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::from(json_pick::JsonPick::new())),
        Arc::new(ScalarUDF::from(link_name::LinkName)),
        Arc::new(ScalarUDF::from(local_time::LocalTime)),
        Arc::new(ScalarUDF::from(valid_zone::ValidZone)),
        Arc::new(ScalarUDF::from(week_of::WeekOf)),
    ]
}

/// Registers [`all`] functions in `registry`: a `SessionContext` or a `SessionState`, of the program,
/// the scheduler or an executor. A function of the same name is replaced, so a second call changes
/// nothing.
///
/// # Errors
/// What the registry says if it takes no functions; those before it stay registered.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in all() {
        registry.register_udf(function)?;
    }
    Ok(())
}
