//! Sources that this process reads itself and lands: paginated JSON APIs described by a spec,
//! Launchpad among them.
//!
//! Owns what is asked of a server, in which order, how often and how an answer becomes
//! [`record::Record`]s. Never decides when anything runs, where records are kept or what is
//! published: those are the caller's.

pub mod extract;
mod failure;
pub mod launchpad;
pub mod metrics;
pub mod record;
mod rest;
pub mod source;
mod suggestion;
mod window;

pub use rest::retry::RetryPolicy;
pub use rest::spec_error::{SpecError, SpecProblem};
