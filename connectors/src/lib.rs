//! Sources and sinks: the kinds there are, reading those that this process reads itself and lands, such as paginated JSON
//! APIs described by a spec, and tables as the first place where rows go.
//!
//! [`sink`] says what a place for rows is. [`source`] says what a kind of source is, [`Registry`] which there are: files, Launchpad, any API with a spec, and for programs
//! that hold their data [`MemorySource`]. [`extract`] says how records come. Never decides when anything runs, where
//! records are kept or what is published: those are the caller's.

pub mod extract;
mod failure;
mod files;
mod launchpad;
mod memory;
pub mod metrics;
pub mod option;
mod registry;
mod rest;
pub mod sample;
pub mod sink;
pub mod source;
mod staged;
mod table;
mod table_source;
mod window;

pub use files::Files;
pub use launchpad::Launchpad;
pub use memory::{Batches, MemorySource};
pub use registry::Registry;
pub use rest::spec_error::{SpecError, SpecProblem};
pub use rest::{Api, Rest};
pub use table_source::Tables;
