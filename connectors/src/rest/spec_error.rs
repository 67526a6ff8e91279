//! What is wrong with a spec, by file, line and key.

use std::fmt;
use std::ops::Range;

use crate::option::hint;
use language::nearest;

/// One thing wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecProblem {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The key or the table on that line, where there is one.
    pub key: String,
    /// What is wrong, and the name that was probably meant.
    pub message: String,
}

/// Everything wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// The file, or the name of the built-in spec.
    pub file: String,
    /// At least one problem, in the order of the file.
    pub problems: Vec<SpecProblem>,
}

impl std::error::Error for SpecError {}

impl fmt::Display for SpecError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let SpecProblem {
                line,
                column,
                key,
                message,
            } = problem;
            write!(formatter, "{separator}{}:{line}:{column}: ", self.file)?;
            if !key.is_empty() {
                write!(formatter, "`{key}`: ")?;
            }
            formatter.write_str(message)?;
        }
        Ok(())
    }
}

/// Places a message at a span of the file.
pub(crate) fn problem(text: &str, span: &Range<usize>, message: String) -> SpecProblem {
    let start = text.floor_char_boundary(span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let source_line = text[line_start..].lines().next().unwrap_or_default();
    let key = source_line.split('=').next().unwrap_or_default();
    let is_value = key.trim_start().starts_with(['"', '\'', ']', '}']);
    SpecProblem {
        line: text[..line_start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        key: if is_value {
            ""
        } else {
            key.trim().trim_matches(['[', ']'])
        }
        .to_owned(),
        message,
    }
}

/// The problem that the TOML reader reports, with a suggestion for a mistyped key.
pub(crate) fn from_toml(text: &str, error: &toml::de::Error) -> SpecProblem {
    let mut message = error.message().trim().to_owned();
    let mut names = error.message().split('`').skip(1).step_by(2);
    if error.message().starts_with("unknown")
        && let Some(wrong) = names.next()
    {
        message.push_str(&hint(nearest(wrong, names)));
    }
    problem(text, &error.span().unwrap_or(0..0), message)
}
