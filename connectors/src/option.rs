//! Options of sources as data: what there is to say about one, what was given for it, what is wrong with that.
//!
//! Owns their shapes. Which options a kind has is the kind's own.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;

/// An option of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name.
    pub name: String,
    /// Whether it must be given.
    pub required: bool,
    /// Whether its value is a secret, given as a reference and never shown.
    pub secret: bool,
    /// What holds where it is not given.
    pub default: Option<String>,
    /// What it means.
    pub doc: String,
}

/// The value of an option. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum OptionValue {
    /// A value that may be shown.
    Plain(String),
    /// A secret, resolved.
    Secret(SecretString),
}

impl From<&str> for OptionValue {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

/// Options as given; an option whose value is not known yet has `None`.
pub type Given = BTreeMap<String, Option<OptionValue>>;

/// What is wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionProblem {
    /// The option; `location` for the location itself.
    pub option: String,
    /// What is wrong with it.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl OptionProblem {
    /// A problem, with the name that was probably meant where there is one.
    pub fn new(option: &str, message: impl Into<String>, suggestion: Option<&str>) -> Self {
        Self {
            option: option.to_owned(),
            message: message.into(),
            suggestion: suggestion.map(str::to_owned),
        }
    }
}

impl fmt::Display for OptionProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "`{}` {}{}",
            self.option,
            self.message,
            hint(self.suggestion.as_deref())
        )
    }
}

/// `; did you mean `x`?`, or nothing.
pub(crate) fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}
