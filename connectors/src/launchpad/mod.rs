//! Launchpad: a spec on the REST engine, and what the surroundings of a run say of it.
//!
//! What is asked of Launchpad is in `specs/launchpad.toml`: the addresses behind the names that launchpadlib uses,
//! OAuth with the PLAINTEXT method, paging, what is read of a bug. Here are the variables `LP_…`, and the sample that
//! is read where nothing says which Launchpad.

#[cfg(feature = "sample")]
mod sample;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;

use crate::extract::Extract;
use crate::option::{OptionProblem, OptionSpec, OptionValue};
use crate::rest::Api;
use crate::source::{Declared, OpenError, Read, SourceFactory, Surroundings, Variables};

/// Which Launchpad: the name or the address of its root.
const WEB_ROOT: &str = "LP_WEB_ROOT";
const API_VERSION: &str = "LP_API_VERSION";

/// `LAUNCHPAD`.
#[derive(Debug, Clone)]
pub struct Launchpad(Api);

impl Default for Launchpad {
    fn default() -> Self {
        let text = include_str!("../../specs/launchpad.toml");
        let api = Api::new("LAUNCHPAD", "specs/launchpad.toml", text);
        // The text is part of the program and a test parses it.
        Self(api.unwrap_or_else(|error| unreachable!("BUG: {error}")))
    }
}

impl SourceFactory for Launchpad {
    fn kind(&self) -> &str {
        self.0.kind()
    }

    fn summary(&self) -> &str {
        self.0.summary()
    }

    fn locations(&self) -> Vec<(String, String)> {
        self.0.locations()
    }

    fn options(&self) -> Vec<OptionSpec> {
        self.0.options()
    }

    fn read(&self, declared: &Declared) -> Read {
        self.0.read(declared)
    }

    fn check(&self, declared: &Declared) -> Vec<OptionProblem> {
        self.0.check(declared)
    }

    fn open(&self, declared: &Declared) -> Result<Arc<dyn Extract>, OpenError> {
        self.0.open(declared)
    }

    fn surroundings(&self, variable: Variables<'_>) -> Surroundings {
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

    #[cfg(feature = "sample")]
    fn sample(
        &self,
        options: &[&str],
        variable: Variables<'_>,
    ) -> Option<Arc<dyn crate::sample::Sample>> {
        sample::wanted(options, variable)
    }
}

#[cfg(test)]
mod tests {
    use super::Launchpad;
    use crate::source::SourceFactory;

    #[test]
    fn the_built_in_spec_has_no_mistakes() {
        assert_eq!(Launchpad::default().locations()[0].0, "bugs");
    }
}
