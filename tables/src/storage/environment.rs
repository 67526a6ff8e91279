//! The environment of a process as text. What its variables mean is for others.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

/// The variables of an environment. A value that is not Unicode is an error only where it is used.
#[derive(Clone, Default)]
pub struct EnvironmentVariables {
    texts: BTreeMap<String, String>,
    unreadable: BTreeSet<String>,
}

impl EnvironmentVariables {
    /// The variables whose values are text.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// The names of the variables whose values are not Unicode.
    pub fn unreadable(&self) -> &BTreeSet<String> {
        &self.unreadable
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for EnvironmentVariables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            // Nothing is called so that is not Unicode.
            let Ok(name) = name.into().into_string() else {
                continue;
            };
            match value.into().into_string() {
                Ok(value) => drop(environment.texts.insert(name, value)),
                Err(_) => drop(environment.unreadable.insert(name)),
            }
        }
        environment
    }
}

impl fmt::Debug for EnvironmentVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.debug_struct("EnvironmentVariables")
            .field("texts", &self.texts.len())
            .finish_non_exhaustive()
    }
}
