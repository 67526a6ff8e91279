//! Files read as tables, each input with what is right.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests fail by panicking, and the engine's sessions are above this crate"
)]

mod ahead;
mod avro;
mod bad_rows;
mod binary;
mod cases;
mod csv;
mod fuzz;
mod hostile;
mod json;
mod json_path;
mod origin;
mod parquet;
mod slices;
mod text;
mod web;
