//! What is wrong with an option, for a caller that says it in words of its own.

use std::fmt;

/// Something in the options that does not fit. `name` and `candidates` let a caller say "did you mean …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionProblem {
    /// The option, by its name in pipelines.
    pub option: &'static str,
    /// The offending word: a column, a mode; `None` when the option as a whole is at fault.
    pub name: Option<String>,
    /// What is wrong and what to do.
    pub reason: String,
    /// What could have stood there instead of `name`.
    pub candidates: Vec<String>,
}

impl fmt::Display for OptionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} {name:?}: {}", self.option, self.reason)?,
            None => write!(f, "{}: {}", self.option, self.reason)?,
        }
        if !self.candidates.is_empty() {
            write!(f, " (there are: {})", self.candidates.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for OptionProblem {}

/// A problem with `option`, at `name` in it.
pub(super) fn problem(
    option: &'static str,
    name: Option<&str>,
    reason: impl Into<String>,
    candidates: &[String],
) -> OptionProblem {
    OptionProblem {
        option,
        name: name.map(str::to_owned),
        reason: reason.into(),
        candidates: candidates.to_vec(),
    }
}
