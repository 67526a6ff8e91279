//! Ports for processes that must be told one before they listen.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

/// Below the ports that the system gives to whoever asks for any, and to connections.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;
/// How many of them a process has for itself before it comes to those of the next.
const OF_A_PROCESS: u32 = 127;

/// A port on which nothing listens, which neither this process nor the system gives away again. Processes that run at the
/// same time look at different places.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id().wrapping_mul(OF_A_PROCESS);
    (0..COUNT)
        .map(|_| own.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("there is no free port")
}
