//! Where the command's words go: data to standard output, everything else to standard error.
//!
//! Owns the two streams and the choice of colour. A reader that went away (`| head`) is not an error. Everything printed may
//! hold text from outside, so all of it goes through [`crate::shown`].

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::shown;
use runner::settings::Environment;

/// What begins every line of a message but the first.
const INDENT: &str = "  ";

/// What a command prints its data as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document on standard output.
    Json,
}

/// The command's voice.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    colour: bool,
}

impl Printer {
    /// A printer that colours standard error when it is a terminal and `NO_COLOR` is not set.
    pub fn new(environment: &Environment) -> Self {
        Self {
            colour: std::io::stderr().is_terminal() && !environment.no_color(),
        }
    }

    /// Writes one piece of data to standard output, with a line end.
    pub fn data(&self, data: impl Display) {
        let text = data.to_string();
        Self::write(shown::lines(&text, ""));
    }

    fn write(data: impl Display) {
        // A closed pipe is the reader's wish, not a failure of the command.
        drop(writeln!(std::io::stdout().lock(), "{data}"));
    }

    /// Writes one JSON document to standard output.
    ///
    /// # Errors
    /// When `data` cannot be written as JSON.
    pub fn json(&self, data: &impl Serialize) -> serde_json::Result<()> {
        Self::write(shown::json(&serde_json::to_string_pretty(data)?));
        Ok(())
    }

    /// Writes a table to standard output.
    pub fn table<R: IntoIterator<Item = String>>(
        &self,
        header: &[&str],
        rows: impl IntoIterator<Item = R>,
    ) {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(header);
        for row in rows {
            table.add_row(row.into_iter().map(|text| shown::cell(&text)));
        }
        Self::write(table.trim_fmt());
    }

    /// Says something to the person at the terminal (standard error).
    pub fn say(&self, line: impl Display) {
        let shown = shown::lines(&line.to_string(), "");
        drop(writeln!(std::io::stderr().lock(), "{shown}"));
    }

    /// Says that something went well.
    pub fn success(&self, line: impl Display) {
        self.marked("32", "✓", line);
    }

    /// Says that something deserves a look.
    pub fn warning(&self, line: impl Display) {
        self.marked("33", "warning:", line);
    }

    /// Says what went wrong.
    pub fn error(&self, line: impl Display) {
        self.marked("31", "error:", line);
    }

    /// Says what can be done about it.
    pub fn hint(&self, line: impl Display) {
        self.marked("36", "hint:", line);
    }

    fn marked(&self, colour: &str, mark: &str, line: impl Display) {
        let shown = shown::lines(&line.to_string(), INDENT);
        let mut stderr = std::io::stderr().lock();
        drop(if self.colour {
            writeln!(stderr, "\u{1b}[1;{colour}m{mark}\u{1b}[0m {shown}")
        } else {
            writeln!(stderr, "{mark} {shown}")
        });
    }
}
