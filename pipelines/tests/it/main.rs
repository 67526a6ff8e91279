//! Integration tests of the `pipelines` crate.

mod store;
