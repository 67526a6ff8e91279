//! Integration tests of the `pipelines` crate.

mod fuzz;
mod language;
mod run;
mod store;
