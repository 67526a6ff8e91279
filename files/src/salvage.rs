//! What is left of a text when a record in it cannot be read. Owns where such a record ends: only if that is certain can the
//! ones behind it be read.

use super::csv::Dialect;
use super::csv::split::CsvSplit;
use super::error::ReadError;
use super::json::Layout;
use super::json::split::StructureSplit;
use super::open::{Block, Written, not_utf8};
use super::split::{Bad, Part, Split};

/// Where the record that begins at `start` ends; `None` if nothing tells. `part` says which part of its file the text is.
pub(crate) fn record_end(written: &Written, text: &str, part: Part, start: usize) -> Option<usize> {
    let rest = text.as_bytes().get(start..)?;
    let length = match written {
        Written::Csv { dialect, .. } => Some(csv_length(dialect, rest)),
        Written::Json(Layout::Lines) => memchr::memchr(b'\n', rest)
            .map(|at| at + 1)
            .or(Some(rest.len())),
        Written::Json(Layout::Documents) => {
            let found = StructureSplit::first_end(rest, false);
            found.or(part.last.then_some(rest.len()))
        }
        Written::Json(Layout::Array) => {
            let end = StructureSplit::first_end(rest, true)?;
            match rest[end..].split_first() {
                _ if rest[..end].ends_with(b",") => Some(end),
                // The array ends with this record, and so does the file.
                Some((b']', behind)) if end > 0 && part.last && behind.trim_ascii().is_empty() => {
                    Some(rest.len())
                }
                Some((b']' | b'}', _)) => None,
                _ => Some(end),
            }
        }
        Written::Lines { .. } | Written::Avro(_) | Written::Rows => None,
    };
    length
        .filter(|length| *length > 0)
        .map(|length| start + length)
}

/// A line more and more, until the record ends with one.
fn csv_length(dialect: &Dialect, text: &[u8]) -> usize {
    let (mut split, mut end) = (CsvSplit::new(dialect.clone()), 0);
    while let Some(at) = memchr::memchr(dialect.terminator(), &text[end..]) {
        end += at + 1;
        if split.split(&text[..end], false).is_ok_and(|end| end > 0) {
            return end;
        }
    }
    text.len()
}

/// The records of a text, each from where it begins to where it ends.
pub(crate) fn records(
    written: &Written,
    text: &str,
    part: Part,
) -> impl Iterator<Item = (usize, usize)> {
    let mut at = match written {
        // Behind the bracket that opens the array.
        Written::Json(Layout::Array) if part.first => text.find('[').map_or(0, |at| at + 1),
        _ => 0,
    };
    std::iter::from_fn(move || {
        if let Written::Json(_) = written {
            at += text[at..].len() - text[at..].trim_ascii_start().len();
        }
        if text[at..].is_empty() {
            return None;
        }
        let start = at;
        at = record_end(written, text, part, start)?;
        Some((start, at))
    })
}

/// The text of a block, with the records that it cannot have because of bytes that are no UTF-8.
///
/// # Errors
/// When it is not certain where such a record ends.
pub(crate) fn lenient(block: Block) -> Result<Block<String>, ReadError> {
    if std::str::from_utf8(&block.text).is_ok() {
        return block.checked();
    }
    let written = &block.shape.records;
    let text = with_stand_ins(&block.text);
    let mut unreadable = Vec::new();
    let mut end = 0;
    for record in records(written, &text, block.part) {
        let bytes = &block.text[record.0..record.1];
        end = record.1;
        let is_comment = match written {
            Written::Csv { dialect, .. } => {
                dialect.comment.is_some() && bytes.first().copied() == dialect.comment
            }
            _ => false,
        };
        if let Err(error) = std::str::from_utf8(bytes)
            && !is_comment
        {
            unreadable.push(Bad {
                start: record.0,
                end: record.1,
                problem: not_utf8(record.0 + error.valid_up_to()),
                bytes: Some(bytes.to_vec()),
            });
        }
    }
    if std::str::from_utf8(&block.text[end..]).is_err() {
        // A record whose end nothing tells.
        return block.checked();
    }
    Ok(block.read_as(text, unreadable))
}

/// Bytes as a text of the same length, in which something stands for each byte that is no UTF-8.
fn with_stand_ins(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{1a}'));
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const WHOLE: Part = Part {
        first: true,
        last: true,
    };

    fn csv() -> Written {
        Written::Csv {
            dialect: Dialect::default(),
            names: Vec::new(),
        }
    }

    #[rstest]
    #[case(csv(), "1,\"a\nb\",2\n\n3,\"x\" y\r\n4", &["1,\"a\nb\",2\n", "\n", "3,\"x\" y\r\n", "4"])]
    #[case(Written::Json(Layout::Lines), "{\"a\":\n{}\n  {", &["{\"a\":\n", "{}\n", "{"])]
    #[case(Written::Json(Layout::Documents), "{\"a\": \"}\"} 5 {}\n} x", &["{\"a\": \"}\"}", "5 ", "{}", "}", "x"])]
    #[case(Written::Json(Layout::Array), " [{\"a\":[1,2]}, {} {},\n,3]\n", &["{\"a\":[1,2]},", "{} {},", ",", "3]\n"])]
    #[case(Written::Json(Layout::Array), "[1}, 2, 3]", &[])]
    #[case(Written::Json(Layout::Array), "[1, {2]}, 3", &["1,"])]
    #[case(Written::Json(Layout::Array), "[1, 2] 3", &["1,"])]
    fn a_record_ends_where_that_is_certain(
        #[case] written: Written,
        #[case] text: &str,
        #[case] expected: &[&str],
    ) {
        let found = records(&written, text, WHOLE).map(|(start, end)| &text[start..end]);
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_stands_for_a_byte_has_its_length() {
        let bytes = [b"a\xff\xc3".as_slice(), "é".as_bytes()].concat();
        assert_eq!(with_stand_ins(&bytes), "a\u{1a}\u{1a}é");
    }
}
