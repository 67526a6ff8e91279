//! What every process that plans or executes needs, composed once.
//!
//! The `pipelines` command, the scheduler and the executor all build their DataFusion sessions here, from one list
//! of functions and one memory budget, so that a query means the same thing wherever it runs.
//!
//! Owns: the session ([`session()`]), the registration list ([`register_functions`]), the memory budget ([`Budget`]), the
//! process's memory ([`memory`]), the way to the cluster ([`cluster`]), and folders and files of one user ([`private`]).
//! Does not own: the command line, the state of a run, tables, sources.

mod bounded;
mod budget;
mod chain;
pub mod cluster;
mod configuration;
mod functions;
mod limits;
pub mod memory;
mod parquet;
mod pool;
pub mod private;
mod scans;
mod session;
mod settings;
mod spill;
mod standstill;
mod storage;
mod types;

pub use budget::{Budget, JoinStrategy, fair_pool};
pub use chain::chain;
pub use functions::{FunctionNames, function_names, register_functions};
pub use limits::{LimitError, raise_open_files, require_threads};
pub use scans::is_scan;
pub use session::{SessionOptions, runtime, scheduler_state, session, session_state};
pub use settings::lifted;
pub use standstill::{Standstill, standstill};
