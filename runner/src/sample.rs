//! The bundled sample: a Launchpad look-alike that the program starts for itself when nothing else is configured.
//!
//! Owns when the sample is used and what it fills in. What it serves is `standin`'s.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use standin::{Options, SAMPLE_END, SAMPLE_MEMBER, SAMPLE_START, Standin};

use super::error::RunError;
use crate::settings::Environment;
use language::{Definition, Provided, SourceKind, ValueOrigin};

/// Whether a run of `definition` reads the bundled sample: it reads Launchpad, and nothing says which one.
pub fn is_wanted(definition: &Definition, environment: &Environment) -> bool {
    environment.get("LP_WEB_ROOT").is_none_or(str::is_empty)
        && definition.sources().any(|source| {
            source
                .kind
                .value
                .eq_ignore_ascii_case(&SourceKind::Launchpad.to_string())
                && !source
                    .options
                    .iter()
                    .any(|option| option.key.value == "service_root")
        })
}

/// Fills in the parameters that the sample has an answer for and nobody gave.
pub fn fill(definition: &Definition, values: &mut BTreeMap<String, Provided>) {
    for (name, value) in [
        ("member", SAMPLE_MEMBER),
        ("data_date_start", SAMPLE_START),
        ("data_date_end", SAMPLE_END),
    ] {
        if definition
            .parameters
            .iter()
            .any(|parameter| parameter.name == name && parameter.required)
        {
            values
                .entry(String::from(name))
                .or_insert_with(|| Provided {
                    text: String::from(value),
                    origin: ValueOrigin::Sample,
                });
        }
    }
}

/// Starts the sample's server on a free loopback port.
///
/// # Errors
/// [`RunError::Sample`] when no port can be had.
pub async fn start() -> Result<Standin, RunError> {
    Standin::start(
        Options::default(),
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    )
    .await
    .map_err(RunError::Sample)
}
