//! Values as Avro has them: numbers of as many bytes as they take, texts behind their length, a byte in front of each that says
//! whether there is one. Owns the bytes of a value.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeBinaryArray, RecordBatch,
    StringArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, i256,
};
use datafusion::common::internal_err;
use datafusion::error::Result;

/// Which member of a union `["null", type]` follows.
const NULL: u8 = 0;
const VALUE: u8 = 2;

/// The rows of a batch.
pub(super) struct Row<'a> {
    columns: Vec<Node<'a>>,
}

/// The values of a column or field.
struct Node<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal128(&'a [i128]),
    Decimal256(&'a [i256]),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Fixed(&'a FixedSizeBinaryArray),
    /// With where each list begins, and the next.
    List(&'a [i32], Box<Node<'a>>),
    Struct(Vec<Node<'a>>),
}

impl<'a> Row<'a> {
    pub(super) fn of(rows: &'a RecordBatch) -> Result<Self> {
        let columns: Result<Vec<Node<'_>>> = rows.columns().iter().map(Node::of).collect();
        Ok(Self { columns: columns? })
    }

    /// Adds a row.
    pub(super) fn write(&self, row: usize, block: &mut Vec<u8>) -> Result<()> {
        self.columns
            .iter()
            .try_for_each(|node| node.write(row, block))
    }
}

impl<'a> Node<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self> {
        macro_rules! values {
            ($kind:ident) => {
                array.as_primitive::<$kind>().values()
            };
        }
        let values = match array.data_type() {
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(values!(Int8Type)),
            DataType::Int16 => Values::Int16(values!(Int16Type)),
            DataType::Int32 => Values::Int32(values!(Int32Type)),
            DataType::Int64 => Values::Int64(values!(Int64Type)),
            DataType::UInt8 => Values::UInt8(values!(UInt8Type)),
            DataType::UInt16 => Values::UInt16(values!(UInt16Type)),
            DataType::UInt32 => Values::UInt32(values!(UInt32Type)),
            DataType::Float32 => Values::Float32(values!(Float32Type)),
            DataType::Float64 => Values::Float64(values!(Float64Type)),
            DataType::Decimal128(..) => Values::Decimal128(values!(Decimal128Type)),
            DataType::Decimal256(..) => Values::Decimal256(values!(Decimal256Type)),
            DataType::Date32 => Values::Int32(values!(Date32Type)),
            DataType::Time32(TimeUnit::Millisecond) => {
                Values::Int32(values!(Time32MillisecondType))
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                Values::Int64(values!(Time64MicrosecondType))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Values::Int64(values!(TimestampMicrosecondType))
            }
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::Binary => Values::Bytes(array.as_binary()),
            DataType::FixedSizeBinary(_) => Values::Fixed(array.as_fixed_size_binary()),
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                Values::List(lists.offsets(), Box::new(Self::of(lists.values())?))
            }
            DataType::Struct(_) => {
                let fields: Result<Vec<Self>> =
                    array.as_struct().columns().iter().map(Self::of).collect();
                Values::Struct(fields?)
            }
            other => return internal_err!("the type {other} should have been refused"),
        };
        Ok(Self {
            nulls: array.nulls().filter(|nulls| nulls.null_count() > 0),
            values,
        })
    }

    #[inline]
    fn write(&self, row: usize, block: &mut Vec<u8>) -> Result<()> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            block.push(NULL);
            return Ok(());
        }
        block.push(VALUE);
        match &self.values {
            Values::Boolean(values) => block.push(u8::from(values.value(row))),
            Values::Int8(values) => long(values[row].into(), block),
            Values::Int16(values) => long(values[row].into(), block),
            Values::Int32(values) => long(values[row].into(), block),
            Values::Int64(values) => long(values[row], block),
            Values::UInt8(values) => long(values[row].into(), block),
            Values::UInt16(values) => long(values[row].into(), block),
            Values::UInt32(values) => long(values[row].into(), block),
            Values::Float32(values) => block.extend_from_slice(&values[row].to_le_bytes()),
            Values::Float64(values) => block.extend_from_slice(&values[row].to_le_bytes()),
            Values::Decimal128(values) => unscaled(&values[row].to_be_bytes(), block),
            Values::Decimal256(values) => unscaled(&values[row].to_be_bytes(), block),
            Values::Text(values) => bytes(values.value(row).as_bytes(), block),
            Values::Bytes(values) => bytes(values.value(row), block),
            Values::Fixed(values) => block.extend_from_slice(values.value(row)),
            Values::List(offsets, items) => {
                // The offsets of lists are never negative.
                let (first, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                if end > first {
                    long((end - first) as i64, block);
                    for item in first..end {
                        items.write(item, block)?;
                    }
                }
                block.push(0);
            }
            Values::Struct(fields) => {
                fields
                    .iter()
                    .try_for_each(|field| field.write(row, block))?;
            }
        }
        Ok(())
    }
}

/// Adds a whole number: zigzag, seven bits a byte.
pub(super) fn long(value: i64, block: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

fn bytes(value: &[u8], block: &mut Vec<u8>) {
    long(value.len() as i64, block);
    block.extend_from_slice(value);
}

/// Adds an unscaled number, as few bytes of its two's complement as say it.
fn unscaled(big_endian: &[u8], block: &mut Vec<u8>) {
    let mut value = big_endian;
    while let [first, next, ..] = value
        && (*first == 0 && *next < 0x80 || *first == 0xFF && *next >= 0x80)
    {
        value = &value[1..];
    }
    bytes(value, block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_bytes_of_the_specification() {
        let encoded = |value| {
            let mut block = Vec::new();
            long(value, &mut block);
            block
        };
        for (value, wanted) in [
            (0, vec![0]),
            (-1, vec![1]),
            (1, vec![2]),
            (-64, vec![0x7f]),
            (64, vec![0x80, 1]),
        ] {
            assert_eq!(encoded(value), wanted, "{value}");
        }
        assert_eq!(encoded(i64::MIN), [vec![0xff; 9], vec![1]].concat());
        for (value, wanted) in [
            (0_i128, vec![2, 0]),
            (-1, vec![2, 0xff]),
            (127, vec![2, 0x7f]),
            (128, vec![4, 0, 0x80]),
            (-129, vec![4, 0xff, 0x7f]),
        ] {
            let mut block = Vec::new();
            unscaled(&value.to_be_bytes(), &mut block);
            assert_eq!(block, wanted, "{value}");
        }
    }
}
