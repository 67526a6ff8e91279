//! A shape-faithful Launchpad API server over a deterministic generator, for the bundled sample and for tests.
//!
//! It answers as the real web service does where a client could notice: paging, parameter decoding,
//! error texts, tags, redirects, hidden rows, and on request the real service's failures
//! ([`Faults`]). Its people and bugs are invented ([`landmarks`] are those to rely on); with
//! [`Options::replay`] it serves recorded responses instead. It reads only: nothing can be changed.
//!
//! Known differences: a search does not filter by milestones, blueprints, branches, upstream status
//! and the like and says so with 501; collections that have no generated entries (attachments,
//! subscriptions, watches) are 404; questions and merge proposals are not served.

mod answer;
mod entries;
mod error;
mod faults;
mod generator;
mod json;
mod keys;
mod links;
mod oauth;
mod operations;
mod options;
mod paging;
mod parameters;
mod refusal;
mod replay;
mod request;
mod routes;
mod search;
mod search_cache;
mod server;
mod service;
mod stats;
mod wadl;

pub use error::Error;
pub use generator::landmarks;
pub use options::{Drift, Faults, OAuthRule, Options, RetryAfter};
pub use server::LaunchpadFake;
pub use stats::Stats;

/// Somebody who is related to every generated bug and takes part in about half of what happens.
pub const SAMPLE_MEMBER: &str = "ada-example";

/// The first day of the sample. Some of what is generated happened before it.
pub const SAMPLE_START: &str = "2025-01-01";

/// The day after the last day of the sample. Some of what is generated happens from it on.
pub const SAMPLE_END: &str = "2026-01-01";
