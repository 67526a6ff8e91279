//! The cluster, as a client sees it: what a session for it is, how a plan gets there, and how its result comes back.
//!
//! Owns everything that client, scheduler and executor must agree on (codec, settings, limits), submission, and watching
//! the executors while a job runs. Does not try again: whether rows of a failed job may be asked for again, and where
//! they are staged then, is known to the run.
//!
//! Ballista computes, and is believed in nothing else. A job in which an executor is lost may hang or give rows twice
//! (docs/cluster.md), so a job that loses one is cancelled and ends with an error.

mod admission;
mod authority;
mod client;
mod codec;
mod connection;
mod embedded;
mod error;
mod failure;
mod job;
mod peer;
mod plan;
mod probe;
mod progress;
mod report;
mod serve;
mod session;
mod stall;
mod tls;
mod watch;
mod workers;

pub use admission::{Names, read_only};
pub use client::{Cluster, Executor, Job};
pub use codec::physical_codec;
pub use connection::MESSAGE_BYTES;
pub use embedded::{EMBEDDED, EXHAUSTED, EmbeddedCluster, end_with_parent};
pub use error::ClusterError;
pub use failure::failure_of;
pub use plan::{ClusterPlan, cluster_plan};
pub use probe::probe;
pub use progress::{JobProgress, JobSnapshot};
pub use report::{ExecutorReport, JobReport, REPORT, Work};
pub use serve::{Audience, Exposed, grpc_routes, serve, serve_numbers};
pub use session::process_config;
pub use tls::{Tls, TlsError};
pub use workers::Workers;
