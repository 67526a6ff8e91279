//! Why a run has no memory.

use std::io;

/// Why a share cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ShareRefused {
    /// Other runs have too much of it.
    #[error(
        "a run asks for {} MiB of memory, and {} of the {} MiB of this process are other runs'", asked >> 20, taken >> 20, total >> 20
    )]
    NotLeft {
        /// What was asked for, bytes.
        asked: u64,
        /// What others have, bytes.
        taken: u64,
        /// What there is, bytes.
        total: u64,
    },
    /// The ceiling cannot be watched.
    #[error("the memory of this process cannot be watched")]
    Unwatched(#[source] io::Error),
}
