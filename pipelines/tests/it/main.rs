//! Integration tests of the `pipelines` crate.

mod language;
mod run;
mod store;
