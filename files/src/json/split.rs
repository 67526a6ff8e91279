//! Where documents end. Owns the outermost structure of a file: lines, documents one after the other, or one array. What is
//! in a document is looked at by who reads it.

use memchr::memchr2;

use super::Layout;
use crate::error::Problem;
use crate::split::Split;

/// Counts brackets outside of strings. Looks at no byte twice.
#[derive(Debug, Clone)]
pub(crate) struct StructureSplit {
    /// Whether records are the items of the outermost value, each with the comma behind it.
    of_items: bool,
    scanned: usize,
    end: usize,
    depth: usize,
    in_string: bool,
    /// Where the record that is open began.
    began: usize,
}

impl StructureSplit {
    /// Documents one after the other.
    pub(crate) fn documents() -> Self {
        Self {
            of_items: false,
            scanned: 0,
            end: 0,
            depth: 0,
            in_string: false,
            began: 0,
        }
    }

    /// The items of one array. The first part has its opening bracket, the last one its closing bracket.
    pub(crate) fn items() -> Self {
        Self {
            of_items: true,
            ..Self::documents()
        }
    }

    /// Where the first record of `text` ends: a document behind its last bracket, an item behind its comma, or before the
    /// bracket that closes the array.
    pub(crate) fn first_end(text: &[u8], of_items: bool) -> Option<usize> {
        let mut split = Self {
            of_items,
            depth: usize::from(of_items),
            ..Self::documents()
        };
        while split.advance(text) {
            if split.end > 0 {
                return Some(split.end);
            }
            if of_items && split.depth == 0 {
                return Some(split.scanned - 1);
            }
        }
        None
    }

    /// Goes over what is next; `false` at the end of what is there.
    #[inline]
    fn advance(&mut self, text: &[u8]) -> bool {
        let Some(&byte) = text.get(self.scanned) else {
            return false;
        };
        if !self.in_string {
            self.structure(byte);
            return true;
        }
        let Some(found) = memchr2(b'"', b'\\', &text[self.scanned..]) else {
            self.scanned = text.len();
            return false;
        };
        let at = self.scanned + found;
        let is_escape = text[at] == b'\\';
        if is_escape && at + 1 == text.len() {
            self.scanned = at;
            return false;
        }
        self.in_string = is_escape;
        self.scanned = at + 1 + usize::from(is_escape);
        true
    }

    fn structure(&mut self, byte: u8) {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                if self.depth == usize::from(self.of_items) {
                    self.began = self.scanned;
                }
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 && !self.of_items {
                    self.end = self.scanned + 1;
                }
            }
            // What is before it is whole: white space, of which a lot may be where documents are only partly rows.
            b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 && !self.of_items => {
                self.end = self.scanned + 1;
            }
            b',' if self.depth == 1 && self.of_items => self.end = self.scanned + 1,
            _ => {}
        }
        self.scanned += 1;
    }
}

impl Split for StructureSplit {
    fn split(&mut self, text: &[u8], at_end: bool) -> Result<usize, Problem> {
        while self.advance(text) {}
        if at_end {
            if self.of_items && self.depth == 1 && !self.in_string {
                let end = text.trim_ascii_end().len();
                return Err(Problem::new(end, "this is no JSON: the array does not end"));
            }
            if self.depth > 0 || self.in_string {
                return Err(Problem::new(
                    self.began,
                    "this is no JSON: what begins here does not end",
                ));
            }
            self.end = text.len();
        }
        let end = std::mem::take(&mut self.end);
        self.scanned = self.scanned.saturating_sub(end);
        self.began = self.began.saturating_sub(end);
        Ok(end)
    }
}

/// The layout of a file that begins like this; `None` if nothing but white space is there.
pub(crate) fn detect(text: &str) -> Option<Layout> {
    let first = text.trim_ascii_start();
    if first.is_empty() {
        return None;
    }
    if first.starts_with('[') {
        return Some(Layout::Array);
    }
    let mut lexer = super::lexer::Lexer::new(first, 0);
    Some(match lexer.skip() {
        Ok(document) if document.contains('\n') => Layout::Documents,
        // Cut short, and on more than one line.
        Err(_)
            if first
                .lines()
                .next()
                .is_some_and(|line| line.trim_ascii_end().ends_with(['{', ',', '['])) =>
        {
            Layout::Documents
        }
        _ => Layout::Lines,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_layout_is_seen_at_the_beginning() {
        assert_eq!(detect(" \n"), None);
        assert_eq!(detect("\n [{\"a\":1}]"), Some(Layout::Array));
        assert_eq!(detect("{\"a\":1}\n{\"a\":2}\n"), Some(Layout::Lines));
        assert_eq!(detect("{\n  \"a\": 1\n}\n"), Some(Layout::Documents));
        assert_eq!(detect("{\n  \"a\": "), Some(Layout::Documents));
    }

    proptest! {
        #[test]
        fn documents_are_whole(documents in prop::collection::vec(r#"\{"[a\[{]{0,3}(\\["\\])?":[1-9][0-9]{0,2},"b":\["[\]}a]{0,4}"\]\}[ \n]{0,2}"#, 1..6), piece in 1_usize..30) {
            let text = documents.concat();
            let mut split = StructureSplit::documents();
            let (mut buffer, mut given) = (Vec::new(), Vec::new());
            let mut pieces = text.as_bytes().chunks(piece).peekable();
            while let Some(piece) = pieces.next() {
                buffer.extend_from_slice(piece);
                let end = split.split(&buffer, pieces.peek().is_none()).unwrap();
                let part: Vec<u8> = buffer.drain(..end).collect();
                if end > 0 {
                    let part = String::from_utf8(part).unwrap();
                    let mut lexer = super::super::lexer::Lexer::new(&part, 0);
                    while lexer.peek().is_some() {
                        prop_assert!(lexer.skip().is_ok(), "{}", part);
                    }
                    given.push(part);
                }
            }
            prop_assert_eq!(given.concat(), text);
        }
    }
}
