//! What every format has that is read by several at once: a way to see where a record ends. Owns that way for records that
//! are lines.

use memchr::memrchr;

use crate::error::Problem;

/// Finds the ends of records in a text that arrives in pieces.
pub(crate) trait Split: Send {
    /// Where the last whole record ends in `text`, 0 if none does. `text` begins with a record, at first and whenever the
    /// bytes up to the given end were taken away; otherwise it only grows. `at_end` says that it does not grow any more.
    ///
    /// # Errors
    /// At the end, when the last record is not whole.
    fn split(&mut self, text: &[u8], at_end: bool) -> Result<usize, Problem>;
}

/// Records that end where lines do are found from behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineSplit {
    /// What ends a line.
    pub terminator: u8,
}

impl Split for LineSplit {
    fn split(&mut self, text: &[u8], at_end: bool) -> Result<usize, Problem> {
        Ok(match at_end {
            true => text.len(),
            false => memrchr(self.terminator, text).map_or(0, |at| at + 1),
        })
    }
}

/// A record that cannot be read, in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What is wrong with it.
    pub problem: Problem,
    /// What it is made of, if that is not what stands in the text.
    pub bytes: Option<Vec<u8>>,
}

/// Which part of its file a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Nothing is before it.
    pub first: bool,
    /// Nothing is behind it.
    pub last: bool,
}
