//! The Python of the tests: a virtual environment with what `scripts/python-requirements.txt` names, made by `scripts/test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The interpreter that `SPILLWAY_TEST_PYTHON` names.
#[derive(Debug, Clone)]
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// The interpreter; `None`, after saying so, when there is none and `SPILLWAY_REQUIRE_SERVICES` is not set.
    ///
    /// # Errors
    /// When there is none and the tests are told to require it.
    pub fn find() -> anyhow::Result<Option<Self>> {
        if let Some(interpreter) = std::env::var_os("SPILLWAY_TEST_PYTHON") {
            return Ok(Some(Self {
                interpreter: interpreter.into(),
            }));
        }
        missing("SPILLWAY_TEST_PYTHON").map(|()| None)
    }

    pub(crate) fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// Runs a script with arguments and returns what it printed.
    ///
    /// # Errors
    /// When it fails; the message has what it said.
    pub fn run(&self, script: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.interpreter)
            .arg("-c")
            .arg(script)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot start {}", self.interpreter.display()))?;
        if !output.status.success() {
            bail!(
                "the script failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Says that a test is skipped because `variable` is not set.
///
/// # Errors
/// When the tests are told to require it.
pub(crate) fn missing(variable: &str) -> anyhow::Result<()> {
    if std::env::var_os("SPILLWAY_REQUIRE_SERVICES").is_some() {
        bail!("{variable} is not set; run the tests with scripts/test");
    }
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("SKIPPED: {variable} is not set; run the tests with scripts/test");
    }
    Ok(())
}
