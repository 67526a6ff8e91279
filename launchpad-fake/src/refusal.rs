//! Answers that are not what was asked for: the statuses and texts of the service's errors.

/// An answer other than 200 that the service gives on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 301 or 303 to an absolute link.
    Redirect {
        /// The status.
        status: u16,
        /// Where to.
        location: String,
    },
    /// 400 with this text.
    BadRequest(String),
    /// 401 with this text.
    Unauthorized(String),
    /// 404: `object` has nothing named `name`.
    NotFound {
        /// The kind of the object that was asked.
        object: &'static str,
        /// The name that it does not know.
        name: String,
    },
    /// 405.
    MethodNotAllowed,
    /// 410: the account of this name is suspended.
    Suspended(String),
    /// 500 with the name of an exception.
    Failure(&'static str),
    /// 501: the fake does not do what the real service would do here.
    NotImitated(String),
    /// 503: the query took too long.
    TimedOut,
}

impl Refusal {
    /// Nothing named `name` in `object`.
    pub(crate) fn not_found(object: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound {
            object,
            name: name.into(),
        }
    }

    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Redirect { status, .. } => *status,
            Self::BadRequest(_) => 400,
            Self::Unauthorized(_) => 401,
            Self::NotFound { .. } => 404,
            Self::MethodNotAllowed => 405,
            Self::Suspended(_) => 410,
            Self::Failure(_) => 500,
            Self::NotImitated(_) => 501,
            Self::TimedOut => 503,
        }
    }

    /// The body.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Redirect { .. } | Self::MethodNotAllowed => String::new(),
            Self::BadRequest(text) | Self::Unauthorized(text) | Self::NotImitated(text) => {
                text.clone()
            }
            Self::NotFound { object, name } => format!("Object: <{object} object>, name: '{name}'"),
            Self::Suspended(name) => format!("User is suspended: ~{name}"),
            Self::Failure(exception) => (*exception).to_owned(),
            Self::TimedOut => "RequestExpired: request expired.".to_owned(),
        }
    }
}
