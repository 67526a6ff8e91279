//! Which types hold all values of which others. Owns that no column is read as a type that would cut its values.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, Schema};
use tables::widens;

use super::error::{ReadError, shown};

/// Whether every value of `from` is a value of `to`, digit by digit, or the reading of it is an error.
pub(crate) fn holds(to: &DataType, from: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Date64, Decimal128, Dictionary, FixedSizeBinary, Float32,
        Float64, LargeBinary, LargeList, LargeUtf8, List, Null, Struct, Timestamp, Utf8, Utf8View,
    };
    if widens(from, to) {
        return true;
    }
    match (from, to) {
        (Null, _) => true,
        (Dictionary(_, values), to) => holds(to, values),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        (
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_),
            Binary | LargeBinary | BinaryView,
        ) => true,
        (Date32, Date64) => true,
        // A time that is too far for the finer unit is an error when it is read.
        (Timestamp(from, one), Timestamp(to, other)) => {
            to >= from && one.is_some() == other.is_some()
        }
        (Decimal128(precision, scale), Decimal128(to_precision, to_scale)) => {
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            to_scale >= scale && whole(*to_precision, *to_scale) >= whole(*precision, *scale)
        }
        (from, Decimal128(precision, scale)) if from.is_integer() => {
            digits(from).is_some_and(|digits| i16::from(*precision) - i16::from(*scale) >= digits)
        }
        (from, Float64) if from.is_integer() => from.primitive_width() <= Some(4),
        (from, Float32) if from.is_integer() => from.primitive_width() <= Some(2),
        (List(from) | LargeList(from), List(to) | LargeList(to)) => {
            holds(to.data_type(), from.data_type())
        }
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| {
                    from.name() == to.name() && holds(to.data_type(), from.data_type())
                })
        }
        _ => false,
    }
}

/// As [`holds`], but of integers and bytes, those of any size: one that does not fit is an error when it is read.
pub(crate) fn holds_what_fits(to: &DataType, from: &DataType) -> bool {
    holds(to, from) || holds(&widest(to), from)
}

/// The type, with room for integers and bytes of every size.
fn widest(data_type: &DataType) -> DataType {
    let of = |field: &Field| {
        let wide = widest(field.data_type());
        Arc::new(field.clone().with_data_type(wide))
    };
    match data_type {
        integer if integer.is_integer() => DataType::Int64,
        DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::List(item) => DataType::List(of(item)),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| of(field)).collect())
        }
        other => other.clone(),
    }
}

/// Digits of the largest value of an integer type.
fn digits(integer: &DataType) -> Option<i16> {
    Some(match integer.primitive_width()? {
        1 => 3,
        2 => 5,
        4 => 10,
        _ if integer.is_signed_integer() => 19,
        _ => 20,
    })
}

/// The narrower of two types that holds all values of both, if there is one.
pub(crate) fn together(one: &DataType, other: &DataType) -> Option<DataType> {
    if holds(one, other) {
        return Some(one.clone());
    }
    if holds(other, one) {
        return Some(other.clone());
    }
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            let mut fields: Vec<Arc<Field>> = Vec::new();
            for field in one {
                let same = other.iter().find(|other| other.name() == field.name());
                let data_type = match same {
                    Some(same) => together(field.data_type(), same.data_type())?,
                    None => field.data_type().clone(),
                };
                fields.push(Arc::new(Field::new(field.name(), data_type, true)));
            }
            let more = other
                .iter()
                .filter(|other| one.iter().all(|field| field.name() != other.name()));
            fields.extend(more.cloned());
            Some(DataType::Struct(Fields::from(fields)))
        }
        (DataType::Decimal128(precision, one_scale), DataType::Decimal128(other, other_scale)) => {
            let scale = (*one_scale).max(*other_scale);
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            let most = whole(*precision, *one_scale).max(whole(*other, *other_scale));
            let precision = u8::try_from(most + i16::from(scale)).ok()?;
            (precision <= DECIMAL128_MAX_PRECISION)
                .then_some(DataType::Decimal128(precision, scale))
        }
        (one, other) if one.is_integer() && other.is_integer() => [
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Decimal128(20, 0),
        ]
        .into_iter()
        .find(|wide| holds(wide, one) && holds(wide, other)),
        _ => None,
    }
}

/// What is wrong with a type that a file says it has, if no table can have it.
fn impossible(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let most = if matches!(data_type, DataType::Decimal128(..)) {
                38
            } else {
                76
            };
            let right =
                (1..=most).contains(precision) && i16::from(*scale) <= i16::from(*precision);
            (!right).then(|| format!("there is no type DECIMAL({precision},{scale})"))
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            impossible(item.data_type())
        }
        DataType::Struct(fields) => fields
            .iter()
            .find_map(|field| impossible(field.data_type())),
        DataType::Dictionary(_, values) => impossible(values),
        _ => None,
    }
}

/// What a table cannot have: two columns of one name, and types that there are not.
pub(crate) fn check_schema(file: &str, schema: &Schema) -> Result<(), ReadError> {
    let mut names = HashSet::new();
    for field in schema.fields() {
        if !names.insert(field.name()) {
            return Err(ReadError::of_file(
                file,
                format!("two of its columns are called `{}`", shown(field.name())),
            ));
        }
        if let Some(problem) = impossible(field.data_type()) {
            return Err(ReadError {
                column: Some(field.name().clone()),
                ..ReadError::of_file(file, problem)
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn a_type_holds_what_has_no_more_than_it() {
        use DataType::{Decimal128, Float32, Float64, Int8, Int32, Int64, UInt32, UInt64, Utf8};
        let timestamp = |unit| DataType::Timestamp(unit, None);
        for (to, from) in [
            (Int64, Int32),
            (Int64, UInt32),
            (Float64, Int32),
            (Float64, Float32),
            (Decimal128(20, 0), UInt64),
            (Decimal128(12, 2), Decimal128(10, 2)),
            (Utf8, DataType::Dictionary(Box::new(Int8), Box::new(Utf8))),
            (timestamp(TimeUnit::Nanosecond), timestamp(TimeUnit::Second)),
        ] {
            assert!(holds(&to, &from), "{to} {from}");
        }
        for (to, from) in [
            (Int32, Int64),
            (Int64, UInt64),
            (Int32, Float64),
            (Float64, Int64),
            (Float32, Int32),
            (Decimal128(10, 2), Decimal128(10, 3)),
            (Decimal128(10, 3), Decimal128(10, 2)),
            (Utf8, Int32),
            (
                timestamp(TimeUnit::Microsecond),
                timestamp(TimeUnit::Nanosecond),
            ),
        ] {
            assert!(!holds(&to, &from), "{to} {from}");
        }
    }

    #[test]
    fn two_types_have_room_in_one() {
        use DataType::{Decimal128, Int32, Int64, UInt32, UInt64, Utf8};
        assert_eq!(together(&Int32, &UInt32), Some(Int64));
        assert_eq!(together(&Int64, &UInt64), Some(Decimal128(20, 0)));
        assert_eq!(
            together(&Decimal128(10, 2), &Decimal128(10, 4)),
            Some(Decimal128(12, 4))
        );
        assert_eq!(together(&Int32, &Utf8), None);
    }
}
