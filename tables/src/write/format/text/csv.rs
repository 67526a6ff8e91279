//! Comma-separated values: a header, line feeds, quotes where they are needed. A NULL is an empty field, an empty text is
//! `""`; in a table of one column a row with NULL is an empty line.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::error::Result;

use super::lines::Lines;
use super::refusal::{refused, unknown};
use super::scalar::Scalar;

/// Bytes for which a text is quoted, wherever in it they are.
const QUOTED: [bool; 256] = {
    let mut quoted = [false; 256];
    quoted[b',' as usize] = true;
    quoted[b'"' as usize] = true;
    quoted[b'\n' as usize] = true;
    quoted[b'\r' as usize] = true;
    quoted
};
/// A file that begins with it would begin with a byte order mark.
const MARK: &str = "\u{feff}";

pub(super) struct CsvLines {
    names: Vec<String>,
}

impl CsvLines {
    pub(super) fn new(schema: &Schema) -> Self {
        let names = schema.fields().iter().map(|field| field.name().clone());
        Self {
            names: names.collect(),
        }
    }
}

enum Values<'a> {
    Text(&'a StringArray),
    Scalar(Scalar<'a>, Option<&'a NullBuffer>),
}

impl<'a> Values<'a> {
    fn of(name: &str, array: &'a ArrayRef) -> Result<Self> {
        if *array.data_type() == DataType::Utf8 {
            return Ok(Self::Text(array.as_string()));
        }
        let scalar = Scalar::of(array).ok_or_else(|| unknown(name, array))?;
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        Ok(Self::Scalar(scalar, nulls))
    }
}

impl Lines for CsvLines {
    fn begin(&self, text: &mut Vec<u8>) {
        for (at, name) in self.names.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            if name.starts_with(MARK) {
                quote(name, text);
            } else {
                field(name, text);
            }
        }
        text.push(b'\n');
    }

    fn write(&self, rows: &RecordBatch, text: &mut Vec<u8>) -> Result<()> {
        let columns = self.names.iter().zip(rows.columns());
        let columns: Result<Vec<Values<'_>>> = columns
            .map(|(name, array)| Values::of(name, array))
            .collect();
        let columns = columns?;
        for row in 0..rows.num_rows() {
            for (at, values) in columns.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                match values {
                    Values::Text(values) if values.is_valid(row) => field(values.value(row), text),
                    Values::Scalar(values, nulls)
                        if nulls.is_none_or(|nulls| nulls.is_valid(row)) =>
                    {
                        values.write(row, text).map_err(|reason| {
                            refused(&self.names[at], rows.column(at), row, reason)
                        })?;
                    }
                    _ => {}
                }
            }
            text.push(b'\n');
        }
        Ok(())
    }
}

/// Adds a text that is not NULL.
fn field(value: &str, text: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    // Spaces at the ends belong to the value, and some readers drop them without quotes.
    let is_plain = match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            *first > b' ' && *last > b' ' && !bytes.iter().any(|byte| QUOTED[usize::from(*byte)])
        }
        _ => false,
    };
    if is_plain {
        text.extend_from_slice(bytes);
    } else {
        quote(value, text);
    }
}

fn quote(value: &str, text: &mut Vec<u8>) {
    text.push(b'"');
    let mut parts = value.as_bytes().split(|byte| *byte == b'"');
    text.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        text.extend_from_slice(b"\"\"");
        text.extend_from_slice(part);
    }
    text.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Float64Array, Int64Array};

    use super::*;

    #[test]
    fn texts_are_quoted_where_a_reader_would_take_them_for_something_else() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![
            Some("plain text"),
            Some(""),
            None,
            Some("a,b"),
            Some("say \"hi\""),
            Some("two\nlines"),
            Some("\r"),
            Some(" space"),
            Some("tab\t"),
            Some("Köln 𠮷"),
        ]));
        let numbers: ArrayRef = Arc::new(
            (0..10)
                .map(|n| (n != 1).then_some(n))
                .collect::<Int64Array>(),
        );
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![
            0.1,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            1e300,
            5e-324,
            1.0,
            123_456_789.125,
            1e16,
        ]));
        let rows = RecordBatch::try_from_iter([("a \"b\"", names), ("n", numbers), ("f,", floats)])
            .unwrap();
        let lines = CsvLines::new(&rows.schema());
        let mut text = Vec::new();
        lines.begin(&mut text);
        lines.write(&rows, &mut text).unwrap();
        let expected = "\"a \"\"b\"\"\",n,\"f,\"\nplain text,0,0.1\n\"\",,NaN\n,2,inf\n\"a,b\",3,-inf\n\
                        \"say \"\"hi\"\"\",4,-0.0\n\"two\nlines\",5,1e+300\n\"\r\",6,5e-324\n\" space\",7,1.0\n\
                        \"tab\t\",8,123456789.125\nKöln 𠮷,9,1e+16\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_header_never_begins_with_a_byte_order_mark() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let rows = RecordBatch::try_from_iter([("\u{feff}id", values)]).unwrap();
        let mut text = Vec::new();
        CsvLines::new(&rows.schema()).begin(&mut text);
        assert_eq!(text, "\"\u{feff}id\"\n".as_bytes());
    }
}
