//! Giving parameters their values.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::Visit;
use datafusion::sql::sqlparser::tokenizer::Span;

use super::assert::Assert;
use super::constants;
use super::copy::{self, Output};
use super::definition::Definition;
use super::diagnostic::{Diagnostic, Diagnostics, Report};
use super::options::PipelineOptions;
use super::parameters::{
    Parameter, ParameterValue, Provided, ValueOrigin, Values, as_text, convert, parse_text,
};
use super::resolve::Resolver;
use super::secret::is_credential;
use super::set;
use super::source::{self, Source};
use super::statement::parameter_uses;
use super::suggest::nearest;
use super::text::SourceText;
use super::view::View;

/// The parameters that `--from` and `--to` set: a window from the first to, but without, the second.
const WINDOW: (&str, &str) = ("data_date_start", "data_date_end");

/// A definition with values for its parameters: everything a run needs but the data.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The pipeline's name.
    pub name: String,
    /// The definition's fingerprint.
    pub fingerprint: String,
    /// Its options.
    pub options: PipelineOptions,
    /// Typed values by name, with where they came from.
    pub parameters: BTreeMap<String, ParameterValue>,
    /// DataFusion settings, in the order they were written.
    pub settings: Vec<(String, String)>,
    /// Sources, in order.
    pub sources: Vec<Source>,
    /// Steps, in order: each reads only what is above it.
    pub views: Vec<View>,
    /// Checks, in order.
    pub asserts: Vec<Assert>,
    /// Outputs, in order; at least one.
    pub outputs: Vec<Output>,
    source: Arc<SourceText>,
}

impl Bound {
    /// The text as it may be shown in messages, for mistakes that others find in it.
    pub fn source_text(&self) -> &Arc<SourceText> {
        &self.source
    }
}

/// Puts values into a definition.
///
/// `provided` holds the values given from outside by parameter name; `now` is what `current_date`
/// and `now()` mean in defaults.
///
/// # Errors
/// Every mistake at once: unknown names, missing required values, texts that are not of the declared
/// type, a window that is empty or reversed, and options that are wrong with these values.
pub fn bind(
    definition: &Definition,
    provided: &BTreeMap<String, Provided>,
    now: DateTime<Utc>,
) -> Result<Bound, Diagnostics> {
    bind_or(definition, provided, now, refuse_missing)
}

/// Binds a definition to look at it rather than to run it: a required parameter is NULL of its type.
///
/// # Errors
/// As [`bind`], but for missing values.
pub fn bind_draft(definition: &Definition, now: DateTime<Utc>) -> Result<Bound, Diagnostics> {
    bind_or(definition, &BTreeMap::new(), now, |parameter, _| {
        let value = ScalarValue::try_from(&parameter.data_type).ok()?;
        Some(ParameterValue {
            value,
            origin: ValueOrigin::Unset,
        })
    })
}

/// What a required parameter without a value comes to.
type Missing = fn(&Parameter, &mut Report) -> Option<ParameterValue>;

fn refuse_missing(parameter: &Parameter, report: &mut Report) -> Option<ParameterValue> {
    report.push(missing(parameter, report));
    None
}

fn bind_or(
    definition: &Definition,
    provided: &BTreeMap<String, Provided>,
    now: DateTime<Utc>,
    otherwise: Missing,
) -> Result<Bound, Diagnostics> {
    let mut report = Report::new(definition.source_text());
    let provided = by_declared_name(definition, provided, &mut report);
    let mut values = Values::default();
    let mut parameters = BTreeMap::new();
    for parameter in &definition.parameters {
        let value = match provided.get(parameter.name.as_str()) {
            Some(given) => read_given(parameter, given, &mut report),
            None if parameter.default.is_none() => otherwise(parameter, &mut report),
            None => compute_default(parameter, &values, now, &mut report),
        };
        if let Some(value) = value {
            values.insert(parameter, value.value.clone());
            parameters.insert(parameter.name.clone(), value);
        }
    }
    check_window(definition, &parameters, &mut report);
    let resolver = Resolver::bound(&values, now);
    let settings = set::resolve(definition.settings(), resolver, &mut report);
    let sources = definition
        .sources()
        .filter_map(|statement| source::resolve(statement, resolver, &mut report))
        .collect();
    let views = definition
        .views()
        .map(|statement| {
            let mut query = statement.query.clone();
            values.substitute(&mut query);
            View {
                name: statement.name.value.clone(),
                query,
                span: statement.span,
            }
        })
        .collect();
    let asserts = definition
        .asserts()
        .map(|statement| {
            let mut query = statement.query.clone();
            values.substitute(&mut query);
            Assert {
                query,
                message: statement.message.clone(),
                span: statement.span,
            }
        })
        .collect();
    let outputs: Vec<Output> = definition
        .outputs()
        .filter_map(|statement| {
            let mut query = statement.query.clone();
            values.substitute(&mut query);
            copy::resolve(statement, query, resolver, &mut report)
        })
        .collect();
    check_locations(&outputs, &mut report);
    report.finish()?;
    Ok(Bound {
        name: definition.name.clone(),
        fingerprint: definition.fingerprint.clone(),
        options: settings.options,
        parameters,
        settings: settings.engine,
        sources,
        views,
        asserts,
        outputs,
        source: Arc::clone(definition.source_text()),
    })
}

/// The given values by the names of declared parameters; case does not count. Others are reported.
fn by_declared_name<'a>(
    definition: &'a Definition,
    provided: &'a BTreeMap<String, Provided>,
    report: &mut Report,
) -> BTreeMap<&'a str, &'a Provided> {
    let mut known = BTreeMap::new();
    let names: Vec<&str> = definition
        .parameters
        .iter()
        .map(|parameter| parameter.name.as_str())
        .collect();
    for (name, given) in provided {
        let declared = names.iter().find(|known| known.eq_ignore_ascii_case(name));
        if let Some(declared) = declared {
            known.insert(*declared, given);
            continue;
        }
        let mistake = report
            .error_at(
                Span::empty(),
                format!("unknown parameter `{name}` ({})", given.origin),
            )
            .with_suggestion(nearest(name, names.iter().copied()));
        report.push(mistake.with_help(if names.is_empty() {
            "the pipeline has no parameters".to_owned()
        } else {
            format!("parameters: {}", names.join(", "))
        }));
    }
    known
}

fn read_given(
    parameter: &Parameter,
    given: &Provided,
    report: &mut Report,
) -> Option<ParameterValue> {
    match parse_text(&given.text, &parameter.data_type) {
        Ok(value) => Some(ParameterValue {
            value,
            origin: given.origin.clone(),
        }),
        Err(reason) => {
            let shown = if is_credential(&parameter.name) {
                "the given value".to_owned()
            } else {
                format!("`{}`", given.text)
            };
            report.error(
                parameter.span,
                format!(
                    "parameter `{}` is {} and cannot be {shown} ({}): {reason}",
                    parameter.name, parameter.sql_type, given.origin
                ),
            );
            None
        }
    }
}

fn compute_default(
    parameter: &Parameter,
    values: &Values,
    now: DateTime<Utc>,
    report: &mut Report,
) -> Option<ParameterValue> {
    let default = parameter.default.as_ref()?;
    let mut expression = default.clone();
    let uses = parameter_uses(|collector| expression.visit(collector));
    if uses.iter().any(|used| values.get(&used.name).is_none()) {
        // The parameter that it uses has been reported.
        return None;
    }
    values.substitute(&mut expression);
    let value = constants::evaluate(&expression, now)
        .and_then(|value| convert(&value, &parameter.data_type));
    match value {
        Ok(value) => Some(ParameterValue {
            value,
            origin: ValueOrigin::Default,
        }),
        Err(reason) => {
            parameter.refuse_default(&reason, report);
            None
        }
    }
}

fn missing(parameter: &Parameter, report: &Report) -> Diagnostic {
    let name = &parameter.name;
    let flag = match name.as_str() {
        start if start == WINDOW.0 => "--from 2024-01-01".to_owned(),
        end if end == WINDOW.1 => "--to 2024-02-01".to_owned(),
        _ => format!("--set {name}=value"),
    };
    report
        .error_at(parameter.span, format!("parameter `{name}` needs a value"))
        .with_help(format!("give it: {flag}"))
}

fn check_window(
    definition: &Definition,
    parameters: &BTreeMap<String, ParameterValue>,
    report: &mut Report,
) {
    let (Some(start), Some(end)) = (parameters.get(WINDOW.0), parameters.get(WINDOW.1)) else {
        return;
    };
    let instant = |value: &ScalarValue| {
        let instant = DataType::Timestamp(TimeUnit::Nanosecond, None);
        value
            .cast_to(&instant)
            .ok()
            .filter(|value| !value.is_null())
    };
    let (Some(first), Some(last)) = (instant(&start.value), instant(&end.value)) else {
        return;
    };
    let wrong = match first.partial_cmp(&last) {
        Some(Ordering::Less) | None => return,
        Some(Ordering::Equal) => "empty",
        Some(Ordering::Greater) => "reversed",
    };
    let span = definition
        .parameters
        .iter()
        .find(|parameter| parameter.name == WINDOW.1)
        .map_or_else(Span::empty, |parameter| parameter.span);
    let shown = |value: &ScalarValue| as_text(value).unwrap_or_default();
    report.push(
        report
            .error_at(
                span,
                format!(
                    "the window is {wrong}: it goes from {} ({}) to {} ({})",
                    shown(&start.value),
                    start.origin,
                    shown(&end.value),
                    end.origin
                ),
            )
            .with_help(
                "the end is not part of the window: one day is --from 2024-01-01 --to 2024-01-02",
            ),
    );
}

/// Two outputs of one pipeline cannot share a table.
fn check_locations(outputs: &[Output], report: &mut Report) {
    for (index, output) in outputs.iter().enumerate() {
        let location = output.location.trim_end_matches('/');
        let known = outputs[..index]
            .iter()
            .any(|other| other.location.trim_end_matches('/') == location);
        if known {
            report.error(
                output.location_span,
                format!("another output already writes to `{}`", output.location),
            );
        }
    }
}
