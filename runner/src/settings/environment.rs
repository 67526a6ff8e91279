//! The environment, as data: whoever starts runs reads it, once, and gives it to them. Owns which variables there are; what
//! they mean is for others.

use std::path::PathBuf;

use super::{SettingError, layer};
use language::{PIPELINE_OPTIONS, PipelineOptions, nearest};
use tables::{EnvironmentVariables, StorageOptions};

/// Variables of the product, without the prefix, that are settings of the command.
const COMMAND: &[&str] = &[
    "DEFINITIONS",
    "STATE_DIR",
    "LOG",
    "LOG_FORMAT",
    // Read where the clients of object stores are made.
    "STORAGE_MAX_RETRIES",
    "STORAGE_RETRY_TIMEOUT",
    "SCHEDULER",
    "CLUSTER_TLS",
    "EXECUTOR_MEMORY",
    "JOB_TIMEOUT",
];

/// Options of a pipeline that are settings of a run too. As a variable each has the prefix and capitals.
fn settings() -> impl Iterator<Item = &'static str> {
    let settings = PIPELINE_OPTIONS.iter();
    settings
        .filter(|option| option.flag.is_some())
        .map(|option| option.name)
}

/// Prefix of the product's variables.
const PREFIX: &str = "PIPELINES_";

/// Prefix, after [`PREFIX`], of a variable that sets a parameter: `PIPELINES_SET__MEMBER=ada-example`.
const PARAMETER: &str = "SET__";

/// The environment, as it was when the process started.
#[derive(Debug, Clone, Default)]
pub struct Environment(EnvironmentVariables);

impl Environment {
    /// Whether the variable has a value that is not Unicode.
    pub fn is_unreadable(&self, name: &str) -> bool {
        self.0.unreadable().contains(name)
    }

    /// The value of any variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.texts().get(name).map(String::as_str)
    }

    /// The value of one of the product's variables, named without its prefix.
    pub fn own(&self, name: &str) -> Option<&str> {
        self.get(&format!("{PREFIX}{name}"))
    }

    /// How object stores are reached; clients and counts are new each time.
    pub fn storage(&self) -> StorageOptions {
        StorageOptions::from_environment(&self.0)
    }

    /// Whether colours are unwanted (`NO_COLOR` set to anything, or a dumb terminal).
    pub fn no_color(&self) -> bool {
        self.get("NO_COLOR").is_some_and(|value| !value.is_empty())
            || self.get("TERM") == Some("dumb")
    }

    /// Parameters of a pipeline that the environment sets, names in lower case.
    pub fn parameters(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.texts().iter().filter_map(|(name, value)| {
            let parameter = name.strip_prefix(PREFIX)?.strip_prefix(PARAMETER)?;
            Some((parameter.to_ascii_lowercase(), value.clone()))
        })
    }

    /// The settings of a run that the environment gives.
    pub(super) fn options(&self) -> Result<PipelineOptions, SettingError> {
        let given =
            settings().filter_map(|name| Some((name, self.own(&name.to_ascii_uppercase())?)));
        layer(given, |name| {
            format!("{PREFIX}{}", name.to_ascii_uppercase())
        })
    }

    /// Folders to look for definitions in, from `PIPELINES_DEFINITIONS` (separated as `PATH` is).
    pub fn definitions(&self) -> Vec<PathBuf> {
        self.own("DEFINITIONS")
            .map(|paths| std::env::split_paths(paths).collect())
            .unwrap_or_default()
    }

    /// Refuses variables with the product's prefix that mean nothing: a misspelt one would be ignored in silence.
    ///
    /// # Errors
    /// Names the first such variable, and the nearest one that exists.
    pub fn check(&self) -> Result<(), SettingError> {
        if let Some(name) = self
            .0
            .unreadable()
            .iter()
            .find(|name| name.starts_with(PREFIX) || name.starts_with("LP_"))
        {
            return Err(SettingError::NotUnicode { name: name.clone() });
        }
        let settings = settings().map(|name| name.to_ascii_uppercase());
        let known: Vec<String> = COMMAND
            .iter()
            .map(|name| String::from(*name))
            .chain(settings)
            .collect();
        for name in self.0.texts().keys() {
            let Some(own) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if !own.starts_with(PARAMETER) && !known.iter().any(|known| known == own) {
                let suggestion = nearest(own, known.iter().map(String::as_str))
                    .map(|near| format!("{PREFIX}{near}"));
                return Err(SettingError::UnknownVariable {
                    name: name.clone(),
                    suggestion,
                });
            }
        }
        Ok(())
    }
}

impl<V> FromIterator<V> for Environment
where
    EnvironmentVariables: FromIterator<V>,
{
    fn from_iter<I: IntoIterator<Item = V>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    #[test]
    fn a_misspelt_variable_is_refused() {
        let error = environment(&[("PIPELINES_MEMROY", "1GiB")])
            .check()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable PIPELINES_MEMROY means nothing; did you mean PIPELINES_MEMORY?"
        );
        environment(&[("PIPELINES_SET__MEMBER", "ada-example")])
            .check()
            .unwrap();
    }

    #[test]
    fn parameters_come_from_the_environment_in_lower_case() {
        let environment = environment(&[
            ("PIPELINES_SET__DATA_DATE_START", "2024-01-01"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(
            environment.parameters().collect::<Vec<_>>(),
            [("data_date_start".into(), "2024-01-01".into())]
        );
    }
}
