//! Values to columns. Owns, for every type of Avro, what its bytes are as a value of its column, and what of it is skipped where
//! nobody wants it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrowPrimitiveType, PrimitiveArray};
use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Decimal256Builder, Float32Builder,
    Float64Builder, Int32Array, Int64Array, IntervalMonthDayNanoBuilder, ListArray, MapArray,
    NullArray, NullBufferBuilder, PrimitiveBuilder, StringBuilder, StructArray, make_array,
};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, DecimalType, FieldRef, Fields, Int32Type, Int64Type,
    IntervalMonthDayNano, i256,
};
use datafusion::arrow::error::ArrowError;

use super::bytes::Reader;
use super::schema::{OfFixed, Schema, Type, TypeId};
use super::types::optional;
use crate::error::Problem;

/// Milliseconds and microseconds of a day.
const DAY: (i32, i64) = (86_400_000, 86_400_000_000);
/// Levels of values within values that nobody wants.
const MOST_LEVELS: usize = 256;
/// What an entry of a list or an object takes besides its values, about.
const ENTRY: usize = 8;

/// The values of a column, or of what is within one, while it grows.
#[derive(Debug)]
pub(crate) enum Column {
    /// Nothing.
    Null(usize),
    /// Booleans.
    Boolean(BooleanBuilder),
    /// 32 bits, whatever they mean.
    Int(PrimitiveBuilder<Int32Type>, DataType),
    /// 64 bits, whatever they mean.
    Long(PrimitiveBuilder<Int64Type>, DataType),
    /// Single precision.
    Float(Float32Builder),
    /// Double precision.
    Double(Float64Builder),
    /// Bytes, so many if that is known.
    Bytes(BinaryBuilder, Option<usize>),
    /// Texts.
    Text(StringBuilder),
    /// UUIDs, as texts.
    Uuid(StringBuilder),
    /// Texts of a list.
    Enum(StringBuilder, Vec<String>),
    /// Decimals, of so many bytes if that is known.
    Decimal128(Decimal128Builder, u8, Option<usize>),
    /// Decimals, of so many bytes if that is known.
    Decimal256(Decimal256Builder, u8, Option<usize>),
    /// Months, days and milliseconds.
    Duration(IntervalMonthDayNanoBuilder),
    /// Lists.
    List(Lists),
    /// Keys and values: lists of them.
    Map(Lists, FieldRef),
    /// Objects.
    Record(Records),
    /// A value or NULL, by which of so many branches it is.
    Optional(Box<Self>, usize, usize),
}

/// Lists, or maps, which are lists of keys and values.
#[derive(Debug)]
pub(crate) struct Lists {
    item: FieldRef,
    keys: StringBuilder,
    items: Box<Column>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

/// Objects.
#[derive(Debug)]
pub(crate) struct Records {
    fields: Fields,
    columns: Vec<Column>,
    nulls: NullBufferBuilder,
    len: usize,
}

impl Lists {
    fn new(item: &FieldRef, items: Column) -> Self {
        Self {
            item: Arc::clone(item),
            keys: StringBuilder::new(),
            items: Box::new(items),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }
    }

    fn append(&mut self, reader: &mut Reader<'_>, has_keys: bool) -> Result<(), Problem> {
        let mut count = self.offsets.last().copied().unwrap_or(0);
        loop {
            let items = reader.items()?;
            if items == 0 {
                break;
            }
            for _ in 0..items {
                if has_keys {
                    self.keys.append_value(reader.text()?);
                }
                self.items.append(reader)?;
                count = count
                    .checked_add(1)
                    .ok_or_else(|| reader.wrong("lists have more than 2,147,483,647 items"))?;
            }
        }
        self.offsets.push(count);
        self.nulls.append_non_null();
        reader.spend(ENTRY)
    }

    fn append_null(&mut self) {
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.nulls.append_null();
    }

    fn offsets(&mut self) -> OffsetBuffer<i32> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        OffsetBuffer::new(ScalarBuffer::from(offsets))
    }
}

impl Column {
    /// For values of a type that a column has.
    pub(crate) fn new(schema: &Schema, id: TypeId, data_type: &DataType) -> Option<Self> {
        Some(match (schema.get(id), data_type) {
            (Type::Null, _) => Self::Null(0),
            (Type::Boolean, _) => Self::Boolean(BooleanBuilder::new()),
            (Type::Int(_), of) => Self::Int(PrimitiveBuilder::new(), of.clone()),
            (Type::Long(_), of) => Self::Long(PrimitiveBuilder::new(), of.clone()),
            (Type::Float, _) => Self::Float(Float32Builder::new()),
            (Type::Double, _) => Self::Double(Float64Builder::new()),
            (Type::Bytes(None), _) => Self::Bytes(BinaryBuilder::new(), None),
            (Type::Fixed(size, None), _) => Self::Bytes(BinaryBuilder::new(), Some(*size)),
            (Type::Text, _) => Self::Text(StringBuilder::new()),
            (Type::Enum(symbols), _) => Self::Enum(StringBuilder::new(), symbols.clone()),
            (Type::Fixed(_, Some(OfFixed::Uuid)), _) => Self::Uuid(StringBuilder::new()),
            (Type::Fixed(_, Some(OfFixed::Duration)), _) => {
                Self::Duration(IntervalMonthDayNanoBuilder::new())
            }
            (Type::Bytes(_) | Type::Fixed(..), of) => {
                let size = match schema.get(id) {
                    Type::Fixed(size, _) => Some(*size),
                    _ => None,
                };
                match of {
                    DataType::Decimal128(precision, _) => {
                        let builder = Decimal128Builder::new().with_data_type(of.clone());
                        Self::Decimal128(builder, *precision, size)
                    }
                    DataType::Decimal256(precision, _) => {
                        let builder = Decimal256Builder::new().with_data_type(of.clone());
                        Self::Decimal256(builder, *precision, size)
                    }
                    _ => return None,
                }
            }
            (Type::Array(items), DataType::List(item)) => Self::List(Lists::new(
                item,
                Self::new(schema, *items, item.data_type())?,
            )),
            (Type::Map(values), DataType::Map(entries, _)) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return None;
                };
                let value = fields.get(1)?;
                let values = Self::new(schema, *values, value.data_type())?;
                Self::Map(Lists::new(value, values), Arc::clone(entries))
            }
            (Type::Record(types), DataType::Struct(fields)) => {
                let columns = types.iter().zip(fields);
                let columns =
                    columns.map(|((_, id), field)| Self::new(schema, *id, field.data_type()));
                Self::Record(Records {
                    fields: fields.clone(),
                    columns: columns.collect::<Option<_>>()?,
                    nulls: NullBufferBuilder::new(0),
                    len: 0,
                })
            }
            (Type::Union(branches), of) => match optional(schema, branches) {
                Some((branch, only)) => {
                    let column = Self::new(schema, only, of)?;
                    Self::Optional(Box::new(column), branch, branches.len())
                }
                None => Self::Optional(Box::new(Self::Null(0)), branches.len(), branches.len()),
            },
            _ => return None,
        })
    }

    /// The next value.
    ///
    /// # Errors
    /// When it is none, or there is no memory for it.
    pub(crate) fn append(&mut self, reader: &mut Reader<'_>) -> Result<(), Problem> {
        match self {
            Self::Null(len) => {
                *len += 1;
                reader.spend(1)
            }
            Self::Boolean(values) => {
                values.append_value(reader.boolean()?);
                reader.spend(1)
            }
            Self::Int(values, of) => {
                let value = reader.int()?;
                if matches!(of, DataType::Time32(_)) && !(0..DAY.0).contains(&value) {
                    return Err(reader.wrong(format!("{value} milliseconds are no time of a day")));
                }
                values.append_value(value);
                reader.spend(4)
            }
            Self::Long(values, of) => {
                let value = reader.long()?;
                if matches!(of, DataType::Time64(_)) && !(0..DAY.1).contains(&value) {
                    return Err(reader.wrong(format!("{value} microseconds are no time of a day")));
                }
                values.append_value(value);
                reader.spend(8)
            }
            Self::Float(values) => {
                values.append_value(f32::from_le_bytes(reader.array()?));
                Ok(())
            }
            Self::Double(values) => {
                values.append_value(f64::from_le_bytes(reader.array()?));
                Ok(())
            }
            Self::Bytes(values, size) => {
                values.append_value(sized(reader, *size)?);
                reader.spend(4)
            }
            Self::Text(values) => {
                values.append_value(reader.text()?);
                reader.spend(4)
            }
            Self::Uuid(values) => {
                values.append_value(uuid(reader.array()?));
                reader.spend(40)
            }
            Self::Enum(values, symbols) => {
                let symbol = &symbols[reader.index(symbols.len())?];
                reader.spend(4 + symbol.len())?;
                values.append_value(symbol);
                Ok(())
            }
            Self::Decimal128(values, precision, size) => {
                let wide = integer(reader, *size)?;
                let value = wide.and_then(|wide| wide.to_i128());
                let right = value
                    .filter(|value| Decimal128Type::is_valid_decimal_precision(*value, *precision));
                values.append_value(right.ok_or_else(|| too_many_digits(reader, *precision))?);
                reader.spend(16)
            }
            Self::Decimal256(values, precision, size) => {
                let value = integer(reader, *size)?;
                let right = value
                    .filter(|value| Decimal256Type::is_valid_decimal_precision(*value, *precision));
                values.append_value(right.ok_or_else(|| too_many_digits(reader, *precision))?);
                reader.spend(32)
            }
            Self::Duration(values) => {
                values.append_value(duration(reader)?);
                reader.spend(16)
            }
            Self::List(lists) => lists.append(reader, false),
            Self::Map(lists, _) => lists.append(reader, true),
            Self::Record(records) => {
                for column in &mut records.columns {
                    column.append(reader)?;
                }
                records.nulls.append_non_null();
                records.len += 1;
                reader.spend(1)
            }
            Self::Optional(column, branch, count) => match reader.index(*count)? == *branch {
                true => column.append(reader),
                false => column.append_null(reader),
            },
        }
    }

    fn append_null(&mut self, reader: &mut Reader<'_>) -> Result<(), Problem> {
        match self {
            Self::Null(len) => *len += 1,
            Self::Boolean(values) => values.append_null(),
            Self::Int(values, _) => values.append_null(),
            Self::Long(values, _) => values.append_null(),
            Self::Float(values) => values.append_null(),
            Self::Double(values) => values.append_null(),
            Self::Bytes(values, _) => values.append_null(),
            Self::Text(values) | Self::Uuid(values) | Self::Enum(values, _) => values.append_null(),
            Self::Decimal128(values, ..) => values.append_null(),
            Self::Decimal256(values, ..) => {
                values.append_null();
                reader.spend(ENTRY * 2)?;
            }
            Self::Duration(values) => values.append_null(),
            Self::List(lists) | Self::Map(lists, _) => lists.append_null(),
            Self::Record(records) => {
                for column in &mut records.columns {
                    column.append_null(reader)?;
                }
                records.nulls.append_null();
                records.len += 1;
            }
            Self::Optional(column, ..) => return column.append_null(reader),
        }
        reader.spend(ENTRY * 2)
    }

    /// The column, and nothing is in it any more.
    ///
    /// # Errors
    /// When Arrow does not take it.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Null(len) => Arc::new(NullArray::new(std::mem::take(len))),
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int(values, of) => {
                let array: Int32Array = values.finish();
                as_type(&array, of)?
            }
            Self::Long(values, of) => {
                let array: Int64Array = values.finish();
                as_type(&array, of)?
            }
            Self::Float(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Bytes(values, _) => Arc::new(values.finish()),
            Self::Text(values) | Self::Uuid(values) | Self::Enum(values, _) => {
                Arc::new(values.finish())
            }
            Self::Decimal128(values, ..) => Arc::new(values.finish()),
            Self::Decimal256(values, ..) => Arc::new(values.finish()),
            Self::Duration(values) => Arc::new(values.finish()),
            Self::List(lists) => {
                let (items, offsets) = (lists.items.finish()?, lists.offsets());
                let item = Arc::clone(&lists.item);
                Arc::new(ListArray::try_new(
                    item,
                    offsets,
                    items,
                    lists.nulls.finish(),
                )?)
            }
            Self::Map(lists, entries) => {
                let (keys, items) = (lists.keys.finish(), lists.items.finish()?);
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(ArrowError::SchemaError("a map without entries".to_owned()));
                };
                let columns: Vec<ArrayRef> = vec![Arc::new(keys), items];
                let pairs = StructArray::try_new(fields.clone(), columns, None)?;
                let (entries, offsets) = (Arc::clone(entries), lists.offsets());
                let nulls = lists.nulls.finish();
                Arc::new(MapArray::try_new(entries, offsets, pairs, nulls, false)?)
            }
            Self::Record(records) => {
                let columns: Result<Vec<ArrayRef>, ArrowError> =
                    records.columns.iter_mut().map(Self::finish).collect();
                let len = std::mem::take(&mut records.len);
                let (fields, nulls) = (records.fields.clone(), records.nulls.finish());
                Arc::new(StructArray::try_new_with_length(
                    fields, columns?, nulls, len,
                )?)
            }
            Self::Optional(column, ..) => return column.finish(),
        })
    }
}

/// The same bits as what they mean.
fn as_type<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    of: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data().into_builder().data_type(of.clone());
    Ok(make_array(data.build()?))
}

/// Bytes: so many if that is known, else behind their length.
fn sized<'a>(reader: &mut Reader<'a>, size: Option<usize>) -> Result<&'a [u8], Problem> {
    match size {
        Some(size) => reader.take(size),
        None => reader.bytes(),
    }
}

/// A whole number in two's complement, the highest byte first; `None` if it has more than 256 bits.
fn integer(reader: &mut Reader<'_>, size: Option<usize>) -> Result<Option<i256>, Problem> {
    let bytes = sized(reader, size)?;
    let Some(&first) = bytes.first() else {
        return Err(reader.wrong("a decimal has no bytes"));
    };
    let sign = if first & 0x80 == 0 { 0 } else { 0xff };
    let mut whole = [sign; 32];
    let kept = &bytes[bytes.len().saturating_sub(32)..];
    whole[32 - kept.len()..].copy_from_slice(kept);
    let dropped = &bytes[..bytes.len() - kept.len()];
    let is_sign = dropped.iter().all(|byte| *byte == sign) && (whole[0] ^ sign) & 0x80 == 0;
    Ok(is_sign.then(|| i256::from_be_bytes(whole)))
}

fn too_many_digits(reader: &Reader<'_>, precision: u8) -> Problem {
    reader.wrong(format!(
        "a decimal has more than the {precision} digits of its type"
    ))
}

fn duration(reader: &mut Reader<'_>) -> Result<IntervalMonthDayNano, Problem> {
    let [months, days, milliseconds] = [
        u32::from_le_bytes(reader.array()?),
        u32::from_le_bytes(reader.array()?),
        u32::from_le_bytes(reader.array()?),
    ];
    let (Ok(months), Ok(days)) = (i32::try_from(months), i32::try_from(days)) else {
        return Err(reader.wrong(format!(
            "{months} months and {days} days are more than an interval has"
        )));
    };
    let nanoseconds = i64::from(milliseconds) * 1_000_000;
    Ok(IntervalMonthDayNano::new(months, days, nanoseconds))
}

/// A UUID as it is written.
fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
    }
    text
}

/// Goes over a value that nobody wants.
///
/// # Errors
/// When it is none.
pub(crate) fn skip(
    schema: &Schema,
    id: TypeId,
    reader: &mut Reader<'_>,
    level: usize,
) -> Result<(), Problem> {
    if level > MOST_LEVELS {
        return Err(reader.wrong(format!("values nest more than {MOST_LEVELS} levels deep")));
    }
    match schema.get(id) {
        Type::Null | Type::Open => reader.spend(1),
        Type::Boolean => reader.boolean().map(drop),
        Type::Int(_) => reader.int().map(drop),
        Type::Long(_) => reader.long().map(drop),
        Type::Float => reader.take(4).map(drop),
        Type::Double => reader.take(8).map(drop),
        Type::Bytes(_) => reader.bytes().map(drop),
        Type::Text => reader.text().map(drop),
        Type::Fixed(size, _) => {
            reader.spend(1)?;
            reader.take(*size).map(drop)
        }
        Type::Enum(symbols) => reader.index(symbols.len()).map(drop),
        Type::Array(of) | Type::Map(of) => {
            let has_keys = matches!(schema.get(id), Type::Map(_));
            loop {
                let items = reader.items()?;
                if items == 0 {
                    return Ok(());
                }
                for _ in 0..items {
                    if has_keys {
                        reader.text()?;
                    }
                    skip(schema, *of, reader, level + 1)?;
                }
            }
        }
        Type::Record(fields) => {
            reader.spend(1)?;
            for (_, of) in fields {
                skip(schema, *of, reader, level + 1)?;
            }
            Ok(())
        }
        Type::Union(branches) => {
            let branch = branches[reader.index(branches.len())?];
            skip(schema, branch, reader, level + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> Option<i128> {
        let mut reader = Reader::new(bytes, 0, 0);
        integer(&mut reader, Some(bytes.len()))
            .unwrap()
            .map(|wide| wide.to_i128().unwrap())
    }

    #[test]
    fn numbers_are_in_twos_complement_of_any_length() {
        assert_eq!(number(&[0x80]), Some(-128));
        assert_eq!(number(&[0, 0x80]), Some(128));
        assert_eq!(number(&[0xff, 0x7f]), Some(-129));
        let mut long = [0xff; 40];
        long[39] = 0xfe;
        assert_eq!(number(&long), Some(-2));
        long[0] = 0;
        assert_eq!(number(&long), None);
        // A sign that is beyond 256 bits.
        let mut long = [0; 33];
        long[1] = 0x80;
        assert_eq!(number(&long), None);
    }

    #[test]
    fn a_uuid_is_written_as_everybody_does() {
        let bytes = std::array::from_fn(|index| u8::try_from(index).unwrap() * 16 + 1);
        assert_eq!(uuid(bytes), "01112131-4151-6171-8191-a1b1c1d1e1f1");
    }
}
