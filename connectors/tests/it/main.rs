//! The REST engine and the Launchpad spec against real HTTP on loopback.

mod crawl;
mod faults;
mod flow;
mod formats;
mod fuzz;
mod memory;
mod options;
mod page;
mod paging;
mod property;
mod recorded;
mod server;
mod support;
mod tracker;
