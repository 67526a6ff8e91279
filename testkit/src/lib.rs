//! Real processes and services for tests of the whole product; never shipped.
//!
//! Owns starting the product's binaries in a folder of their own, reading what they say, and stopping them, and the
//! services that they talk to, and the data of TPC-H. What is expected of them is the tests'.

pub mod certificates;
pub mod cluster;
mod command;
mod file_calls;
mod folder;
pub mod fuzz;
pub mod network;
mod ports;
mod process;
mod python;
pub mod raw_http;
pub mod s3;
mod services;
pub mod tpch;
pub mod web;

pub use command::Workspace;
pub use file_calls::{CallFault, FileCalls};
pub use folder::Folder;
pub use ports::free_port;
pub use process::{Child, Outcome, wait_for};
pub use python::Python;
pub use services::Service;
