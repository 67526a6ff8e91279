//! What every format has that is read by several at once: a way to see where a record ends.

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

/// Which part of its file a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Nothing is before it.
    pub first: bool,
    /// Nothing is behind it.
    pub last: bool,
}
