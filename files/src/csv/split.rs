//! Where records end. Owns the one thing that has to be known before several readers can work on a file: which line ends
//! are within quotes.

use memchr::{memchr, memchr2, memrchr};

use super::Dialect;
use crate::error::Problem;
use crate::split::Split;

/// Finds the ends of records. Looks at no byte twice, however long a record is.
#[derive(Debug, Clone)]
pub(crate) struct CsvSplit {
    dialect: Dialect,
    /// Bytes that were looked at.
    scanned: usize,
    /// The end of the last record in them.
    end: usize,
    /// Where the quote is that is open at `scanned`.
    open: Option<usize>,
}

impl CsvSplit {
    /// At the beginning of a record.
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            scanned: 0,
            end: 0,
            open: None,
        }
    }

    /// Takes note of line ends outside of quotes, up to `to`.
    fn outside(&mut self, text: &[u8], to: usize) {
        let terminator = self.dialect.terminator();
        if let Some(last) = memrchr(terminator, &text[self.scanned..to]) {
            self.end = self.scanned + last + 1;
        }
        self.scanned = to;
    }

    /// Whether a quote at `at` opens a field.
    fn opens(&self, text: &[u8], at: usize) -> bool {
        at.checked_sub(1).is_none_or(|before| {
            let before = text[before];
            before == self.dialect.delimiter || before == self.dialect.terminator()
        })
    }

    /// Goes on where a quote is open, and tells whether it closed.
    fn inside(&mut self, text: &[u8], quote: u8, at_end: bool) -> bool {
        loop {
            let rest = &text[self.scanned..];
            let found = match self.dialect.escape {
                Some(escape) => memchr2(quote, escape, rest),
                None => memchr(quote, rest),
            };
            let Some(found) = found else {
                self.scanned = text.len();
                return false;
            };
            let at = self.scanned + found;
            let escapes = text[at] != quote;
            match text.get(at + 1) {
                // What follows tells what this is.
                None if !at_end => {
                    self.scanned = at;
                    return false;
                }
                Some(_) if escapes => self.scanned = at + 2,
                Some(&next) if next == quote && self.dialect.escape.is_none() => {
                    self.scanned = at + 2;
                }
                _ => {
                    self.scanned = at + 1;
                    self.open = None;
                    return true;
                }
            }
        }
    }

    /// With comments, whose quotes mean nothing: line by line.
    fn by_line(&mut self, text: &[u8], quote: u8, comment: u8, at_end: bool) {
        while self.scanned < text.len() {
            if self.open.is_some() {
                if !self.inside(text, quote, at_end) {
                    return;
                }
                continue;
            }
            let at_line = self.scanned == self.end;
            let rest = &text[self.scanned..];
            let line = memchr(self.dialect.terminator(), rest).map(|at| self.scanned + at);
            if at_line && rest.first() == Some(&comment) {
                let Some(line) = line else { return };
                (self.scanned, self.end) = (line + 1, line + 1);
                continue;
            }
            match memchr(quote, rest).map(|at| self.scanned + at) {
                Some(at) if line.is_none_or(|line| at < line) => {
                    if self.opens(text, at) {
                        self.open = Some(at);
                    }
                    self.scanned = at + 1;
                }
                _ => match line {
                    Some(line) => (self.scanned, self.end) = (line + 1, line + 1),
                    None => return,
                },
            }
        }
    }
}

impl Split for CsvSplit {
    fn split(&mut self, text: &[u8], at_end: bool) -> Result<usize, Problem> {
        match (self.dialect.quote, self.dialect.comment) {
            (None, _) => self.outside(text, text.len()),
            (Some(quote), Some(comment)) => self.by_line(text, quote, comment, at_end),
            (Some(quote), None) => {
                while self.scanned < text.len() {
                    if self.open.is_some() {
                        if !self.inside(text, quote, at_end) {
                            break;
                        }
                        continue;
                    }
                    match memchr(quote, &text[self.scanned..]) {
                        Some(found) => {
                            let at = self.scanned + found;
                            if self.opens(text, at) {
                                self.outside(text, at);
                                self.open = Some(at);
                            } else {
                                self.outside(text, at);
                            }
                            self.scanned = at + 1;
                        }
                        None => self.outside(text, text.len()),
                    }
                }
            }
        }
        if at_end {
            if let Some(open) = self.open {
                return Err(Problem::new(open, "the quote that opens here is not closed").with_help(
                    "if it is no quote, say which character is one with the option `quote`, or `quote ''` for none",
                ));
            }
            self.end = text.len();
        }
        let end = std::mem::take(&mut self.end);
        self.scanned = self.scanned.saturating_sub(end);
        self.open = self.open.map(|open| open.saturating_sub(end));
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// The records of `text`, which arrives in pieces.
    fn records(dialect: &Dialect, text: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, Problem> {
        let mut split = CsvSplit::new(dialect.clone());
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        let mut pieces = text.chunks(piece.max(1)).peekable();
        while let Some(piece) = pieces.next() {
            buffer.extend_from_slice(piece);
            let end = split.split(&buffer, pieces.peek().is_none())?;
            if end > 0 {
                ends.push(buffer.drain(..end).collect());
            }
        }
        Ok(ends)
    }

    #[rstest]
    #[case::plain("a,b\n1,2\n3,4", &["a,b\n", "1,2\n", "3,4"])]
    #[case::quoted("a,b\n\"1\n,\"\"2\",3\n4,5\n", &["a,b\n", "\"1\n,\"\"2\",3\n", "4,5\n"])]
    #[case::inner("a\n5\" pipe\n6\" pipe\n", &["a\n", "5\" pipe\n", "6\" pipe\n"])]
    #[case::windows("a\r\n\"b\r\nc\"\r\nd\r\n", &["a\r\n", "\"b\r\nc\"\r\n", "d\r\n"])]
    fn a_record_is_whole(#[case] text: &str, #[case] expected: &[&str]) {
        let given = records(&Dialect::default(), text.as_bytes(), 1).unwrap();
        let given: Vec<&str> = given
            .iter()
            .map(|record| std::str::from_utf8(record).unwrap())
            .collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn a_quote_in_a_comment_opens_nothing() {
        let dialect = Dialect {
            comment: Some(b'#'),
            ..Dialect::default()
        };
        let text = "# it's \"so\n\"# not\none\",1\n#\"\n2,3\n";
        let given = records(&dialect, text.as_bytes(), 1).unwrap();
        let given: Vec<&str> = given
            .iter()
            .map(|record| std::str::from_utf8(record).unwrap())
            .collect();
        assert_eq!(
            given,
            ["# it's \"so\n", "\"# not\none\",1\n", "#\"\n", "2,3\n"]
        );
    }

    #[test]
    fn an_open_quote_is_told_where_it_opens() {
        let problem = records(&Dialect::default(), b"a,b\n1,\"x\n2,y\n", 100).unwrap_err();
        assert_eq!(problem.at, 6);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[ab,\"\n\r#\\\\]{0,60}", piece in 1_usize..20, escape in any::<bool>(), comment in any::<bool>()) {
            let dialect = Dialect {
                escape: escape.then_some(b'\\'),
                comment: comment.then_some(b'#'),
                ..Dialect::default()
            };
            let whole = records(&dialect, text.as_bytes(), 1);
            let other = records(&dialect, text.as_bytes(), piece);
            match (whole, other) {
                (Ok(whole), Ok(other)) => {
                    prop_assert_eq!(whole.concat(), other.concat());
                    // A larger piece ends where a record of the smallest pieces ends.
                    let ends: Vec<usize> = whole.iter().scan(0, |sum, record| { *sum += record.len(); Some(*sum) }).collect();
                    let mut sum = 0;
                    for part in other {
                        sum += part.len();
                        prop_assert!(ends.contains(&sum));
                    }
                }
                (Err(whole), Err(other)) => prop_assert_eq!(whole.problem, other.problem),
                (whole, other) => prop_assert!(false, "{:?} {:?}", whole, other),
            }
        }
    }
}
