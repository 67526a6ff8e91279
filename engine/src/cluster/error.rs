//! What can go wrong between this process and the cluster, by what can be done about it.

use datafusion::error::DataFusionError;
use files::ReadError;

use super::tls::TlsError;

/// Why a job gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The scheduler cannot be reached, or does not answer as one.
    #[error(
        "the scheduler at {url} does not answer: {reason}; check the address, that `scheduler` runs there, and whether it \
         asks for certificates"
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The address is not one.
    #[error("{url:?} is not the address of a scheduler: {reason}; {advice}")]
    Address {
        /// As given.
        url: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// The certificates of this process cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A cluster on this machine could not be started.
    #[error("a cluster on this machine cannot be started: {reason}")]
    Embedded {
        /// Why not.
        reason: String,
    },
    /// The scheduler refused the plan.
    #[error("the scheduler at {url} refused the plan: {reason}")]
    Refused {
        /// Its address.
        url: String,
        /// What it said.
        reason: String,
    },
    /// No executor is registered.
    #[error("the scheduler at {url} has no executors; start `executor` with its address")]
    NoExecutors {
        /// The scheduler's address.
        url: String,
    },
    /// The plan is larger than a message may be.
    #[error(
        "the plan takes {bytes} bytes, and a message to the scheduler may have {limit}; read fewer files at once, or run \
         with --mode local"
    )]
    PlanTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The plan cannot be made, or cannot be written down for other processes.
    #[error("the plan cannot be sent to a cluster")]
    Plan(#[source] Box<DataFusionError>),
    /// The job ended with an error.
    #[error("job {job} failed: {reason}")]
    JobFailed {
        /// The scheduler's name for it.
        job: String,
        /// What the scheduler said.
        reason: String,
    },
    /// A file that an executor read is not what it was declared, or found, to be.
    #[error(transparent)]
    Read(Box<ReadError>),
    /// The scheduler forgot the job: it was started again.
    #[error("the scheduler at {url} does not know job {job} any more: it was started again")]
    JobForgotten {
        /// The scheduler's name for the job.
        job: String,
        /// The scheduler's address.
        url: String,
    },
    /// An executor was lost while the job ran, which was cancelled then.
    #[error("executor {executor} was lost while job {job} ran: {reason}")]
    ExecutorLost {
        /// The executor, as host and port.
        executor: String,
        /// The scheduler's name for the job.
        job: String,
        /// How it was noticed.
        reason: String,
    },
    /// Executors ended because they passed their memory ceiling.
    #[error("memory is exhausted: an executor passed its ceiling and ended; {executors} are left")]
    Exhausted {
        /// How many are left.
        executors: usize,
    },
    /// Nothing of the job was at work for long although there were executors for it; it was cancelled.
    #[error(
        "job {job} stood still for {seconds} s: nothing of it was at work, and executors had nothing else to do"
    )]
    Stalled {
        /// The scheduler's name for it.
        job: String,
        /// For how long.
        seconds: u64,
    },
    /// The job did not end in time, and was cancelled.
    #[error("job {job} did not end within {seconds} s")]
    Timeout {
        /// The scheduler's name for it.
        job: String,
        /// The limit.
        seconds: u64,
    },
    /// The job ended, but its result could not be fetched from the executor that has it.
    #[error("the result of job {job} could not be fetched from {executor}: {reason}")]
    Fetch {
        /// The scheduler's name for the job.
        job: String,
        /// The executor, as host and port.
        executor: String,
        /// What happened.
        reason: String,
    },
}

impl ClusterError {
    /// Whether the same plan may succeed if it is sent again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NoExecutors { .. }
            | Self::JobForgotten { .. }
            | Self::ExecutorLost { .. }
            | Self::Timeout { .. }
            | Self::Stalled { .. }
            | Self::Fetch { .. } => true,
            Self::JobFailed { reason, .. } => is_transient_failure(reason),
            Self::Exhausted { .. }
            | Self::Address { .. }
            | Self::Tls(_)
            | Self::Embedded { .. }
            | Self::Refused { .. }
            | Self::PlanTooLarge { .. }
            | Self::Read(_)
            | Self::Plan(_) => false,
        }
    }
}

impl ClusterError {
    /// Whether a task had not enough memory for what its operators had to hold.
    pub fn is_exhausted(&self) -> bool {
        match self {
            Self::Exhausted { .. } => true,
            Self::Read(read) => read.is_of_memory,
            // An error of the engine as its text, or as Rust shows its variants.
            Self::JobFailed { reason, .. } => {
                reason.contains("Resources exhausted") || reason.contains("ResourcesExhausted(")
            }
            _ => false,
        }
    }
}

/// Ballista gives an error as its text. These are faults of the machine or the network; everything else would fail again.
fn is_transient_failure(reason: &str) -> bool {
    const FAULTS: [&str; 8] = [
        "FetchFailed",
        "FetchPartition",
        "GrpcConnection",
        "tonic",
        "transport error",
        "Connection refused",
        "Cancelled",
        "ExecutorLost",
    ];
    FAULTS.iter().any(|fault| reason.contains(fault))
}
