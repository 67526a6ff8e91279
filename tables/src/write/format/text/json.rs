//! JSON lines: each row an object with every column, NULL as `null`. Numbers are their digits, whole and decimal ones of any
//! length; dates and times are strings.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::error::Result;

use super::lines::Lines;
use super::refusal::{refused, unknown};
use super::scalar::Scalar;

const NO_NUMBER: &str = "JSON has no such number: write NULL instead, as in CASE WHEN isnan(x) THEN NULL ELSE x END, or CAST the column to TEXT";

/// Which bytes of a string are escaped.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped
};

pub(super) struct JsonLines {
    keys: Vec<Key>,
}

/// A column or a field, with what stands in front of its values.
struct Key {
    name: String,
    /// `{"name":` or `,"name":`.
    before: Vec<u8>,
    /// Those of a struct, or of the structs in a list.
    fields: Vec<Self>,
}

impl JsonLines {
    pub(super) fn new(schema: &Schema) -> Self {
        Self {
            keys: Key::all(schema.fields()),
        }
    }
}

impl Key {
    fn all(fields: &Fields) -> Vec<Self> {
        let fields = fields.iter().enumerate();
        fields.map(|(at, field)| Self::of(at, field)).collect()
    }

    fn of(at: usize, field: &Field) -> Self {
        let mut before = vec![if at == 0 { b'{' } else { b',' }];
        string(field.name(), &mut before);
        before.push(b':');
        Self {
            name: field.name().clone(),
            before,
            fields: Self::within(field.data_type()),
        }
    }

    fn within(data_type: &DataType) -> Vec<Self> {
        match data_type {
            DataType::Struct(fields) => Self::all(fields),
            DataType::List(item) => Self::within(item.data_type()),
            _ => Vec::new(),
        }
    }
}

/// The values of a column or field.
struct Node<'a> {
    name: &'a str,
    array: &'a ArrayRef,
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Text(&'a StringArray),
    Scalar(Scalar<'a>),
    /// With where each list begins, and the next.
    List(&'a [i32], Box<Node<'a>>),
    Struct(Vec<(&'a [u8], Node<'a>)>),
}

impl<'a> Node<'a> {
    fn new(name: &'a str, keys: &'a [Key], array: &'a ArrayRef) -> Result<Self> {
        let values = match array.data_type() {
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let items = Self::new(name, keys, lists.values())?;
                Values::List(lists.offsets(), Box::new(items))
            }
            DataType::Struct(_) => {
                let fields = keys.iter().zip(array.as_struct().columns());
                let fields: Result<Vec<_>> = fields
                    .map(|(key, array)| {
                        let node = Self::new(&key.name, &key.fields, array)?;
                        Ok((key.before.as_slice(), node))
                    })
                    .collect();
                Values::Struct(fields?)
            }
            _ => Values::Scalar(Scalar::of(array).ok_or_else(|| unknown(name, array))?),
        };
        Ok(Self {
            name,
            array,
            nulls: array.nulls().filter(|nulls| nulls.null_count() > 0),
            values,
        })
    }

    #[inline]
    fn write(&self, row: usize, text: &mut Vec<u8>) -> Result<()> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            text.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.values {
            Values::Text(values) => string(values.value(row), text),
            Values::Scalar(values) => {
                let quote: &[u8] = if values.is_quoted() { b"\"" } else { b"" };
                let refused = |reason| refused(self.name, self.array, row, reason);
                if !values.is_finite(row) {
                    return Err(refused(NO_NUMBER));
                }
                text.extend_from_slice(quote);
                values.write(row, text).map_err(refused)?;
                text.extend_from_slice(quote);
            }
            Values::List(offsets, items) => {
                text.push(b'[');
                // The offsets of lists are never negative.
                let (first, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                for item in first..end {
                    if item > first {
                        text.push(b',');
                    }
                    items.write(item, text)?;
                }
                text.push(b']');
            }
            Values::Struct(fields) => object(fields, row, text)?,
        }
        Ok(())
    }
}

fn object(fields: &[(&[u8], Node<'_>)], row: usize, text: &mut Vec<u8>) -> Result<()> {
    if fields.is_empty() {
        text.push(b'{');
    }
    for (before, node) in fields {
        text.extend_from_slice(before);
        node.write(row, text)?;
    }
    text.push(b'}');
    Ok(())
}

impl Lines for JsonLines {
    fn begin(&self, _: &mut Vec<u8>) {}

    fn write(&self, rows: &RecordBatch, text: &mut Vec<u8>) -> Result<()> {
        let columns = self.keys.iter().zip(rows.columns());
        let columns: Result<Vec<_>> = columns
            .map(|(key, array)| {
                let node = Node::new(&key.name, &key.fields, array)?;
                Ok((key.before.as_slice(), node))
            })
            .collect();
        let columns = columns?;
        for row in 0..rows.num_rows() {
            object(&columns, row, text)?;
            text.push(b'\n');
        }
        Ok(())
    }
}

/// Adds a string with its quotes.
fn string(value: &str, text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = value.as_bytes();
    text.reserve(bytes.len() + 2);
    text.push(b'"');
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !ESCAPED[usize::from(*byte)] {
            continue;
        }
        text.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                text.extend_from_slice(b"\\u00");
                text.push(HEX[usize::from(byte >> 4)]);
                text.push(HEX[usize::from(byte & 15)]);
                continue;
            }
        };
        text.extend_from_slice(&[b'\\', short]);
    }
    text.extend_from_slice(&bytes[written..]);
    text.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        Decimal128Array, Float64Array, Int64Array, Int64Builder, ListBuilder, StructArray,
        TimestampMicrosecondArray,
    };

    use super::*;

    fn lines(rows: &RecordBatch) -> Result<String> {
        let lines = JsonLines::new(&rows.schema());
        let mut text = Vec::new();
        lines.write(rows, &mut text)?;
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn every_value_is_told_with_all_its_digits() {
        let mut lists = ListBuilder::new(Int64Builder::new());
        lists.append_value([Some(1), None]);
        lists.append_value([]);
        lists.append_null();
        let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("y")]));
        let structs = StructArray::new(
            vec![Arc::new(Field::new("in \"q\"", DataType::Utf8, true))].into(),
            vec![inner],
            Some(vec![true, true, false].into()),
        );
        let decimals =
            Decimal128Array::from(vec![Some(-1), Some(i128::from(i64::MAX) * 1_000), None])
                .with_precision_and_scale(38, 2)
                .unwrap();
        let times =
            TimestampMicrosecondArray::from(vec![Some(0), Some(1), None]).with_timezone("UTC");
        let rows = RecordBatch::try_from_iter_with_nullable([
            (
                "i",
                Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])) as ArrayRef,
                true,
            ),
            (
                "t",
                Arc::new(StringArray::from(vec![
                    Some("a\"\\\n\r\t\u{0}\u{1f}\u{7f}Ü"),
                    Some(""),
                    None,
                ])),
                true,
            ),
            ("d", Arc::new(decimals), true),
            ("at", Arc::new(times), true),
            ("l", Arc::new(lists.finish()), true),
            ("s", Arc::new(structs), true),
        ])
        .unwrap();
        let expected = "{\"i\":-9223372036854775808,\"t\":\"a\\\"\\\\\\n\\r\\t\\u0000\\u001f\u{7f}Ü\",\"d\":-0.01,\
             \"at\":\"1970-01-01T00:00:00Z\",\"l\":[1,null],\"s\":{\"in \\\"q\\\"\":\"x\"}}\n\
             {\"i\":9223372036854775807,\"t\":\"\",\"d\":92233720368547758070.00,\
             \"at\":\"1970-01-01T00:00:00.000001Z\",\"l\":[],\"s\":{\"in \\\"q\\\"\":null}}\n\
             {\"i\":null,\"t\":null,\"d\":null,\"at\":null,\"l\":null,\"s\":null}\n";
        assert_eq!(lines(&rows).unwrap(), expected);
    }

    #[test]
    fn a_number_that_json_does_not_have_is_refused_with_its_column() {
        for value in [f64::NAN, f64::INFINITY] {
            let values: ArrayRef = Arc::new(Float64Array::from(vec![1.5, value]));
            let rows = RecordBatch::try_from_iter([("ratio", values)]).unwrap();
            let error = lines(&rows).unwrap_err().to_string();
            assert!(error.contains("column ratio has the value"), "{error}");
            assert!(error.contains("JSON has no such number"), "{error}");
        }
    }
}
