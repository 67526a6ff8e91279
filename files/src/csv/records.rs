//! The fields of records. Owns quoting within a record; which records there are in a file says [`split`](super::split).

use std::borrow::Cow;

use memchr::memchr;

use super::Dialect;
use super::marks::Marks;
use crate::error::{Problem, shown};

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// What is in it, without quotes.
    pub text: Cow<'a, str>,
    /// Whether it had quotes.
    pub quoted: bool,
}

/// Reads the records of a text, field by field.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    text: &'a str,
    at: usize,
    marks: Marks,
    delimiter: u8,
    terminator: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    comment: Option<u8>,
    newlines: bool,
    /// Memory for a text without its escapes.
    spare: String,
}

impl<'a> Records<'a> {
    /// Of whole records.
    pub(crate) fn new(dialect: &Dialect, text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            marks: Marks::new([dialect.delimiter, dialect.terminator()]),
            delimiter: dialect.delimiter,
            terminator: dialect.terminator(),
            quote: dialect.quote,
            escape: dialect.escape,
            comment: dialect.comment,
            newlines: dialect.newlines,
            spare: String::new(),
        }
    }

    /// Takes back what is not needed any more of a field, for another one.
    #[inline]
    pub(crate) fn reuse(&mut self, text: Cow<'a, str>) {
        if let Cow::Owned(text) = text {
            self.spare = text;
        }
    }

    /// Where the next byte is.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Goes to the beginning of the next record, over comments and, unless `keep_empty`, over empty lines; `None` if there is
    /// no more.
    pub(crate) fn next_record(&mut self, keep_empty: bool) -> Option<usize> {
        let bytes = self.text.as_bytes();
        loop {
            let rest = &bytes[self.at..];
            let first = *rest.first()?;
            let skipped = if Some(first) == self.comment {
                memchr(self.terminator, rest).map_or(rest.len(), |at| at + 1)
            } else if keep_empty {
                0
            } else if first == self.terminator {
                1
            } else if first == b'\r' && matches!(rest.get(1), None | Some(b'\n')) {
                2.min(rest.len())
            } else {
                0
            };
            if skipped == 0 {
                return Some(self.at);
            }
            self.at += skipped;
        }
    }

    /// The next field of the record, and whether it is its last.
    ///
    /// # Errors
    /// When something stands behind the quote that closes a field, or a quote is not closed.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<(Field<'a>, bool), Problem> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        if self.quote.is_some() && bytes.get(start).copied() == self.quote {
            return self.quoted();
        }
        let end = self.marks.next(bytes, start);
        let last = bytes.get(end).is_none_or(|&byte| byte == self.terminator);
        self.at = (end + 1).min(bytes.len());
        let mut text = &self.text[start..end];
        if last && let Some(line) = text.strip_suffix('\r') {
            text = line;
        }
        let field = Field {
            text: Cow::Borrowed(text),
            quoted: false,
        };
        Ok((field, last))
    }

    fn quoted(&mut self) -> Result<(Field<'a>, bool), Problem> {
        let bytes = self.text.as_bytes();
        let opened = self.at;
        let quote = bytes[opened];
        let mut from = opened + 1;
        let mut unescaped: Option<String> = None;
        let end = loop {
            let rest = &bytes[from..];
            let found = match self.escape {
                Some(escape) => memchr::memchr2(quote, escape, rest),
                None => memchr(quote, rest),
            };
            let Some(at) = found.map(|at| from + at) else {
                return Err(Problem::new(
                    opened,
                    "the quote that opens here is not closed",
                ));
            };
            let next = bytes.get(at + 1).copied();
            let is_escaped = match next {
                _ if bytes[at] != quote => next.is_some(),
                next => next == Some(quote) && self.escape.is_none(),
            };
            if !is_escaped {
                break at;
            }
            // Of two quotes, or of an escape and what it escapes, the second stays.
            let kept = unescaped.get_or_insert_with(|| {
                self.spare.clear();
                std::mem::take(&mut self.spare)
            });
            kept.push_str(&self.text[from..at]);
            let escaped = self.text[at + 1..].chars().next().unwrap_or_default();
            kept.push(escaped);
            from = at + 1 + escaped.len_utf8();
        };
        let tail = &self.text[from..end];
        let text = match unescaped {
            Some(mut kept) => {
                kept.push_str(tail);
                Cow::Owned(kept)
            }
            None => Cow::Borrowed(tail),
        };
        if !self.newlines && text.contains(['\n', '\r']) {
            return Err(Problem::new(opened, "a field has a line end in it")
                .with_help("leave `newlines_in_values` out to allow that"));
        }
        let mut behind = end + 1;
        if self.terminator == b'\n'
            && bytes.get(behind) == Some(&b'\r')
            && matches!(bytes.get(behind + 1), None | Some(b'\n'))
        {
            behind += 1;
        }
        let last = match bytes.get(behind) {
            None => true,
            Some(&byte) if byte == self.terminator => true,
            Some(&byte) if byte == self.delimiter => false,
            Some(_) => {
                let stands: String = self.text[behind..].chars().take(20).collect();
                let line = stands.lines().next().unwrap_or_default();
                return Err(Problem::new(
                    opened,
                    format!(
                        "behind the quote that closes a field stands `{}`",
                        shown(line)
                    ),
                )
                .with_help("within quotes a quote is written twice"));
            }
        };
        self.at = (behind + 1).min(bytes.len());
        let field = Field { text, quoted: true };
        Ok((field, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(dialect: &Dialect, text: &str) -> Result<Vec<Vec<(String, bool)>>, Problem> {
        let mut records = Records::new(dialect, text);
        let mut rows = Vec::new();
        while records.next_record(false).is_some() {
            let mut row = Vec::new();
            loop {
                let (field, last) = records.field()?;
                row.push((field.text.into_owned(), field.quoted));
                if last {
                    break;
                }
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn plain(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter()
            .map(|row| row.iter().map(|&field| field.to_owned()).collect())
            .collect()
    }

    fn texts(text: &str) -> Vec<Vec<String>> {
        let rows = all(&Dialect::default(), text).unwrap();
        rows.into_iter()
            .map(|row| row.into_iter().map(|(text, _)| text).collect())
            .collect()
    }

    #[test]
    fn fields_are_what_is_between_delimiters() {
        assert_eq!(texts("a,b\n1,2"), plain(&[&["a", "b"], &["1", "2"]]));
        assert_eq!(texts("a,\r\n,\r\n"), plain(&[&["a", ""], &["", ""]]));
        assert_eq!(texts("\n\na\n\n"), plain(&[&["a"]]));
        assert_eq!(
            texts("\"a\"\"b\",\"c\nd\"\r\n\"\",x\"y\n"),
            plain(&[&["a\"b", "c\nd"], &["", "x\"y"]])
        );
    }

    #[test]
    fn an_escape_makes_a_quote_of_a_quote() {
        let dialect = Dialect {
            escape: Some(b'\\'),
            ..Dialect::default()
        };
        let rows = all(&dialect, "\"a\\\"b\\\\\",é\n").unwrap();
        assert_eq!(
            rows,
            [[(String::from("a\"b\\"), true), (String::from("é"), false)]]
        );
    }

    #[test]
    fn something_behind_a_quote_is_refused() {
        let problem = all(&Dialect::default(), "a,\"b\" c\n").unwrap_err();
        assert!(problem.problem.contains("` c`"), "{problem:?}");
    }
}
