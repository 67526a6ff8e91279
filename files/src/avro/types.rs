//! The types of columns for those of Avro. Owns which types no column has: unions of several types, records within themselves,
//! decimals with more digits than there are.

use std::sync::Arc;

use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, Fields, IntervalUnit,
    Schema as Columns, TimeUnit,
};

use super::schema::{Decimal, OfFixed, OfInt, OfLong, Schema, Type, TypeId, Unit, Zone};

/// Fields that a column may have within it: names that stand for large types can make many of a short schema.
const MOST_FIELDS: usize = 100_000;

/// Why a field of the records is no column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoColumn {
    /// Its name.
    pub name: String,
    /// Why.
    pub problem: String,
}

/// The columns of a file, those that are wanted.
///
/// # Errors
/// When one of them cannot be a column.
pub(crate) fn columns(
    schema: &Schema,
    is_wanted: impl Fn(&str, TypeId) -> bool,
) -> Result<Columns, NoColumn> {
    let fields = schema.records().unwrap_or_default().iter();
    let fields = fields
        .filter(|(name, id)| is_wanted(name, *id))
        .map(|(name, id)| {
            let data_type = data_type(schema, *id).map_err(|problem| NoColumn {
                name: name.clone(),
                problem,
            })?;
            Ok(Field::new(name, data_type, true))
        });
    Ok(Columns::new(fields.collect::<Result<Vec<_>, NoColumn>>()?))
}

/// The type of a column.
///
/// # Errors
/// In words, when there is none.
pub(crate) fn data_type(schema: &Schema, id: TypeId) -> Result<DataType, String> {
    let mut walk = Walk {
        schema,
        within: Vec::new(),
        fields: 0,
    };
    walk.data_type(id)
}

/// The one type of a union that is not null, and where it is among the branches; `None` if there are several.
pub(crate) fn optional(schema: &Schema, branches: &[TypeId]) -> Option<(usize, TypeId)> {
    let mut others = branches
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, branch)| *schema.get(*branch) != Type::Null);
    let only = others.next()?;
    others.next().is_none().then_some(only)
}

struct Walk<'a> {
    schema: &'a Schema,
    /// The types that this one is within.
    within: Vec<TypeId>,
    fields: usize,
}

impl Walk<'_> {
    fn data_type(&mut self, id: TypeId) -> Result<DataType, String> {
        if self.within.contains(&id) {
            return Err("it is a record within itself, which no column is".to_owned());
        }
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            return Err(format!("it has more than {MOST_FIELDS} fields in it"));
        }
        self.within.push(id);
        let data_type = self.of(id)?;
        self.within.pop();
        Ok(data_type)
    }

    fn of(&mut self, id: TypeId) -> Result<DataType, String> {
        let schema = self.schema;
        Ok(match schema.get(id) {
            Type::Null | Type::Open => DataType::Null,
            Type::Boolean => DataType::Boolean,
            Type::Int(None) => DataType::Int32,
            Type::Int(Some(OfInt::Date)) => DataType::Date32,
            Type::Int(Some(OfInt::Time)) => DataType::Time32(TimeUnit::Millisecond),
            Type::Long(None) => DataType::Int64,
            Type::Long(Some(OfLong::Time)) => DataType::Time64(TimeUnit::Microsecond),
            Type::Long(Some(OfLong::Timestamp(unit, zone))) => {
                let unit = match unit {
                    Unit::Millisecond => TimeUnit::Millisecond,
                    Unit::Microsecond => TimeUnit::Microsecond,
                    Unit::Nanosecond => TimeUnit::Nanosecond,
                };
                DataType::Timestamp(unit, (*zone == Zone::Utc).then(|| "UTC".into()))
            }
            Type::Float => DataType::Float32,
            Type::Double => DataType::Float64,
            Type::Bytes(Some(decimal)) | Type::Fixed(_, Some(OfFixed::Decimal(decimal))) => {
                of_decimal(*decimal)?
            }
            Type::Fixed(_, Some(OfFixed::Duration)) => {
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            Type::Text | Type::Enum(_) | Type::Fixed(_, Some(OfFixed::Uuid)) => DataType::Utf8,
            Type::Bytes(None) | Type::Fixed(_, None) => DataType::Binary,
            Type::Array(items) => DataType::new_list(self.data_type(*items)?, true),
            Type::Map(values) => {
                let value = self.data_type(*values)?;
                let entry = Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", value, true),
                ]);
                let entries = Field::new("entries", DataType::Struct(entry), false);
                DataType::Map(Arc::new(entries), false)
            }
            Type::Record(fields) => {
                let fields = fields.iter().map(|(name, id)| {
                    let data_type = self.data_type(*id)?;
                    Ok(Field::new(name, data_type, true))
                });
                DataType::Struct(fields.collect::<Result<Fields, String>>()?)
            }
            Type::Union(branches) => match optional(schema, branches) {
                Some((_, only)) => self.data_type(only)?,
                None if branches.iter().all(|id| *schema.get(*id) == Type::Null) => DataType::Null,
                None => {
                    let names: Vec<&str> =
                        branches.iter().map(|id| word(schema.get(*id))).collect();
                    return Err(format!(
                        "it is a union of {}, and a column has one type",
                        names.join(", ")
                    ));
                }
            },
        })
    }
}

fn of_decimal(decimal: Decimal) -> Result<DataType, String> {
    let digits = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    let scale = i8::try_from(decimal.scale).unwrap_or(i8::MAX);
    match digits(decimal.precision) {
        precision if precision <= DECIMAL128_MAX_PRECISION => {
            Ok(DataType::Decimal128(precision, scale))
        }
        precision if precision <= DECIMAL256_MAX_PRECISION => {
            Ok(DataType::Decimal256(precision, scale))
        }
        _ => Err(format!(
            "it is a decimal of {} digits, and a column has {DECIMAL256_MAX_PRECISION} at most",
            decimal.precision
        )),
    }
}

/// What the format calls a type.
fn word(of: &Type) -> &'static str {
    match of {
        Type::Null | Type::Open => "null",
        Type::Boolean => "boolean",
        Type::Int(_) => "int",
        Type::Long(_) => "long",
        Type::Float => "float",
        Type::Double => "double",
        Type::Bytes(_) => "bytes",
        Type::Text => "string",
        Type::Fixed(..) => "fixed",
        Type::Enum(_) => "enum",
        Type::Array(_) => "array",
        Type::Map(_) => "map",
        Type::Record(_) => "record",
        Type::Union(_) => "union",
    }
}
