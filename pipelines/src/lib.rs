//! The `pipelines` command: its words, the terminal, signals and exit codes.
//!
//! The way of the data through one run is `runner`'s; `ARCHITECTURE.md` tells it in the same order.

pub mod cli;
pub mod shown;
pub mod signals;
pub mod terminal;

/// The pipelines that come with the product.
pub const BUILTIN: &[language::search::Builtin] = &[language::search::Builtin {
    name: "launchpad_bugs",
    text: include_str!("../definitions/launchpad_bugs.sql"),
}];
