//! Integration tests of the `runner` crate.

mod store;
