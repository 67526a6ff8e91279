//! Integration tests of the `pipelines` crate.

mod fuzz;
mod run;
