//! Messages about a definition: where, what, and what was probably meant.
//!
//! Owns their form on a terminal and as JSON. Finding mistakes is the other modules' work.

use std::fmt;
use std::sync::Arc;

use datafusion::sql::sqlparser::tokenizer::Span;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::text::{Place, SourceText};

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The definition cannot be used.
    Error,
    /// The definition can be used but probably does not do what its author thinks.
    Warning,
}

/// One message about a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in one lowercase sentence.
    pub message: String,
    /// The file, or the name of a built-in definition.
    pub file: String,
    /// Where in the file; `None` if the mistake is not in the text (an unknown `--set`).
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The name that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place of a text.
    pub fn error(source: &SourceText, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            file: source.file().to_owned(),
            place: source.place(span),
            suggestion: None,
            help: None,
        }
    }

    /// A warning at a place of a text.
    pub fn warning(source: &SourceText, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(source, span, message)
        }
    }

    /// Adds the name that was probably meant, if there is one.
    #[must_use]
    pub fn with_suggestion(mut self, suggestion: Option<&str>) -> Self {
        self.suggestion = suggestion.map(str::to_owned);
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(place) = &self.place {
            write!(formatter, ":{}:{}", place.line, place.column)?;
        }
        let warning = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(formatter, ": {warning}{}", self.message)?;
        let mut margin = String::from(" ");
        if let Some(place) = &self.place {
            let number = place.line.to_string();
            margin = " ".repeat(number.len() + 1);
            write!(
                formatter,
                "\n{margin}|\n{number} | {}\n{margin}| {}{}",
                place.source_line,
                blank_before(place),
                "^".repeat(cells_of_caret(place))
            )?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(formatter, "\n{margin}= did you mean `{suggestion}`?")?;
        }
        if let Some(help) = &self.help {
            write!(formatter, "\n{margin}= help: {help}")?;
        }
        Ok(())
    }
}

/// As many blank cells as the text before the caret takes; a tab stays a tab.
fn blank_before(place: &Place) -> String {
    let mut blank = String::new();
    for character in place.source_line.chars().take(place.offset()) {
        if character == '\t' {
            blank.push('\t');
        } else {
            blank.push_str(&" ".repeat(character.width().unwrap_or(0)));
        }
    }
    blank
}

/// The width on a terminal of the characters that are meant.
fn cells_of_caret(place: &Place) -> usize {
    let meant: String = place
        .source_line
        .chars()
        .skip(place.offset())
        .take(place.caret_width)
        .collect();
    meant.width().max(1)
}

/// All messages about one definition, in the order of their places. Never empty as an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Sorts messages by place and drops repetitions.
    pub fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|left, right| {
            // A message without a place comes after those with one.
            let placed = left.place.is_none().cmp(&right.place.is_none());
            placed.then_with(|| left.place.cmp(&right.place))
        });
        diagnostics.dedup();
        Self(diagnostics)
    }

    /// The messages.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n\n")?;
            }
            diagnostic.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Messages being collected about one text.
#[derive(Debug)]
pub(super) struct Report {
    source: Arc<SourceText>,
    found: Vec<Diagnostic>,
    /// Mistakes beyond those that anybody would read.
    more: usize,
}

/// Mistakes of one text that are told one by one.
const TOLD: usize = 200;

impl Report {
    pub(super) fn new(source: &Arc<SourceText>) -> Self {
        Self {
            source: Arc::clone(source),
            found: Vec::new(),
            more: 0,
        }
    }

    pub(super) fn source(&self) -> &Arc<SourceText> {
        &self.source
    }

    /// An error at a place, not collected yet.
    pub(super) fn error_at(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(&self.source, span, message)
    }

    /// Collects an error.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(self.error_at(span, message));
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < TOLD {
            self.found.push(diagnostic);
        } else {
            self.more += 1;
        }
    }

    /// The collected errors, or nothing if there are none.
    pub(super) fn finish(mut self) -> Result<(), Diagnostics> {
        if self.more > 0 {
            let message = format!("{} more mistakes, which may follow from these", self.more);
            let nowhere = Span::empty();
            self.found.push(self.error_at(nowhere, message));
        }
        if self.found.is_empty() {
            Ok(())
        } else {
            Err(Diagnostics::new(self.found))
        }
    }
}
