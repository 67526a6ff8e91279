//! How the values of a file are told apart.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around a field that has delimiters, quotes or line ends in it; twice, it is itself.
    pub quote: Option<u8>,
    /// Before a quote within quotes, if that is not a second quote.
    pub escape: Option<u8>,
    /// At the beginning of a line that is no record.
    pub comment: Option<u8>,
    /// Whether the first record names the columns.
    pub header: bool,
    /// Lines before the first record.
    pub skip_rows: u64,
    /// The words that mean NULL where they stand without quotes.
    pub null: Vec<String>,
    /// Whether lines end with a carriage return alone.
    pub old_mac: bool,
    /// Whether a field may have line ends in it.
    pub newlines: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            comment: None,
            header: true,
            skip_rows: 0,
            null: vec![String::new()],
            old_mac: false,
            newlines: true,
        }
    }
}

impl Dialect {
    /// What ends a record; a carriage return before a line feed belongs to it.
    pub fn terminator(&self) -> u8 {
        if self.old_mac { b'\r' } else { b'\n' }
    }

    /// Whether a field without quotes is NULL.
    pub fn is_null(&self, field: &str) -> bool {
        self.null.iter().any(|word| word == field)
    }
}
