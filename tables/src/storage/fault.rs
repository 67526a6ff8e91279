//! Sorting the errors of object stores by what a user can do about them. The client hides the status behind a text, so
//! the text is what is looked at.

use std::fmt;

use object_store::Error as ObjectError;

use super::Provider;
use crate::store::StoreError;

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

/// The variables that hold a provider's credentials.
pub(super) fn credential_variables(provider: Provider) -> &'static str {
    match provider {
        Provider::Aws | Provider::R2 | Provider::S3Compatible => {
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or \
             AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN"
        }
        Provider::Google => "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT",
        Provider::Azure => {
            "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or AZURE_STORAGE_SAS_TOKEN, or \
             AZURE_CLIENT_ID with AZURE_CLIENT_SECRET and AZURE_TENANT_ID)"
        }
        Provider::Memory => "nothing",
    }
}

/// Whether an error, whatever its variant, says that the bucket is missing. A missing object says so otherwise.
pub(crate) fn is_missing_bucket(error: &ObjectError) -> bool {
    let text = error.to_string();
    text.contains("NoSuchBucket") || text.contains("ContainerNotFound")
}

/// How often the request was sent, as the client's error says it.
fn tries(text: &str) -> u64 {
    let retries = text
        .split_once(", after ")
        .and_then(|(_, rest)| rest.split_once(" retries"))
        .and_then(|(number, _)| number.parse::<u64>().ok());
    retries.unwrap_or(0).saturating_add(1)
}

/// The error of this crate for one of the client. `location` names the object, with its bucket.
pub(crate) fn fault(
    action: &'static str,
    location: impl Into<String>,
    provider: Provider,
    error: ObjectError,
) -> StoreError {
    let variables = credential_variables(provider);
    let text = error.to_string();
    let tries = tries(&text);
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let fault = if is_missing_bucket(&error) {
        ObjectFault::NoBucket
    } else if any(&[
        "169.254.169.254",
        "metadata.google.internal",
        "169.254.170.",
    ]) {
        ObjectFault::NoCredentials { variables }
    } else if matches!(
        error,
        ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. }
    ) || any(&[
        "<Code>AccessDenied",
        "<Code>SignatureDoesNotMatch",
        "<Code>InvalidAccessKeyId",
        "AuthorizationFailure",
        "AuthenticationFailed",
    ]) {
        ObjectFault::Denied { variables }
    } else if any(&[
        "SlowDown",
        "ServerBusy",
        "429 Too Many",
        "503 Service",
        "TooManyRequests",
    ]) {
        ObjectFault::Throttled { tries }
    } else if tries > 1 || any(&["status code: 5", "error sending request"]) {
        ObjectFault::Unavailable { tries }
    } else {
        ObjectFault::Other
    };
    StoreError::Object {
        action,
        location: location.into(),
        fault,
        source: Box::new(error),
    }
}
