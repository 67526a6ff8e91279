//! Integration tests of the `runner` crate.

mod library;
mod store;
mod stream;
