//! Memory of runs: their shares of what the process may hold, and the measuring.
//!
//! Owns who may have how much ([`ProcessMemory`]) and when extraction waits ([`MemoryMonitor`]). How a share is divided
//! among operators is `engine::Budget`'s.

mod monitor;
mod refused;
mod shares;

pub use monitor::{MemoryGate, MemoryMonitor, MemoryReport, Usage, available_bytes};
pub use refused::ShareRefused;
pub use shares::{LastWords, ProcessMemory, Record, Share};
