//! The kinds of sources that a definition may name.
//!
//! Owns how the word behind `STORED AS` is judged. Which kinds there are is said by who reads the definition.

use super::diagnostic::Report;
use super::statement::SourceStatement;
use super::suggest::nearest;

/// A kind of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceKind {
    /// Its word, in capitals.
    pub name: String,
    /// Whether `PARTITIONED BY` has a meaning for it.
    pub is_partitioned: bool,
}

/// Words of the language that this version does not carry out.
const UNAVAILABLE: &[&str] = &["POSTGRES", "MYSQL", "SQLITE"];

/// The kind that a source names; reports a word that is none.
pub(super) fn named<'a>(
    statement: &SourceStatement,
    kinds: &'a [SourceKind],
    report: &mut Report,
) -> Option<&'a SourceKind> {
    let word = &statement.kind;
    let known = kinds
        .iter()
        .find(|kind| kind.name.eq_ignore_ascii_case(&word.value));
    if known.is_some() {
        return known;
    }
    let upper = word.value.to_uppercase();
    let available: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    let mistake = if UNAVAILABLE.contains(&upper.as_str()) {
        report.error_at(
            word.span,
            format!("source kind `{upper}` is not available in this version"),
        )
    } else {
        let words = available.iter().chain(UNAVAILABLE).copied();
        report
            .error_at(word.span, format!("unknown source kind `{upper}`"))
            .with_suggestion(nearest(&upper, words))
    };
    report.push(mistake.with_help(format!("source kinds: {}", available.join(", "))));
    None
}

/// Reports partition columns of a kind that has none.
pub(super) fn check_partitions(
    statement: &SourceStatement,
    kind: &SourceKind,
    report: &mut Report,
) {
    if let Some(column) = statement.partitioned_by.first()
        && !kind.is_partitioned
    {
        report.error(
            column.span,
            format!("a {} source is not partitioned: only files are", kind.name),
        );
    }
}
