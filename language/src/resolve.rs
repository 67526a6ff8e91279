//! The text of a constant expression, once its parameters have values.
//!
//! Options and locations are checked twice with the same code: when a definition is read, for those
//! that use no parameter, and when it is bound, for all.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{Expr, Value, Visit};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::constants;
use super::diagnostic::Report;
use super::parameters::{Values, as_text, placeholder_name};
use super::secret::string_of;
use super::statement::{Entry, parameter_uses};

/// What a constant expression came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    /// A value.
    Text(String),
    /// NULL: as if the option were not there.
    Null,
    /// It uses parameters, and they have no values yet.
    Unknown,
    /// It is no constant. The mistake is reported.
    Failed,
}

/// Computes constant expressions, with or without values for parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolver<'a> {
    values: Option<&'a Values>,
    now: DateTime<Utc>,
}

impl<'a> Resolver<'a> {
    /// For checking a definition before parameters have values.
    pub(super) fn unbound(now: DateTime<Utc>) -> Self {
        Self { values: None, now }
    }

    /// For a run.
    pub(super) fn bound(values: &'a Values, now: DateTime<Utc>) -> Self {
        Self {
            values: Some(values),
            now,
        }
    }

    /// Computes one expression; `what` names it in messages.
    pub(super) fn text(
        self,
        expression: &Expr,
        span: Span,
        what: &str,
        report: &mut Report,
    ) -> Resolved {
        if let Expr::Value(literal) = expression {
            match &literal.value {
                Value::Number(number, _) => return Resolved::Text(number.clone()),
                Value::Boolean(truth) => return Resolved::Text(truth.to_string()),
                Value::Null => return Resolved::Null,
                Value::Placeholder(text) => {
                    // A parameter that failed has been reported where it is declared.
                    return match self.values {
                        None => Resolved::Unknown,
                        Some(values) => match values.get(&placeholder_name(text)) {
                            Some(value) => as_text(value).map_or(Resolved::Null, Resolved::Text),
                            None => Resolved::Failed,
                        },
                    };
                }
                other => {
                    if let Some(text) = string_of(other) {
                        return Resolved::Text(text.to_owned());
                    }
                }
            }
        }
        let mut expression = expression.clone();
        let uses = parameter_uses(|collector| expression.visit(collector));
        if !uses.is_empty() {
            let Some(values) = self.values else {
                return Resolved::Unknown;
            };
            if uses.iter().any(|used| values.get(&used.name).is_none()) {
                return Resolved::Failed;
            }
            values.substitute(&mut expression);
        }
        match constants::evaluate(&expression, self.now) {
            Ok(value) => as_text(&value).map_or(Resolved::Null, Resolved::Text),
            Err(reason) => {
                let message = if report.source().hides_in(span) {
                    format!("{what} is not a constant")
                } else {
                    format!("{what} is not a constant: {reason}")
                };
                report.error(span, message);
                Resolved::Failed
            }
        }
    }
}

/// The entries of an option list by key. A key that is there twice is reported.
pub(super) fn by_key<'a>(
    entries: &'a [Entry],
    report: &mut Report,
) -> BTreeMap<&'a str, &'a Entry> {
    let mut known: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in entries {
        if known.contains_key(entry.key.value.as_str()) {
            report.error(
                entry.key.span,
                format!("option `{}` is given twice", entry.key.value),
            );
        } else {
            known.insert(&entry.key.value, entry);
        }
    }
    known
}
