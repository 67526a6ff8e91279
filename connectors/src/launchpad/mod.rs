//! Launchpad: a spec on the REST engine, and what the surroundings of a run say of it.
//!
//! What is asked of Launchpad is in `specs/launchpad.toml`: the addresses behind the names that launchpadlib uses,
//! OAuth with the PLAINTEXT method, paging, what is read of a bug. `variables` has what the environment says of it,
//! `sample` what is read where nothing says which Launchpad.

#[cfg(feature = "sample")]
mod sample;
mod variables;

use std::sync::Arc;

use crate::extract::Extract;
use crate::option::{OptionProblem, OptionSpec};
use crate::rest::Api;
use crate::source::{Declared, OpenError, Read, SourceFactory, Surroundings, Variables};

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
        variables::surroundings(variable)
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
