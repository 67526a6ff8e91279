//! How a message names what was probably meant. Which name that is, is `language::nearest`'s.

/// `; did you mean `x`?`, or nothing.
pub(crate) fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}
