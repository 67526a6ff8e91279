//! `SET pipeline.option = value` and `SET datafusion.key = value`.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Parsed};
use super::diagnostic::{Diagnostic, Report};
use super::options::{OptionError, PipelineOptions, check_engine_setting};
use super::resolve::{Resolved, Resolver};
use super::statement::Entry;
use super::suggest::nearest;

/// Reads the rest of a `SET`, after the keyword.
pub(super) fn read(cursor: &mut Cursor) -> Parsed<Entry> {
    let key = cursor.dotted_name("an option's name")?;
    if !cursor.accept_token(&Token::Eq) && !cursor.accept(Keyword::TO) {
        return Err(cursor.unexpected(&["="]));
    }
    let (value, value_span) = cursor.value()?;
    cursor.finish()?;
    Ok(Entry {
        key,
        value,
        value_span,
    })
}

/// What the `SET` statements of a definition come to.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) options: PipelineOptions,
    pub(super) engine: Vec<(String, String)>,
}

/// Checks and types the `SET` statements. Those that use parameters without a value are left out.
pub(super) fn resolve<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> Settings {
    let mut settings = Settings::default();
    let mut seen = BTreeSet::new();
    for entry in entries {
        let key = entry.key.value.as_str();
        if !seen.insert(key) {
            report.error(entry.key.span, format!("option `{key}` is set twice"));
            continue;
        }
        let option = key.strip_prefix("pipeline.");
        if option.is_none() && !key.starts_with("datafusion.") {
            report.push(unknown_family(entry, report));
            continue;
        }
        let what = format!("the value of `{key}`");
        let text = match resolver.text(&entry.value, entry.value_span, &what, report) {
            Resolved::Text(text) => Some(text),
            Resolved::Null | Resolved::Unknown | Resolved::Failed => None,
        };
        if let Some(option) = option {
            set_option(
                option,
                text.as_deref(),
                entry,
                &mut settings.options,
                report,
            );
        } else if let Err(refused) = check_engine_setting(key, text.as_deref()) {
            let span = if refused.by_value {
                entry.value_span
            } else {
                entry.key.span
            };
            let mut mistake = report.error_at(span, refused.message);
            mistake.suggestion = refused.suggestion;
            mistake.help = refused.help.map(str::to_owned);
            report.push(mistake);
        } else if let Some(text) = text {
            settings.engine.push((key.to_owned(), text));
        }
    }
    settings
}

fn set_option(
    option: &str,
    text: Option<&str>,
    entry: &Entry,
    options: &mut PipelineOptions,
    report: &mut Report,
) {
    // Without a value yet the name can still be checked, on a copy.
    let outcome = match text {
        Some(text) => options.set(option, text),
        None => match PipelineOptions::default().set(option, "") {
            Err(OptionError::Invalid { .. }) => Ok(()),
            other => other,
        },
    };
    if let Err(error) = outcome {
        report.push(describe(&error, entry, report));
    }
}

/// An option's mistake at the place of the option.
pub(super) fn describe(error: &OptionError, entry: &Entry, report: &Report) -> Diagnostic {
    match error {
        OptionError::Unknown { suggestion, .. } => {
            let key = &entry.key.value;
            let meant = suggestion.map(|name| format!("pipeline.{name}"));
            report
                .error_at(entry.key.span, format!("unknown option `{key}`"))
                .with_suggestion(meant.as_deref())
        }
        OptionError::Invalid {
            suggestion,
            name,
            expected,
            ..
        } => {
            let message = if report.source().hides_in(entry.value_span) {
                format!("option `{name}` cannot have this value: expected {expected}")
            } else {
                error.to_string()
            };
            report
                .error_at(entry.value_span, message)
                .with_suggestion(*suggestion)
        }
    }
}

fn unknown_family(entry: &Entry, report: &Report) -> Diagnostic {
    let key = entry.key.value.as_str();
    let first = key.split('.').next().unwrap_or(key);
    let rest = key.strip_prefix(first).unwrap_or_default();
    let meant = nearest(first, ["pipeline", "datafusion"]).map(|near| format!("{near}{rest}"));
    // `SET memory = …` without its family is a common slip.
    let meant = meant.or_else(|| match PipelineOptions::default().set(key, "") {
        Err(OptionError::Unknown { .. }) => None,
        _ => Some(format!("pipeline.{key}")),
    });
    report
        .error_at(entry.key.span, format!("unknown option `{key}`"))
        .with_suggestion(meant.as_deref())
        .with_help("options are named pipeline.… or datafusion.…")
}
