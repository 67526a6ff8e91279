//! Integration tests of the `pipelines` crate.

mod language;
mod store;
