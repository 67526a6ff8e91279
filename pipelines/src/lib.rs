//! The pipelines product: definitions, parameters, runs, run store, command line.
//!
//! The way of the data through one run is [`run`]; `ARCHITECTURE.md` tells it in the same order.

pub mod cli;
pub mod run;
pub mod settings;
pub mod shown;
pub mod signals;
pub mod store;
pub mod terminal;

/// The pipelines that come with the product.
pub const BUILTIN: &[language::search::Builtin] = &[language::search::Builtin {
    name: "launchpad_bugs",
    text: include_str!("../definitions/launchpad_bugs.sql"),
}];
