//! The pipelines product: definitions, parameters, runs, run store, command line.

pub mod language;
pub mod store;
