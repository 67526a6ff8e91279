//! Why a fake does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a fake does not start. Nothing is served then; correct the cause and start again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another port, or 0 for any free one")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The address listened on makes no URL.
    #[error("{address} makes no URL; listen on an IPv4 address, or an IPv6 address without a zone")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why it makes none.
        #[source]
        source: url::ParseError,
    },
    /// An option is out of its range.
    #[error("option {option} is {value}, but must be {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The value given.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A folder or file of recorded responses cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A recorded response is not JSON.
    #[error("{} is not JSON; record it again, or take it out of the folder", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        #[source]
        source: serde_json::Error,
    },
    /// A recorded response is JSON, but not one that can be served.
    #[error("{}: {problem}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// Two files claim the same address.
    #[error("{} and {} have the same self_link {self_link}; keep one of them", first.display(), second.display())]
    Duplicate {
        /// The file read first.
        first: PathBuf,
        /// The file read second.
        second: PathBuf,
        /// Their address.
        self_link: String,
    },
    /// The generator could not finish.
    #[error("the generator stopped before it was done")]
    Generator {
        /// Why its task ended.
        #[source]
        source: tokio::task::JoinError,
    },
}
