//! The variables `LP_…`: which Launchpad is read, and with which credentials.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::option::OptionValue;
use crate::source::{Surroundings, Variables};

/// Which Launchpad: the name or the address of its root.
pub(super) const WEB_ROOT: &str = "LP_WEB_ROOT";
const API_VERSION: &str = "LP_API_VERSION";

/// What the environment says of it.
pub(super) fn surroundings(variable: Variables<'_>) -> Surroundings {
    let mut options = BTreeMap::new();
    for (option, name) in [
        ("service_root", WEB_ROOT),
        ("version", API_VERSION),
        ("consumer", "LP_APP_ID"),
    ] {
        if let Some(value) = variable(name) {
            options.insert(option.to_owned(), OptionValue::Plain(value));
        }
    }
    for (option, name) in [
        ("token", "LP_ACCESS_TOKEN"),
        ("token_secret", "LP_ACCESS_TOKEN_SECRET"),
    ] {
        if let Some(value) = variable(name) {
            options.insert(
                option.to_owned(),
                OptionValue::Secret(SecretString::from(value)),
            );
        }
    }
    let root = variable(WEB_ROOT).unwrap_or_else(|| "production".to_owned());
    let mut identity = BTreeMap::from([(WEB_ROOT.to_owned(), root)]);
    identity.extend(variable(API_VERSION).map(|version| (API_VERSION.to_owned(), version)));
    Surroundings { options, identity }
}
