//! Headers that web servers want to see, from a variable of the environment: `PIPELINES_STORAGE_HTTP_HEADERS`, as
//! `{"https://host": {"Authorization": "Bearer …"}}`. Owns that a value is shown nowhere, and goes to its server only.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tables::StorageOptions;
use url::Url;

use crate::error::ReadError;

const VARIABLE: &str = "PIPELINES_STORAGE_HTTP_HEADERS";

/// The headers for the server of `root`.
///
/// # Errors
/// When the variable is no such object.
pub(super) fn of(root: &Url, options: &StorageOptions) -> Result<HeaderMap, ReadError> {
    let mut headers = HeaderMap::new();
    let Some(text) = options.variable(VARIABLE) else {
        return Ok(headers);
    };
    // What is wrong with it is not told by the parser, whose messages show values.
    let wrong = |what: &str| {
        ReadError::of_file(root.as_str(), format!("the variable {VARIABLE} {what}"))
            .with_help(r#"write it as `{"https://host": {"Authorization": "Bearer …"}}`"#)
    };
    let servers: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(text).map_err(|_| wrong("is no JSON of servers with headers"))?;
    for (server, given) in servers {
        let server = Url::parse(&server).map_err(|_| wrong("names a server that is no address"))?;
        if server.origin() != root.origin() {
            continue;
        }
        for (name, value) in given {
            let name = HeaderName::try_from(&name)
                .map_err(|_| wrong(&format!("has `{name}`, which is no name of a header")))?;
            let mut value = HeaderValue::try_from(&value).map_err(|_| {
                wrong(&format!(
                    "has a value of `{name}` that a header cannot carry"
                ))
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str, root: &str) -> Result<HeaderMap, String> {
        let variables = [(VARIABLE.to_owned(), text.to_owned())];
        let options = StorageOptions::from_variables(variables);
        of(&Url::parse(root).unwrap(), &options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_gets_its_headers_and_no_others() {
        let text =
            r#"{"https://a.example": {"X-Token": "hunter2"}, "http://a.example:81/": {"B": "c"}}"#;
        let found = |root| {
            let headers = headers(text, root).unwrap();
            headers
                .keys()
                .map(|name| name.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("https://a.example:443"), ["x-token"]);
        assert_eq!(found("http://a.example:81"), ["b"]);
        assert!(found("http://a.example").is_empty());
        for wrong in [
            "hunter2",
            r#"{"https://a.example": "hunter2"}"#,
            r#"{"https://a.example": {"a b": "hunter2"}}"#,
            r#"{"https://a.example": {"a": "hunter2\n"}}"#,
            r#"{"a.example": {"a": "hunter2"}}"#,
        ] {
            let error = headers(wrong, "https://a.example").unwrap_err();
            assert!(error.contains(VARIABLE), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
