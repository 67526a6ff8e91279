//! Parameters: their declaration, the typing of values, and putting values into syntax trees.
//!
//! A value is parsed as the declared type and put into the tree as a typed literal. Text is never
//! pasted, so nothing in a value can become part of a query.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, Expr, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::constants::plain_message;
use super::diagnostic::Report;

/// Where the value of a parameter came from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueOrigin {
    /// The declaration's `DEFAULT`.
    Default,
    /// A flag of the command line: `--set`, `--from`.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// An entry of the queue.
    Queue,
    /// The bundled sample, which stands in where nothing is configured.
    Sample,
    /// Nobody: the pipeline is looked at, not run.
    Unset,
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Flag(flag) => formatter.write_str(flag),
            Self::Environment(variable) => write!(formatter, "environment {variable}"),
            Self::Queue => formatter.write_str("queue"),
            Self::Sample => formatter.write_str("sample"),
            Self::Unset => formatter.write_str("not set"),
        }
    }
}

/// A value given from outside, not typed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// The text as given.
    pub text: String,
    /// Who gave it.
    pub origin: ValueOrigin,
}

/// A declared parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name, lowercase unless quoted; used as `$name`.
    pub name: String,
    /// The Arrow type of its values.
    pub data_type: DataType,
    /// The type as declared.
    pub sql_type: SqlType,
    /// The default as written; it may use parameters declared above.
    pub default: Option<Expr>,
    /// Where the default stands.
    pub default_span: Span,
    /// Whether a run must give a value, because there is no default.
    pub required: bool,
    /// The comment behind the declaration, or right above it.
    pub description: Option<String>,
    /// Where the name stands.
    pub span: Span,
}

impl Parameter {
    /// Reports a default that is no value of its type.
    pub(super) fn refuse_default(&self, reason: &str, report: &mut Report) {
        let mut message = format!("the default of `{}` is no {}", self.name, self.sql_type);
        if !report.source().hides_in(self.default_span) {
            message = format!("{message}: {reason}");
        }
        report.error(self.default_span, message);
    }
}

/// The value of a parameter in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterValue {
    /// The typed value; may be NULL only through a default.
    pub value: ScalarValue,
    /// Where it came from.
    pub origin: ValueOrigin,
}

impl ParameterValue {
    /// The value as a user would write it; `None` for NULL.
    pub fn text(&self) -> Option<String> {
        as_text(&self.value)
    }
}

/// Types a parameter may have, as they are named in messages.
pub(super) const PARAMETER_TYPES: &[&str] = &[
    "TEXT",
    "DATE",
    "TIMESTAMP",
    "SMALLINT",
    "INT",
    "BIGINT",
    "REAL",
    "DOUBLE",
    "DECIMAL",
    "BOOLEAN",
    "INTERVAL",
];

/// Whether parameters may have this type.
pub(super) fn is_parameter_type(data_type: &DataType) -> bool {
    is_text(data_type)
        || data_type.is_integer()
        || data_type.is_floating()
        || matches!(
            data_type,
            DataType::Date32
                | DataType::Timestamp(_, _)
                | DataType::Decimal128(_, _)
                | DataType::Decimal256(_, _)
                | DataType::Boolean
                | DataType::Interval(_)
        )
}

/// Whether values of the type are strings.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Reads a text as a value of a type, strictly: nothing is rounded, cut off or guessed.
///
/// # Errors
/// What the type expects.
pub(super) fn parse_text(text: &str, data_type: &DataType) -> Result<ScalarValue, String> {
    let cast = |text: &str| {
        ScalarValue::Utf8(Some(text.to_owned()))
            .cast_to(data_type)
            .map_err(|error| plain_message(&error))
    };
    let trimmed = text.trim();
    match data_type {
        text_type if is_text(text_type) => cast(text),
        DataType::Date32 => {
            // Arrow would also take a timestamp here and drop its time.
            NaiveDate::parse_from_str(trimmed, "%Y-%m-%d")
                .map_err(|_| "expected a date such as 2024-01-31".to_owned())?;
            cast(trimmed).map_err(|_| "expected a date such as 2024-01-31".to_owned())
        }
        DataType::Timestamp(_, _) => {
            cast(trimmed).map_err(|_| "expected a time such as 2024-01-31T08:00:00Z".to_owned())
        }
        DataType::Boolean => cast(trimmed).map_err(|_| "expected true or false".to_owned()),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            let fraction = trimmed.split_once('.').map_or("", |(_, fraction)| fraction);
            let digits = fraction.trim_end_matches('0').len();
            if digits > usize::try_from(*scale).unwrap_or(0) {
                return Err(format!("expected at most {scale} digits after the point"));
            }
            cast(trimmed).map_err(|_| "expected a number that fits".to_owned())
        }
        integer if integer.is_integer() => {
            cast(trimmed).map_err(|_| "expected a whole number that fits".to_owned())
        }
        DataType::Interval(_) => {
            cast(trimmed).map_err(|_| "expected a span of time such as 7 days".to_owned())
        }
        _ => cast(trimmed).map_err(|_| "expected a number".to_owned()),
    }
}

/// Turns a computed default into a value of the declared type.
///
/// # Errors
/// Why it does not fit.
pub(super) fn convert(value: &ScalarValue, data_type: &DataType) -> Result<ScalarValue, String> {
    if let Some(text) = value.try_as_str().flatten() {
        return parse_text(text, data_type);
    }
    let source = value.data_type();
    let converted = value
        .cast_to(data_type)
        .map_err(|error| plain_message(&error))?;
    let altered = source.is_numeric()
        && data_type.is_numeric()
        && !data_type.is_floating()
        && converted.cast_to(&source).ok().as_ref() != Some(value);
    if altered || !value.is_null() && converted.is_null() {
        return Err(format!("{value} does not fit"));
    }
    Ok(converted)
}

/// A value as an option or a location takes it; `None` for NULL.
///
/// Dates are `2024-01-31`; times are `2024-01-31T08:00:00`, in UTC.
pub(super) fn as_text(value: &ScalarValue) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = value.cast_to(&DataType::Utf8).ok()?;
    text.try_as_str().flatten().map(str::to_owned)
}

/// A value as a typed literal of a syntax tree, standing where the parameter stood.
fn literal(value: &ScalarValue, sql_type: &SqlType, span: Span) -> Expr {
    let plain = |value: Value| Expr::Value(ValueWithSpan { value, span });
    match value {
        ScalarValue::Boolean(Some(truth)) => return plain(Value::Boolean(*truth)),
        ScalarValue::Int64(Some(number)) if *number >= 0 => {
            return plain(Value::Number(number.to_string(), false));
        }
        text if is_text(&text.data_type()) && !text.is_null() => {
            if let Some(text) = as_text(text) {
                return plain(Value::SingleQuotedString(text));
            }
        }
        _ => {}
    }
    let inner = as_text(value).map_or(Value::Null, Value::SingleQuotedString);
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(plain(inner)),
        data_type: sql_type.clone(),
        array: false,
        format: None,
    }
}

/// Values by parameter name, ready to be put into syntax trees.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    known: BTreeMap<String, (ScalarValue, SqlType)>,
}

impl Values {
    pub(super) fn insert(&mut self, parameter: &Parameter, value: ScalarValue) {
        self.known
            .insert(parameter.name.clone(), (value, parameter.sql_type.clone()));
    }

    pub(super) fn get(&self, name: &str) -> Option<&ScalarValue> {
        self.known.get(name).map(|(value, _)| value)
    }

    /// Puts the values into a tree. A parameter without a value stays.
    pub(super) fn substitute<T: VisitMut>(&self, tree: &mut T) {
        // The substitution never breaks off.
        let _ = tree.visit(&mut Substitution(self));
    }
}

struct Substitution<'a>(&'a Values);

impl VisitorMut for Substitution<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(ValueWithSpan {
            value: Value::Placeholder(text),
            span,
        }) = expression
            && let Some((value, sql_type)) = self.0.known.get(&placeholder_name(text))
        {
            *expression = literal(value, sql_type, *span);
        }
        ControlFlow::Continue(())
    }
}

/// `$Name` as the parameter `name`.
pub(super) fn placeholder_name(text: &str) -> String {
    text.strip_prefix('$').unwrap_or(text).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{IntervalUnit, TimeUnit};
    use rstest::rstest;

    #[rstest]
    #[case("2024-02-29", DataType::Date32, "2024-02-29")]
    #[case(" 42 ", DataType::Int32, "42")]
    #[case("-7", DataType::Int64, "-7")]
    #[case("2.5", DataType::Float64, "2.5")]
    #[case("true", DataType::Boolean, "true")]
    #[case("12.50", DataType::Decimal128(10, 2), "12.50")]
    #[case("x'; DROP TABLE t; --", DataType::Utf8View, "x'; DROP TABLE t; --")]
    #[case(
        "2024-01-31T08:00:00+02:00",
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        "2024-01-31T06:00:00"
    )]
    fn a_text_becomes_a_value_of_its_type(
        #[case] text: &str,
        #[case] data_type: DataType,
        #[case] expected: &str,
    ) {
        let value = parse_text(text, &data_type).unwrap();
        assert_eq!(value.data_type(), data_type);
        assert_eq!(as_text(&value).unwrap(), expected);
    }

    #[rstest]
    #[case("2024-01-31T10:00:00", DataType::Date32)]
    #[case("2023-02-29", DataType::Date32)]
    #[case("1.5", DataType::Int32)]
    #[case("99999999999", DataType::Int32)]
    #[case("", DataType::Int64)]
    #[case("perhaps", DataType::Boolean)]
    #[case("1.239", DataType::Decimal128(5, 2))]
    #[case("12345.00", DataType::Decimal128(5, 2))]
    #[case("often", DataType::Interval(IntervalUnit::MonthDayNano))]
    #[case("noon", DataType::Timestamp(TimeUnit::Nanosecond, None))]
    fn a_text_of_another_type_is_refused(#[case] text: &str, #[case] data_type: DataType) {
        assert!(parse_text(text, &data_type).is_err(), "{text}");
    }

    #[test]
    fn a_default_that_would_be_rounded_is_refused() {
        assert!(convert(&ScalarValue::from(1.5_f64), &DataType::Int64).is_err());
        assert_eq!(
            convert(&ScalarValue::from(5_i64), &DataType::Int32).unwrap(),
            ScalarValue::from(5_i32)
        );
    }
}
