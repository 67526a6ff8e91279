//! Control files in JSON, of versions that this program knows. What is in each is its own to say.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{VERSION, damaged};
use crate::error::{Error, Result};
use crate::store::max_bytes;

/// A control file in JSON. Its fields are parsed by `crate::parse`; this is what must hold among them.
pub(crate) trait ControlFile: Serialize + DeserializeOwned {
    /// Says what does not fit together.
    fn check(&self) -> std::result::Result<(), String>;
}

/// Spells a control object, for people to read too.
///
/// # Errors
/// [`Error::Unrecordable`] for what could not be read back: it must not be written, least of all as a decision.
pub(crate) fn to_json<T: ControlFile>(key: &str, value: &T) -> Result<bytes::Bytes> {
    let refused = |reason: String| Error::Unrecordable {
        path: key.to_owned(),
        reason,
    };
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| refused(error.to_string()))?;
    text.push(b'\n');
    let limit = max_bytes(key);
    if text.len() as u64 > limit {
        return Err(refused(format!(
            "it would have {} bytes, and {limit} are the most that are read",
            text.len()
        )));
    }
    parsed::<T>(&text).map_err(refused)?;
    Ok(text.into())
}

fn parsed<T: ControlFile>(content: &[u8]) -> std::result::Result<T, String> {
    let value: T = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    value.check()?;
    Ok(value)
}

/// Reads a control object of a version that this program knows.
pub(crate) fn from_json<T: ControlFile>(key: &str, content: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let Versioned { version } =
        serde_json::from_slice(content).map_err(|error| damaged(key, error))?;
    if version == 0 || version > VERSION {
        return Err(Error::UnknownVersion {
            path: key.to_owned(),
            found: version,
            supported: VERSION,
        });
    }
    parsed(content).map_err(|reason| damaged(key, reason))
}
