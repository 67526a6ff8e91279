//! Templates such as `{parent.activity_collection_link}` or `b-{id}-m{tail(self_link)}`.
//!
//! A placeholder names a value: a bare name is a parameter in addresses and queries and a field
//! of the entry itself in keys; `parent.`, `root.` and `item.` (a row of the list) reach others.
//! `tail(x)` is what follows the last `/`; `digest(a, tail(b), …)` is 16 hexadecimal digits over
//! values.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Everything but the characters that never need escaping inside a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A path into a JSON value: names joined by dots; empty for the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "String")]
pub(crate) struct FieldPath(Vec<String>);

impl From<String> for FieldPath {
    fn from(text: String) -> Self {
        Self(
            text.split('.')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

impl FieldPath {
    /// Takes the value there out, leaving null.
    pub(crate) fn take(&self, value: &mut Value) -> Option<Value> {
        self.0
            .iter()
            .try_fold(value, |value, name| value.get_mut(name))
            .map(Value::take)
    }

    /// The value there; `None` when there is none.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, name| value.get(name))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("."))
    }
}

/// Whose value a placeholder names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A parameter, or a field of the entry itself: decided by where the template stands.
    Bare,
    /// The entry that this collection hangs on.
    Parent,
    /// The entry at the root of the location.
    Root,
    /// A row of the list.
    Item,
}

impl Scope {
    fn prefix(self) -> &'static str {
        match self {
            Self::Bare => "",
            Self::Parent => "parent.",
            Self::Root => "root.",
            Self::Item => "item.",
        }
    }
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) scope: Scope,
    pub(crate) field: FieldPath,
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.scope.prefix(), self.field)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Reference),
    Tail(Reference),
    Digest(Vec<Self>),
}

impl Part {
    fn references(&self) -> Vec<&Reference> {
        match self {
            Self::Text(_) => Vec::new(),
            Self::Field(one) | Self::Tail(one) => vec![one],
            Self::Digest(many) => many.iter().flat_map(Self::references).collect(),
        }
    }
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template {
    parts: Vec<Part>,
}

/// Why a text is not a template.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TemplateSyntax {
    #[error("`{{` without its `}}` in `{text}`; write `{{{{` for a brace")]
    Unclosed { text: String },
    #[error("`{{{inside}}}` is neither a name nor `tail(name)` or `digest(name, …)`")]
    Placeholder { inside: String },
}

/// A placeholder that has no usable value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("has no usable `{name}`")]
pub(crate) struct MissingValue {
    pub(crate) name: String,
}

/// What bare names stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bare<'a> {
    Parameters(&'a BTreeMap<String, String>),
    Entry(&'a Value),
}

/// The values that placeholders reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) bare: Bare<'a>,
    pub(crate) parent: Option<&'a Value>,
    pub(crate) root: Option<&'a Value>,
    pub(crate) item: Option<&'a Value>,
}

impl<'a> Values<'a> {
    /// Only parameters.
    pub(crate) fn parameters(parameters: &'a BTreeMap<String, String>) -> Self {
        Self {
            bare: Bare::Parameters(parameters),
            parent: None,
            root: None,
            item: None,
        }
    }

    fn json(&self, reference: &Reference) -> Option<&'a Value> {
        let whole = match (reference.scope, self.bare) {
            (Scope::Bare, Bare::Entry(entry)) => Some(entry),
            (Scope::Bare, Bare::Parameters(_)) => None,
            (Scope::Parent, _) => self.parent,
            (Scope::Root, _) => self.root,
            (Scope::Item, _) => self.item,
        };
        reference.field.find(whole?)
    }

    fn text(&self, reference: &Reference) -> Result<String, MissingValue> {
        let parameter = match (reference.scope, self.bare) {
            (Scope::Bare, Bare::Parameters(parameters)) => {
                parameters.get(&reference.field.to_string()).cloned()
            }
            _ => None,
        };
        parameter
            .or_else(|| match self.json(reference)? {
                Value::String(text) if !text.is_empty() => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(truth) => Some(truth.to_string()),
                _ => None,
            })
            .ok_or_else(|| MissingValue {
                name: reference.to_string(),
            })
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateSyntax;

    fn try_from(text: String) -> Result<Self, TemplateSyntax> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                literal.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let (inside, after) = from
                .strip_prefix('{')
                .and_then(|open| open.split_once('}'))
                .ok_or_else(|| TemplateSyntax::Unclosed { text: text.clone() })?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(placeholder(inside)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }
}

fn placeholder(inside: &str) -> Result<Part, TemplateSyntax> {
    let part = match inside
        .trim()
        .strip_prefix("digest(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        Some(arguments) => arguments
            .split(',')
            .map(value)
            .collect::<Option<_>>()
            .map(Part::Digest),
        None => value(inside),
    };
    part.ok_or_else(|| TemplateSyntax::Placeholder {
        inside: inside.to_owned(),
    })
}

/// A name or the tail of one.
fn value(text: &str) -> Option<Part> {
    match text
        .trim()
        .strip_prefix("tail(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        Some(name) => reference(name).map(Part::Tail),
        None => reference(text).map(Part::Field),
    }
}

fn reference(text: &str) -> Option<Reference> {
    let text = text.trim();
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|letter| letter.is_alphanumeric() || "_-$@".contains(letter))
    };
    if !text.split('.').all(is_name) {
        return None;
    }
    let (scope, field) = [Scope::Parent, Scope::Root, Scope::Item]
        .into_iter()
        .find_map(|scope| Some((scope, text.strip_prefix(scope.prefix())?)))
        .unwrap_or((Scope::Bare, text));
    Some(Reference {
        scope,
        field: FieldPath::from(field.to_owned()),
    })
}

impl Template {
    /// Every value that the template needs.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().flat_map(Part::references)
    }

    /// The text with every placeholder replaced.
    ///
    /// # Errors
    /// When a value is absent, null, empty, an array or an object; `digest` takes any value.
    pub(crate) fn render(&self, values: &Values<'_>) -> Result<String, MissingValue> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                _ => text.push_str(&value_of(part, values)?),
            }
        }
        Ok(text)
    }

    /// An address: a link that stands first is taken as it is, any other value is escaped so
    /// that it stays inside its path segment.
    ///
    /// # Errors
    /// As [`Template::render`], and for a value that is `.` or `..`, which would leave its place.
    pub(crate) fn render_address(&self, values: &Values<'_>) -> Result<String, MissingValue> {
        let mut text = String::new();
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                // Paths are below the API's base, with or without a slash in front.
                Part::Text(literal) if index == 0 => text.push_str(literal.trim_start_matches('/')),
                Part::Text(literal) => text.push_str(literal),
                Part::Field(reference) if index == 0 && reference.scope != Scope::Bare => {
                    text.push_str(&values.text(reference)?);
                }
                _ => {
                    let value = value_of(part, values)?;
                    if value == "." || value == ".." {
                        let name = part.references().first().map(ToString::to_string);
                        return Err(MissingValue {
                            name: name.unwrap_or_default(),
                        });
                    }
                    text.extend(utf8_percent_encode(&value, SEGMENT));
                }
            }
        }
        Ok(text)
    }
}

fn value_of(part: &Part, values: &Values<'_>) -> Result<String, MissingValue> {
    match part {
        Part::Text(literal) => Ok(literal.clone()),
        Part::Field(reference) => values.text(reference),
        Part::Tail(reference) => match tail(&values.text(reference)?) {
            "" => Err(MissingValue {
                name: reference.to_string(),
            }),
            tail => Ok(tail.to_owned()),
        },
        Part::Digest(parts) => {
            let mut hasher = Sha256::new();
            for part in parts {
                // A length before each value keeps ("ab", "c") and ("a", "bc") apart; what is
                // absent counts as null.
                let json = match part {
                    Part::Field(reference) => values.json(reference).map(Value::to_string),
                    _ => value_of(part, values).ok(),
                };
                let json = json.unwrap_or_else(|| Value::Null.to_string());
                hasher.update((json.len() as u64).to_be_bytes());
                hasher.update(json.as_bytes());
            }
            let mut digits = String::with_capacity(16);
            for byte in &hasher.finalize()[..8] {
                // Writing into a string cannot fail.
                let _ = write!(digits, "{byte:02x}");
            }
            Ok(digits)
        }
    }
}

fn tail(text: &str) -> &str {
    text.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Bare, Template, Values};

    fn template(text: &str) -> Template {
        Template::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn keys_are_made_of_the_entry_and_its_parent() {
        let entry = json!({"self_link": "https://x/bugs/7/comments/12", "when": null});
        let parent = json!({"id": 7});
        let values = Values {
            bare: Bare::Entry(&entry),
            parent: Some(&parent),
            root: None,
            item: None,
        };
        assert_eq!(
            template("b-{parent.id}-m{tail(self_link)}")
                .render(&values)
                .unwrap(),
            "b-7-m12"
        );
        assert_eq!(template("{{{parent.id}}}").render(&values).unwrap(), "{7}");
        assert_eq!(template("{when}").render(&values).unwrap_err().name, "when");
        assert_eq!(
            template("{root.name}").render(&values).unwrap_err().name,
            "root.name"
        );
    }

    #[test]
    fn a_digest_tells_apart_values_that_only_join_alike() {
        let digest = |first: &str, second: &str| {
            let entry = json!({"a": first, "b": second});
            let values = Values {
                bare: Bare::Entry(&entry),
                parent: None,
                root: None,
                item: None,
            };
            template("{digest(a, b, absent)}").render(&values).unwrap()
        };
        assert_eq!(digest("ab", "c").len(), 16);
        assert_ne!(digest("ab", "c"), digest("a", "bc"));
        assert_eq!(digest("ab", "c"), digest("ab", "c"));
        assert_ne!(digest("null", "c"), digest("", "c"));
    }

    #[test]
    fn a_digest_of_tails_does_not_depend_on_where_the_server_is() {
        let digest = |link: serde_json::Value| {
            let entry = json!({"who": link});
            let values = Values {
                bare: Bare::Entry(&entry),
                parent: None,
                root: None,
                item: None,
            };
            template("{digest(tail(who))}").render(&values).unwrap()
        };
        assert_eq!(
            digest(json!("https://x/devel/~ada")),
            digest(json!("http://y/1.0/~ada"))
        );
        assert_ne!(
            digest(json!("https://x/devel/~ada")),
            digest(json!("https://x/devel/~bob"))
        );
        assert_ne!(digest(json!(null)), digest(json!("https://x/devel/~bob")));
    }

    #[test]
    fn a_parameter_cannot_leave_its_path_segment() {
        let render = |value: &str| {
            let parameters = BTreeMap::from([("member".to_owned(), value.to_owned())]);
            template("people/{member}").render_address(&Values::parameters(&parameters))
        };
        assert_eq!(render("ada/../x?y").unwrap(), "people/ada%2F..%2Fx%3Fy");
        assert!(render("..").is_err());
    }

    #[test]
    fn a_link_that_stands_first_is_taken_as_it_is() {
        let parent = json!({"link": "https://x/y?z=1"});
        let parameters = BTreeMap::new();
        let values = Values {
            parent: Some(&parent),
            ..Values::parameters(&parameters)
        };
        assert_eq!(
            template("{parent.link}").render_address(&values).unwrap(),
            "https://x/y?z=1"
        );
    }

    #[test]
    fn a_wrong_template_says_where() {
        for (text, part) in [
            ("{a", "without"),
            ("{a b}", "{a b}"),
            ("{trunk(a)}", "trunk"),
        ] {
            let error = Template::try_from(text.to_owned()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
