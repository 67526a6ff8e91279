//! The kinds of sources that are extracted: their options, checking them, opening them.
//!
//! Nothing here asks the network; `REST` reads its spec from the local disk.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use secrecy::SecretString;

pub use crate::extract::{
    Control, ErrorClass, Estimate, Extract, ExtractError, FailureKind, Gate, Landed, Metrics,
    MetricsSnapshot, OpenGate, QUARANTINED_BODY_BYTES, Quarantined, RequestFailure, Unit,
};
use crate::launchpad;
use crate::rest::RestSource;
use crate::rest::options::{Given, descriptions, resolve};
use crate::rest::retry::RetryPolicy;
use crate::rest::spec::{Location, Spec};
use crate::rest::spec_error::SpecError;
use crate::suggestion::hint;
use language::nearest;

/// A kind of source: what stands after `STORED AS`.
#[derive(Debug, Clone)]
pub struct SourceKind {
    /// Its name, in capitals.
    pub name: &'static str,
    /// What it reads.
    pub summary: String,
    /// The locations that it has, each with what is there; empty where a spec file says it.
    pub locations: Vec<(String, String)>,
    /// Its options; a spec file may add more.
    pub options: Vec<OptionDescription>,
}

/// An option of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionDescription {
    /// Its name.
    pub name: String,
    /// Whether it must be given.
    pub required: bool,
    /// Whether its value is a secret, given as a reference and never shown.
    pub secret: bool,
    /// What holds where it is not given.
    pub default: Option<String>,
    /// What it means.
    pub summary: String,
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

/// How requests are made, where neither an option nor the spec is to decide.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// Replaces the spec's retries; the option `max_attempts` still wins.
    pub retry: Option<RetryPolicy>,
    /// Replaces the spec's limit of making a connection.
    pub connect_timeout: Option<Duration>,
    /// Replaces the spec's limit of one request, from sending it to the end of its answer.
    pub request_timeout: Option<Duration>,
}

/// What is to be opened.
#[derive(Debug)]
pub struct Open<'a> {
    /// The kind's name, in any case.
    pub kind: &'a str,
    /// What of it is read.
    pub location: &'a str,
    /// The options given, secrets resolved.
    pub options: BTreeMap<String, OptionValue>,
    /// How requests are made.
    pub settings: ClientSettings,
}

/// Why a source cannot be opened. All of them are the caller's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such kind.
    #[error("there is no kind of source `{kind}`{}", hint(suggestion.as_deref()))]
    UnknownKind {
        /// The name given.
        kind: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// The location or options are wrong.
    #[error("{}", list(problems))]
    Options {
        /// At least one problem.
        problems: Vec<OptionProblem>,
    },
    /// The HTTP client cannot be set up on this machine.
    #[error("the HTTP client cannot be set up")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

fn list(problems: &[OptionProblem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

const REST: &str = "REST";

static KINDS: LazyLock<Vec<SourceKind>> = LazyLock::new(|| {
    let launchpad = launchpad::spec();
    let locations = launchpad.locations.iter();
    let mut rest_options = vec![OptionDescription {
        name: "spec".to_owned(),
        required: true,
        secret: false,
        default: None,
        summary: "path of the TOML file that describes the API; its parameters are options too"
            .to_owned(),
    }];
    rest_options.extend(descriptions(None));
    vec![
        SourceKind {
            name: launchpad::KIND,
            summary: launchpad.summary.clone(),
            locations: locations
                .map(|(name, location)| (name.get_ref().clone(), location.summary.clone()))
                .collect(),
            options: descriptions(Some(&launchpad)),
        },
        SourceKind {
            name: REST,
            summary:
                "any paginated JSON API that a spec describes; the location is one of the spec's"
                    .to_owned(),
            locations: Vec::new(),
            options: rest_options,
        },
    ]
});

/// Every kind of source there is.
pub fn kinds() -> &'static [SourceKind] {
    &KINDS
}

/// The kind of that name, in any case.
pub fn kind(name: &str) -> Option<&'static SourceKind> {
    KINDS
        .iter()
        .find(|kind| kind.name.eq_ignore_ascii_case(name))
}

/// Opens a source; nothing is asked of the network.
///
/// # Errors
/// Everything wrong with the location and the options.
pub fn open(request: Open<'_>) -> Result<Arc<dyn Extract>, OpenError> {
    let Open {
        kind,
        location,
        options,
        settings,
    } = request;
    let mut given: Given = options
        .into_iter()
        .map(|(name, value)| (name, Some(value)))
        .collect();
    let refused = |problems| OpenError::Options { problems };
    let spec = spec_of(kind, &mut given)?.ok_or_else(|| {
        refused(vec![problem(
            "spec",
            "is missing: the path of a TOML file".to_owned(),
            None,
        )])
    })?;
    let found = location_of(&spec, location).map_err(|problem| refused(vec![problem]))?;
    let resolved = resolve(&spec, found, &given, &settings).map_err(refused)?;
    let source = RestSource::new(Arc::clone(&spec), location, resolved)
        .map_err(|source| OpenError::Client { source })?;
    Ok(Arc::new(source))
}

/// Everything wrong with a source's location and options, as far as they are known; an option
/// whose value is not known yet has `None`. Asks nothing of the network.
pub fn check(
    kind: &str,
    location: &str,
    options: &BTreeMap<String, Option<OptionValue>>,
) -> Vec<OptionProblem> {
    let mut given = options.clone();
    let is_known_later = matches!(given.get("spec"), Some(None));
    let spec = match spec_of(kind, &mut given) {
        Ok(Some(spec)) => spec,
        Ok(None) if is_known_later => return Vec::new(),
        Ok(None) => {
            return vec![problem(
                "spec",
                "is missing: the path of a TOML file".to_owned(),
                None,
            )];
        }
        Err(OpenError::Options { problems }) => return problems,
        Err(error) => return vec![problem("kind", error.to_string(), None)],
    };
    let found = match location_of(&spec, location) {
        Ok(found) => found,
        Err(problem) => return vec![problem],
    };
    resolve(&spec, found, &given, &ClientSettings::default())
        .err()
        .unwrap_or_default()
}

fn problem(option: &str, message: String, suggestion: Option<String>) -> OptionProblem {
    OptionProblem {
        option: option.to_owned(),
        message,
        suggestion,
    }
}

/// The spec of a kind; takes the option `spec` out, as it is none of the spec's own. `None` when
/// that option has no value.
fn spec_of(kind: &str, given: &mut Given) -> Result<Option<Arc<Spec>>, OpenError> {
    let known = self::kind(kind).ok_or_else(|| OpenError::UnknownKind {
        kind: kind.to_owned(),
        suggestion: nearest(kind, KINDS.iter().map(|kind| kind.name)).map(str::to_owned),
    })?;
    if known.name == launchpad::KIND {
        return Ok(Some(launchpad::spec()));
    }
    let refused = |message| OpenError::Options {
        problems: vec![problem("spec", message, None)],
    };
    match given.remove("spec").flatten() {
        None => Ok(None),
        Some(OptionValue::Secret(_)) => {
            Err(refused("is no secret: write the path plainly".to_owned()))
        }
        Some(OptionValue::Plain(path)) => {
            let path = PathBuf::from(path);
            read_spec(&path)
                .map(|spec| Some(Arc::new(spec)))
                .map_err(refused)
        }
    }
}

fn read_spec(path: &Path) -> Result<Spec, String> {
    let shown = path.display().to_string();
    let text = language::regular::read_text(path)
        .map_err(|cause| format!("cannot be read: {shown}: {cause}"))?;
    Spec::parse(&shown, &text).map_err(|error: SpecError| format!("has mistakes: {error}"))
}

fn location_of<'a>(spec: &'a Spec, name: &str) -> Result<&'a Location, OptionProblem> {
    let names = spec.locations.keys().map(|name| name.get_ref().as_str());
    spec.locations.get(name).ok_or_else(|| {
        let all: Vec<&str> = names.clone().collect();
        let message = format!("`{name}` is none of {}", all.join(", "));
        problem("location", message, nearest(name, names).map(str::to_owned))
    })
}
