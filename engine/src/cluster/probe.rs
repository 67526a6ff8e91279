//! Whether somebody listens at an address.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connects, and hangs up. Says nothing of what the process does: the system accepts connections for one that is paused.
///
/// # Errors
/// When the connection is refused or takes longer than `patience`.
pub async fn probe(host: &str, port: u16, patience: Duration) -> io::Result<()> {
    timeout(patience, TcpStream::connect((host, port))).await??;
    Ok(())
}
