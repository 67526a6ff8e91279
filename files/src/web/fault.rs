//! What goes wrong between here and a web server. Owns its words, and which of it is worth another attempt.

use std::error::Error as StdError;
use std::time::Duration;
use std::{fmt, io};

use datafusion::object_store::Error;

use crate::error::ReadError;

/// What went wrong with an address.
#[derive(Debug)]
pub(super) struct Fault {
    url: String,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.what)
    }
}

impl StdError for Fault {}

/// Why a request gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may give something another time.
    Passing {
        what: String,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
        /// Whether nobody was there to be asked.
        unreachable: bool,
    },
    /// There is no such file.
    Missing(String),
    /// It is for others.
    Denied(String),
    /// It is not the file that was seen.
    Changed(String),
    /// Anything else.
    Lasting(String),
}

impl Failure {
    pub(super) fn passing(what: impl Into<String>) -> Self {
        Self::Passing {
            what: what.into(),
            after: None,
            unreachable: false,
        }
    }

    /// Of a request that was not answered, or not to its end.
    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        // The innermost cause is the one that says what happened: "connection refused".
        let mut innermost: &dyn StdError = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let what = match () {
            () if error.is_timeout() => "the server does not answer in time".to_owned(),
            () if error.is_connect() => format!("the server cannot be reached: {innermost}"),
            () => format!("the connection broke: {innermost}"),
        };
        match error.is_builder() {
            true => Self::Lasting(what),
            false => Self::Passing {
                what,
                after: None,
                unreachable: error.is_connect(),
            },
        }
    }

    /// As an error of a store, after so many attempts.
    pub(super) fn of_store(self, url: &str, attempts: usize) -> Error {
        let fault = |what: String| {
            let times = match attempts {
                0 | 1 => String::new(),
                attempts => format!(", {attempts} times in a row"),
            };
            Box::new(Fault {
                url: url.to_owned(),
                what: what + &times,
            })
        };
        let path = || url.to_owned();
        match self {
            Self::Missing(what) => Error::NotFound {
                path: path(),
                source: fault(what),
            },
            Self::Denied(what) => Error::PermissionDenied {
                path: path(),
                source: fault(what),
            },
            Self::Changed(what) => Error::Precondition {
                path: path(),
                source: fault(what),
            },
            Self::Passing { what, .. } | Self::Lasting(what) => Error::Generic {
                store: "HTTP",
                source: fault(what),
            },
        }
    }
}

/// What went wrong on a web server, if that is what an error is about: without the address, for who says which file it is.
pub(crate) fn told<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a str> {
    tables::causes(error).find_map(|cause| {
        let fault = cause.downcast_ref::<Fault>();
        fault.map(|fault| fault.what.as_str())
    })
}

/// What went wrong on a web server, if that is what an error is about, with the address.
pub(crate) fn as_read_error(error: &(dyn StdError + 'static)) -> Option<ReadError> {
    tables::causes(error).find_map(|cause| {
        let fault = cause.downcast_ref::<Fault>()?;
        let problem = format!("cannot be read: {}", fault.what);
        Some(ReadError::of_file(&fault.url, problem))
    })
}

/// An error of a store as one of reading.
pub(crate) fn as_io(error: Error) -> io::Error {
    match told(&error) {
        Some(what) => io::Error::other(what.to_owned()),
        None => io::Error::from(error),
    }
}
