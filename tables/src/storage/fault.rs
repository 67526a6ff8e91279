//! Why an object store did not do what it was asked, and what a user can do about it.

use std::fmt;

/// Why an object store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectFault {
    /// There is nothing to sign requests with.
    NoCredentials {
        /// The variables that would give some.
        variables: &'static str,
    },
    /// There is no such bucket or container.
    NoBucket,
    /// The credentials are wrong, or do not allow it.
    Denied {
        /// Where the credentials come from.
        variables: &'static str,
    },
    /// Too many requests, and trying again did not help.
    Throttled {
        /// How often it was asked in vain.
        tries: u64,
    },
    /// It does not answer, or answers with a fault of its own, and trying again did not help.
    Unavailable {
        /// How often it was asked in vain.
        tries: u64,
    },
    /// Something else; the source says what.
    Other,
}

impl fmt::Display for ObjectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials { variables } => {
                write!(f, "there are no credentials; set {variables}")
            }
            Self::NoBucket => f.write_str(
                "there is no such bucket; make it, or check its name, the region and the endpoint",
            ),
            Self::Denied { variables } => write!(
                f,
                "access is denied; check {variables}, and that they may read, write, list and delete there"
            ),
            Self::Throttled { tries } => write!(
                f,
                "the storage asks for fewer requests, {tries} times in a row; run again later, or with fewer files"
            ),
            Self::Unavailable { tries } => write!(
                f,
                "the storage does not answer, or with a fault of its own, {tries} times in a row; run again when it \
                 works, which first puts in order what this run leaves"
            ),
            Self::Other => f.write_str("the storage failed"),
        }
    }
}
