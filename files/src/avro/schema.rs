//! The schema that a file has in its header. Owns the reading of it: names and what they stand for, logical types that are
//! right; one that is not is ignored, as the format says.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// Where a type is among those of its schema: types may be within themselves.
pub(crate) type TypeId = usize;

/// Types of a schema at most.
const MOST_TYPES: usize = 1 << 20;

/// How values are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    /// Nothing.
    Null,
    /// A byte.
    Boolean,
    /// 32 bits.
    Int(Option<OfInt>),
    /// 64 bits.
    Long(Option<OfLong>),
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// Bytes behind their length.
    Bytes(Option<Decimal>),
    /// A text behind its length.
    Text,
    /// So many bytes.
    Fixed(usize, Option<OfFixed>),
    /// One of these texts.
    Enum(Vec<String>),
    /// Values of one type.
    Array(TypeId),
    /// Values with keys.
    Map(TypeId),
    /// Values with names.
    Record(Vec<(String, TypeId)>),
    /// One of these.
    Union(Vec<TypeId>),
    /// A name whose type is not read yet.
    Open,
}

/// What 32 bits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfInt {
    /// Days since 1970.
    Date,
    /// Milliseconds of a day.
    Time,
}

/// What 64 bits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfLong {
    /// Microseconds of a day.
    Time,
    /// Since 1970.
    Timestamp(Unit, Zone),
}

/// What instants are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A thousandth of a second.
    Millisecond,
    /// A thousandth of that.
    Microsecond,
    /// A thousandth of that.
    Nanosecond,
}

/// Whether an instant is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// It is.
    Utc,
    /// It is what a clock shows.
    Local,
}

/// A decimal's digits, and how many of them are behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    /// Digits.
    pub precision: u32,
    /// Those behind the point.
    pub scale: u32,
}

/// What a number of bytes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfFixed {
    /// A number.
    Decimal(Decimal),
    /// Months, days and milliseconds.
    Duration,
    /// A UUID.
    Uuid,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

impl Schema {
    /// Of no value, until one is read.
    pub(crate) fn of_nothing() -> Self {
        Self {
            types: vec![Type::Null],
            root: 0,
        }
    }

    /// From its text.
    ///
    /// # Errors
    /// In words, when it is none.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let schema: Value = serde_json::from_slice(text)
            .map_err(|error| format!("its schema is no JSON: {error}"))?;
        let mut parser = Parser::default();
        let root = parser.value(&schema, "")?;
        if let Some(name) = parser
            .names
            .iter()
            .find_map(|(name, id)| (parser.types.get(*id) == Some(&Type::Open)).then_some(name))
        {
            return Err(format!("its schema has the name `{name}` without a type"));
        }
        Ok(Self {
            types: parser.types,
            root,
        })
    }

    /// A type.
    pub(crate) fn get(&self, id: TypeId) -> &Type {
        &self.types[id]
    }

    /// The fields of its records; `None` if it is no schema of records.
    pub(crate) fn records(&self) -> Option<&[(String, TypeId)]> {
        match self.get(self.root) {
            Type::Record(fields) => Some(fields),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Parser {
    types: Vec<Type>,
    names: HashMap<String, TypeId>,
}

impl Parser {
    fn add(&mut self, new: Type) -> Result<TypeId, String> {
        if self.types.len() >= MOST_TYPES {
            return Err("its schema has too many types".to_owned());
        }
        self.types.push(new);
        Ok(self.types.len() - 1)
    }

    fn value(&mut self, value: &Value, namespace: &str) -> Result<TypeId, String> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches: Result<Vec<TypeId>, String> = branches
                    .iter()
                    .map(|branch| self.value(branch, namespace))
                    .collect();
                let branches = branches?;
                self.add(Type::Union(branches))
            }
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("its schema has {other} where a type is expected")),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<TypeId, String> {
        if let Some(primitive) = primitive(name, &Map::new()) {
            return self.add(primitive);
        }
        let known = self.names.get(&full_name(name, namespace));
        let known = known.or_else(|| self.names.get(name)).copied();
        known.ok_or_else(|| format!("its schema has the type `{name}`, which is not defined"))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, String> {
        let of = object
            .get("type")
            .ok_or("its schema has an object without a type")?;
        let Value::String(word) = of else {
            return self.value(of, namespace);
        };
        match word.as_str() {
            "array" => {
                let items = object
                    .get("items")
                    .ok_or("its schema has an array without items")?;
                let items = self.value(items, namespace)?;
                self.add(Type::Array(items))
            }
            "map" => {
                let values = object
                    .get("values")
                    .ok_or("its schema has a map without values")?;
                let values = self.value(values, namespace)?;
                self.add(Type::Map(values))
            }
            "record" | "error" => self.record(object, namespace),
            "enum" => {
                let (id, _) = self.define(object, namespace)?;
                let symbols =
                    texts(object.get("symbols")).ok_or("its schema has an enum without symbols")?;
                self.types[id] = Type::Enum(symbols);
                Ok(id)
            }
            "fixed" => {
                let (id, _) = self.define(object, namespace)?;
                let size = number(object, "size").and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or("its schema has a fixed type without a size")?;
                self.types[id] = Type::Fixed(size, of_fixed(size, object));
                Ok(id)
            }
            name => match primitive(name, object) {
                Some(primitive) => self.add(primitive),
                None => self.named(name, namespace),
            },
        }
    }

    /// Makes a name known, and gives the namespace of what is within its type.
    fn define(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<(TypeId, String), String> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let name = text("name").ok_or("its schema has a type without a name")?;
        let full = full_name(name, text("namespace").unwrap_or(namespace));
        let id = self.add(Type::Open)?;
        let inner = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let inner = inner.to_owned();
        if self.names.insert(full.clone(), id).is_some() {
            return Err(format!("its schema defines `{full}` twice"));
        }
        Ok((id, inner))
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, String> {
        let (id, inner) = self.define(object, namespace)?;
        let listed = object.get("fields").and_then(Value::as_array);
        let listed = listed.ok_or("its schema has a record without fields")?;
        let (mut fields, mut names) = (Vec::with_capacity(listed.len()), HashSet::new());
        for field in listed {
            let name = field.get("name").and_then(Value::as_str);
            let name = name.ok_or("its schema has a field without a name")?;
            if !names.insert(name) {
                return Err(format!("its schema has a record with two fields `{name}`"));
            }
            let of = field
                .get("type")
                .ok_or("its schema has a field without a type")?;
            let of = self.value(of, &inner)?;
            fields.push((name.to_owned(), of));
        }
        self.types[id] = Type::Record(fields);
        Ok(id)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    match name.contains('.') || namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    let values = value?.as_array()?.iter();
    values
        .map(|value| value.as_str().map(str::to_owned))
        .collect()
}

fn number(object: &Map<String, Value>, key: &str) -> Option<u64> {
    object.get(key).and_then(Value::as_u64)
}

fn primitive(name: &str, object: &Map<String, Value>) -> Option<Type> {
    let logical = object.get("logicalType").and_then(Value::as_str);
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int(match logical {
            Some("date") => Some(OfInt::Date),
            Some("time-millis") => Some(OfInt::Time),
            _ => None,
        }),
        "long" => Type::Long(logical.and_then(of_long)),
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes(match logical {
            Some("decimal") => decimal(object),
            _ => None,
        }),
        "string" => Type::Text,
        _ => return None,
    })
}

fn of_long(logical: &str) -> Option<OfLong> {
    let (zone, unit) = match logical.strip_prefix("local-timestamp-") {
        Some(unit) => (Zone::Local, unit),
        None if logical == "time-micros" => return Some(OfLong::Time),
        None => (Zone::Utc, logical.strip_prefix("timestamp-")?),
    };
    let unit = match unit {
        "millis" => Unit::Millisecond,
        "micros" => Unit::Microsecond,
        "nanos" => Unit::Nanosecond,
        _ => return None,
    };
    Some(OfLong::Timestamp(unit, zone))
}

fn decimal(object: &Map<String, Value>) -> Option<Decimal> {
    let precision = number(object, "precision").and_then(|number| u32::try_from(number).ok())?;
    let scale = match object.get("scale") {
        None => 0,
        Some(scale) => scale.as_u64().and_then(|scale| u32::try_from(scale).ok())?,
    };
    (precision > 0 && scale <= precision).then_some(Decimal { precision, scale })
}

fn of_fixed(size: usize, object: &Map<String, Value>) -> Option<OfFixed> {
    match object.get("logicalType").and_then(Value::as_str)? {
        "decimal" => {
            let decimal = decimal(object)?;
            // Digits that so many bytes hold: log10(2^(8 × size − 1) − 1).
            let bits = (size as u64).saturating_mul(8).saturating_sub(1);
            let most = bits as f64 * std::f64::consts::LOG10_2;
            (f64::from(decimal.precision) <= most).then_some(OfFixed::Decimal(decimal))
        }
        "duration" if size == 12 => Some(OfFixed::Duration),
        "uuid" if size == 16 => Some(OfFixed::Uuid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Type, String> {
        let schema = Schema::parse(text.as_bytes())?;
        Ok(schema.get(schema.root).clone())
    }

    #[test]
    fn logical_types_that_are_wrong_are_ignored() {
        let decimal = |precision, scale| Decimal { precision, scale };
        let bytes = |attributes: &str| {
            of(&format!(
                r#"{{"type":"bytes","logicalType":"decimal"{attributes}}}"#
            ))
        };
        assert_eq!(
            bytes(r#","precision":9,"scale":2"#),
            Ok(Type::Bytes(Some(decimal(9, 2))))
        );
        assert_eq!(bytes(r#","precision":2,"scale":9"#), Ok(Type::Bytes(None)));
        assert_eq!(bytes(""), Ok(Type::Bytes(None)));
        let fixed = |size: u32, precision: u32| {
            of(&format!(
                r#"{{"type":"fixed","name":"f","size":{size},"logicalType":"decimal","precision":{precision}}}"#
            ))
        };
        let right =
            |size, precision| Type::Fixed(size, Some(OfFixed::Decimal(decimal(precision, 0))));
        assert_eq!(fixed(4, 9), Ok(right(4, 9)));
        assert_eq!(fixed(4, 10), Ok(Type::Fixed(4, None)));
        assert_eq!(fixed(16, 38), Ok(right(16, 38)));
        assert_eq!(
            of(r#"{"type":"string","logicalType":"date"}"#),
            Ok(Type::Text)
        );
    }

    #[test]
    fn names_stand_for_types_in_their_namespace() {
        let text = r#"{"type":"record","name":"a.b.R","fields":[
            {"name":"f","type":{"type":"fixed","name":"F","size":2}},
            {"name":"g","type":"F"},{"name":"h","type":"a.b.F"},
            {"name":"next","type":["null","R"]}]}"#;
        let schema = Schema::parse(text.as_bytes()).unwrap();
        let fields = schema.records().unwrap();
        assert_eq!(fields[0].1, fields[1].1);
        assert_eq!(fields[0].1, fields[2].1);
        let Type::Union(branches) = schema.get(fields[3].1) else {
            unreachable!()
        };
        assert_eq!(branches[1], schema.root);
    }

    #[test]
    fn what_is_no_schema_is_told() {
        for (text, expected) in [
            ("{", "no JSON"),
            ("7", "7 where a type is expected"),
            (r#""strin""#, "`strin`, which is not defined"),
            (r#"{"type":"record","name":"r"}"#, "a record without fields"),
            (
                r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
                "two fields `a`",
            ),
            (r#"{"type":"fixed","name":"f","size":-1}"#, "without a size"),
        ] {
            let problem = of(text).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
