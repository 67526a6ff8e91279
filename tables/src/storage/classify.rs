//! Sorting the errors of object stores by what a user can do about them. The client hides the status behind a text, so
//! the text is what is looked at.

use object_store::Error as ObjectError;

use super::fault::ObjectFault;
use super::provider::Provider;
use crate::store::StoreError;

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
    let variables = provider.credential_variables();
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
