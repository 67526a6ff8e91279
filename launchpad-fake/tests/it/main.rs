//! The fake over real HTTP: what a client of the web service could notice.

mod addresses;
mod errors;
mod faults;
mod key_sets;
mod launchpadlib;
mod paging;
mod people;
mod replay;
mod searching;
mod support;
