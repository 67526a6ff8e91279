//! A run between its begin and its end: what it stages in the table's control folder, and the one decision that publishes
//! it. Owns the life of a run; the writing is `write`, what becomes of published files is `commit`.

mod inputs;
mod publish;
mod remote;
mod run;

pub use inputs::StagedInputs;
pub use publish::CommitInfo;
pub use remote::RemoteAttempt;
pub(crate) use run::{AtRest, Purpose};
pub use run::{Staged, Staging};
