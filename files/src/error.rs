//! What is wrong with a file, and where. Owns the words of it, and that a message shows no more of the data than one value.

use std::fmt;

use datafusion::error::DataFusionError;
use serde::{Deserialize, Serialize};

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// Something in a file cannot be read as what it was declared, or found, to be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadError {
    /// The file, as the person named it.
    pub file: String,
    /// The line, from 1, as an editor counts.
    pub line: Option<u64>,
    /// The column of the table.
    pub column: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub help: Option<Box<str>>,
    /// Whether more memory would do.
    pub is_of_memory: bool,
    /// Where lines were counted from, if that is not the beginning of the file.
    #[serde(skip)]
    pub(crate) counted: Option<Box<Counted>>,
}

/// Where lines are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The byte of the file.
    pub from: u64,
    /// What ends a line.
    pub terminator: u8,
}

/// What is wrong with one value or one record, where the place is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes of the text that was looked at.
    pub at: usize,
    /// The column of the table.
    pub column: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// Something is wrong at that byte.
    pub fn new(at: usize, problem: impl Into<String>) -> Self {
        Self {
            at,
            column: None,
            problem: problem.into(),
            help: None,
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// In that column.
    #[must_use]
    pub fn in_column(mut self, column: &str) -> Self {
        self.column = Some(column.to_owned());
        self
    }
}

impl ReadError {
    /// Something is wrong with the file as a whole.
    pub fn of_file(file: &str, problem: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            problem: problem.into(),
            help: None,
            is_of_memory: false,
            counted: None,
        }
    }

    /// The reader of the file gave up.
    pub(crate) fn gave_up(file: &str) -> Self {
        Self::of_file(
            file,
            "its reader gave up: the file is damaged, or of a kind that is not known",
        )
    }

    /// A problem in a file, on that line if it has lines.
    pub(crate) fn of_problem(file: &str, line: Option<u64>, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            line,
            column: problem.column,
            problem: problem.problem,
            help: problem.help.map(String::into_boxed_str),
            is_of_memory: false,
            counted: None,
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into().into_boxed_str());
        self
    }

    /// More memory would do.
    #[must_use]
    pub fn of_memory(mut self) -> Self {
        self.is_of_memory = true;
        self.with_help("give more memory with `--memory`")
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// As it is shown: executors tell errors so.
impl fmt::Debug for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ReadError {}

impl From<ReadError> for DataFusionError {
    fn from(error: ReadError) -> Self {
        Self::External(Box::new(error))
    }
}

/// Columns that a message lists.
const LISTED: usize = 20;

/// Names of columns as a message lists them.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names = names.into_iter().take(LISTED);
    let names: Vec<String> = names.map(|name| format!("`{}`", shown(name))).collect();
    names.join(", ")
}

/// A value as a message shows it: its beginning, with nothing in it that a terminal would obey.
pub(crate) fn shown(value: &str) -> String {
    let mut shown = String::new();
    for (index, character) in value.chars().enumerate() {
        if index == SHOWN {
            shown.push('…');
            break;
        }
        match character {
            '`' => shown.push('`'),
            character if character.is_control() => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}
