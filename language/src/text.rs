//! The text of a definition as it may be shown: by line, with secrets hidden.
//!
//! Owns places and slices of the text. What is hidden is decided in `secret`.

use datafusion::sql::sqlparser::tokenizer::{Location, Span};
use serde::Serialize;

/// Characters of a line that are shown; of a longer one, so many around a place.
const LONG_LINE: usize = 1_000;

/// A place in the text of a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters (not bytes, not cells of a terminal), from 1.
    pub column: usize,
    /// The line, secrets overwritten with `*`; of a very long one the part around `column`.
    pub source_line: String,
    /// Characters of the line before that part.
    #[serde(skip)]
    before: usize,
    /// How many characters from `column` on are meant; at least 1.
    pub caret_width: usize,
}

impl Place {
    /// Characters of `source_line` before what is meant.
    pub(super) fn offset(&self) -> usize {
        self.column - 1 - self.before
    }
}

/// The lines of one definition, for showing. Secrets are already overwritten with `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    file: String,
    lines: Vec<String>,
    hidden: Vec<Span>,
}

impl SourceText {
    /// Takes the text apart and overwrites every part in `hidden`, keeping columns where they are.
    pub(super) fn new(file: String, text: &str, hidden: Vec<Span>) -> Self {
        let lines = text
            .lines()
            .zip(1_u64..)
            .map(|(line, number)| {
                if hidden.iter().all(|part| !crosses(*part, number)) {
                    return line.to_owned();
                }
                line.chars()
                    .zip(1_u64..)
                    .map(|(character, column)| {
                        let at = Location {
                            line: number,
                            column,
                        };
                        if hidden.iter().any(|part| covers(*part, at, character)) {
                            '*'
                        } else {
                            character
                        }
                    })
                    .collect()
            })
            .collect();
        Self {
            file,
            lines,
            hidden,
        }
    }

    /// What the text is called in messages: a path, or the name of a built-in definition.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where a span is, with its source line; `None` for a span that points nowhere.
    pub(super) fn place(&self, span: Span) -> Option<Place> {
        if span.start.line == 0 {
            return None;
        }
        let line = usize::try_from(span.start.line).ok()?;
        let whole = self.lines.get(line - 1).map_or("", String::as_str);
        let length = whole.chars().count();
        let column = usize::try_from(span.start.column)
            .ok()?
            .clamp(1, length + 1);
        let end = if span.end.line == span.start.line {
            usize::try_from(span.end.column).ok()?
        } else {
            whole.trim_end().chars().count() + 1
        };
        let caret_width = end.min(length + 1).saturating_sub(column).max(1);
        let (before, source_line) = if length <= LONG_LINE {
            (0, whole.to_owned())
        } else {
            let before = (column - 1).saturating_sub(LONG_LINE / 4);
            let part = whole.chars().skip(before).take(LONG_LINE);
            (before, part.collect())
        };
        Some(Place {
            line,
            column,
            caret_width: caret_width.min(LONG_LINE),
            source_line,
            before,
        })
    }

    /// The first line of what a span covers, secrets hidden.
    pub(super) fn slice(&self, span: Span) -> String {
        let Some(place) = self.place(span) else {
            return String::new();
        };
        place
            .source_line
            .chars()
            .skip(place.offset())
            .take(place.caret_width)
            .collect()
    }

    /// Whether any hidden part lies in `span`.
    pub(super) fn hides_in(&self, span: Span) -> bool {
        self.hidden
            .iter()
            .any(|part| part.start < span.end && span.start < part.end)
    }
}

/// Whether a part has characters on a line.
fn crosses(part: Span, line: u64) -> bool {
    part.start.line <= line && line <= part.end.line
}

/// Whether the character at a place is hidden by a part: all of it is but the quotes at its ends.
fn covers(part: Span, at: Location, character: char) -> bool {
    let first = at == part.start;
    let last = at.line == part.end.line && at.column.checked_add(1) == Some(part.end.column);
    part.start <= at && at < part.end && !((first || last) && matches!(character, '\'' | '"'))
}
