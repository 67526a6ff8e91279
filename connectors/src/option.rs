//! Options of sources as data: what there is to say about one, what was given for it, what is wrong with that.
//!
//! Owns the check of what was given against the table of a kind's options: names, secrets, values. Which options a kind
//! has, and what they mean together, is the kind's own.

use std::collections::BTreeMap;
use std::fmt;

use language::nearest;
use secrecy::SecretString;

use crate::window::parse_edge;

/// An option of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub parser: Parser,
    /// Whether it must be given.
    pub required: bool,
    /// Whether its value is a secret, given as a reference and never shown.
    pub secret: bool,
    /// What holds where it is not given.
    pub default: Option<String>,
    /// What it means.
    pub doc: String,
}

/// What the values of an option are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parser {
    /// Any text.
    Text,
    /// Text that is not empty.
    Word,
    /// One of these words.
    Choice(Vec<String>),
    /// A whole number above zero, up to this one.
    Count(u64),
    /// A number.
    Number,
    /// A date, or a time with its offset.
    Time,
    /// `true` or `false`.
    Flag,
}

impl Parser {
    /// Why a text is no such value, and which value was probably meant.
    fn problem(&self, text: &str) -> Option<(String, Option<&str>)> {
        let wrong = |message: String| Some((message, None));
        match self {
            Self::Word | Self::Choice(_) if text.is_empty() => wrong("is empty".to_owned()),
            Self::Text | Self::Word => None,
            Self::Choice(words) if words.iter().any(|word| word == text) => None,
            Self::Choice(words) => Some((
                format!("`{text}` is none of {}", words.join(", ")),
                nearest(text, words.iter().map(String::as_str)),
            )),
            Self::Count(most) if text.parse().is_ok_and(|count| (1..=*most).contains(&count)) => {
                None
            }
            Self::Count(_) => wrong(format!("`{text}` is not a whole number above zero")),
            Self::Number if text.parse::<f64>().is_ok() => None,
            Self::Number => wrong(format!("`{text}` is not a number above zero")),
            Self::Time => parse_edge(text).err().and_then(wrong),
            Self::Flag if matches!(text, "true" | "false") => None,
            Self::Flag => wrong(format!("`{text}` is neither true nor false")),
        }
    }
}

impl fmt::Display for Parser {
    /// As a list of options says it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text | Self::Word => formatter.write_str("text"),
            Self::Choice(words) => formatter.write_str(&words.join(", ")),
            Self::Count(_) => formatter.write_str("whole number above zero"),
            Self::Number => formatter.write_str("number above zero"),
            Self::Time => formatter.write_str("date or RFC 3339 time, UTC"),
            Self::Flag => formatter.write_str("true, false"),
        }
    }
}

/// Everything wrong with what was given, by the table of a kind's options.
pub fn check(options: &[OptionSpec], given: &Given) -> Vec<OptionProblem> {
    let mut problems = Vec::new();
    for (name, value) in given {
        let Some(option) = options.iter().find(|option| option.name == *name) else {
            let near = nearest(name, options.iter().map(|option| option.name.as_str()));
            let message = "is not an option of this source";
            problems.push(OptionProblem::new(name, message, near));
            continue;
        };
        let message = match value {
            Some(OptionValue::Plain(_)) if option.secret => {
                "is a secret: write a reference such as 'env:NAME' or 'file:/path'"
            }
            Some(OptionValue::Secret(_)) if !option.secret => {
                "is no secret: write its value plainly"
            }
            _ => continue,
        };
        problems.push(OptionProblem::new(name, message, None));
    }
    for option in options {
        match given.get(&option.name) {
            None if option.required => {
                let message = format!("is missing: {}", option.doc);
                problems.push(OptionProblem::new(&option.name, message, None));
            }
            Some(Some(OptionValue::Plain(text))) if !option.secret => {
                if let Some((message, near)) = option.parser.problem(text.trim()) {
                    problems.push(OptionProblem::new(&option.name, message, near));
                }
            }
            _ => {}
        }
    }
    problems
}

/// The value of an option. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum OptionValue {
    /// A value that may be shown.
    Plain(String),
    /// A secret, resolved.
    Secret(SecretString),
}

impl From<&str> for OptionValue {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

/// Options as given; an option whose value is not known yet has `None`.
pub type Given = BTreeMap<String, Option<OptionValue>>;

/// What is wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionProblem {
    /// The option; `location` for the location itself.
    pub option: String,
    /// What is wrong with it.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl OptionProblem {
    /// A problem, with the name that was probably meant where there is one.
    pub fn new(option: &str, message: impl Into<String>, suggestion: Option<&str>) -> Self {
        Self {
            option: option.to_owned(),
            message: message.into(),
            suggestion: suggestion.map(str::to_owned),
        }
    }
}

impl fmt::Display for OptionProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "`{}` {}{}",
            self.option,
            self.message,
            hint(self.suggestion.as_deref())
        )
    }
}

/// `; did you mean `x`?`, or nothing.
pub(crate) fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}
