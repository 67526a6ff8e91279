//! The options of an API: those every API has, those its way of signing needs, its parameters.
//!
//! Owns their names, meanings and defaults, and turns what was given into [`Settings`]. Nothing
//! here asks the network.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::auth::Credentials;
use super::check::{is_loopback, root_address};
use super::retry::RetryPolicy;
use super::spec::{AuthKind, Location, Spec};
use super::template::Values;
use crate::option::{Given, OptionProblem, OptionSpec, OptionValue};
use crate::window::{Window, parse_edge};
use language::nearest;

/// Options of every API: name and meaning.
const ENGINE: &[(&str, &str)] = &[
    (
        "since",
        "first instant of the window of event times: a date or an RFC 3339 time, UTC",
    ),
    (
        "before",
        "end of the window, exclusive: a date or an RFC 3339 time, UTC",
    ),
    (
        "service_root",
        "where the API is: an alias or a full address",
    ),
    ("version", "version of the API"),
    ("concurrency", "most requests at a time"),
    ("page_size", "rows asked for per page"),
    (
        "requests_per_second",
        "most requests per second; no limit when left out",
    ),
    (
        "max_attempts",
        "tries of a request before it counts as failed",
    ),
];

/// Options that some way of signing needs: name, whether it is a secret, meaning.
const SIGNING: &[(&str, bool, &str)] = &[
    (
        "consumer",
        false,
        "name under which this program presents itself to the server",
    ),
    (
        "token",
        true,
        "access token; without it only public data is read",
    ),
    ("token_secret", true, "secret of the access token"),
    ("username", false, "name to log in with"),
    ("password", true, "password to log in with"),
    (
        "allow_http",
        false,
        "true lets credentials go over plain http:// to another machine",
    ),
];

/// Whether a name is taken, so that no parameter of a spec may have it.
pub(crate) fn is_engine_option(name: &str) -> bool {
    name == "spec"
        || ENGINE.iter().any(|(known, _)| *known == name)
        || SIGNING.iter().any(|(known, ..)| *known == name)
}

fn signing_names(kind: AuthKind) -> &'static [&'static str] {
    match kind {
        AuthKind::None => &[],
        AuthKind::Bearer | AuthKind::Header => &["token", "allow_http"],
        AuthKind::Basic => &["username", "password", "allow_http"],
        AuthKind::Oauth1Plaintext => &["consumer", "token", "token_secret", "allow_http"],
    }
}

/// The options of a spec, or without one those that a spec may have.
pub(crate) fn descriptions(spec: Option<&Spec>) -> Vec<OptionSpec> {
    let mut options = Vec::new();
    for (name, parameter) in spec.iter().flat_map(|spec| &spec.parameters) {
        let mut summary = parameter.summary.clone();
        if !parameter.choices.is_empty() {
            summary.push_str(&format!(" ({})", parameter.choices.join(" | ")));
        }
        options.push(OptionSpec {
            name: name.get_ref().clone(),
            required: parameter.required,
            secret: false,
            default: parameter
                .default
                .as_ref()
                .map(|text| text.get_ref().clone()),
            doc: summary,
        });
    }
    options.sort_by_key(|option| !option.required);
    for (name, summary) in ENGINE {
        let default = spec.and_then(|spec| {
            let defaults = &spec.defaults;
            match *name {
                "service_root" => Some(spec.base.url.get_ref().clone()),
                "version" => spec.base.version.clone(),
                "concurrency" => Some(defaults.concurrency.to_string()),
                "page_size" => Some(defaults.page_size.to_string()),
                "requests_per_second" => defaults.requests_per_second.map(|rate| rate.to_string()),
                "max_attempts" => Some(defaults.max_attempts.to_string()),
                _ => None,
            }
        });
        if *name == "version" && spec.is_some() && default.is_none() {
            continue;
        }
        options.push(OptionSpec {
            name: (*name).to_owned(),
            required: false,
            secret: false,
            default,
            doc: (*summary).to_owned(),
        });
    }
    for (name, secret, summary) in SIGNING {
        if spec.is_some_and(|spec| !signing_names(spec.auth.kind).contains(name)) {
            continue;
        }
        let required = spec.is_some_and(|spec| spec.auth.required)
            && !matches!(*name, "consumer" | "allow_http");
        let default = spec
            .filter(|_| *name == "consumer")
            .and_then(|spec| spec.auth.consumer.clone());
        options.push(OptionSpec {
            name: (*name).to_owned(),
            required,
            secret: *secret,
            default,
            doc: (*summary).to_owned(),
        });
    }
    options
}

/// What an extraction runs with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) base: Url,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) window: Window,
    pub(crate) credentials: Credentials,
    pub(crate) concurrency: usize,
    pub(crate) page_size: u64,
    pub(crate) min_page_size: u64,
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) retry: RetryPolicy,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) max_body_bytes: u64,
    pub(crate) max_unit_bytes: u64,
    pub(crate) user_agent: String,
    pub(crate) only_root_actor: bool,
}

/// Turns the options given into settings.
///
/// # Errors
/// Everything wrong with them.
pub(crate) fn resolve(
    spec: &Spec,
    location: &Location,
    given: &Given,
) -> Result<Settings, Vec<OptionProblem>> {
    let mut reader = Reader {
        given,
        problems: Vec::new(),
    };
    reader.names(&descriptions(Some(spec)));
    let settings = reader.settings(spec, location);
    settings
        .filter(|_| reader.problems.is_empty())
        .ok_or(reader.problems)
}

struct Reader<'a> {
    given: &'a Given,
    problems: Vec<OptionProblem>,
}

impl Reader<'_> {
    fn add(&mut self, option: &str, message: String, suggestion: Option<String>) {
        self.problems.push(OptionProblem {
            option: option.to_owned(),
            message,
            suggestion,
        });
    }

    fn names(&mut self, known: &[OptionSpec]) {
        let given = self.given;
        for (name, value) in given {
            let Some(option) = known.iter().find(|option| option.name == *name) else {
                let near = nearest(name, known.iter().map(|option| option.name.as_str()))
                    .map(str::to_owned);
                self.add(name, "is not an option of this source".to_owned(), near);
                continue;
            };
            match value {
                Some(OptionValue::Plain(_)) if option.secret => {
                    let message =
                        "is a secret: write a reference such as 'env:NAME' or 'file:/path'";
                    self.add(name, message.to_owned(), None);
                }
                Some(OptionValue::Secret(_)) if !option.secret => {
                    self.add(
                        name,
                        "is no secret: write its value plainly".to_owned(),
                        None,
                    );
                }
                _ => {}
            }
        }
        for option in known.iter().filter(|option| option.required) {
            if !given.contains_key(&option.name) {
                self.add(&option.name, format!("is missing: {}", option.doc), None);
            }
        }
    }

    fn plain(&self, name: &str) -> Option<&str> {
        match self.given.get(name)? {
            Some(OptionValue::Plain(text)) => Some(text.trim()),
            _ => None,
        }
    }

    fn secret(&self, name: &str) -> Option<SecretString> {
        match self.given.get(name)? {
            Some(OptionValue::Secret(secret)) => Some(secret.clone()),
            _ => None,
        }
    }

    fn number<T: FromStr>(&mut self, name: &str, default: T, what: &str) -> T {
        match self.plain(name).map(str::to_owned) {
            None => default,
            Some(text) => text.parse().unwrap_or_else(|_| {
                self.add(name, format!("`{text}` is not {what}"), None);
                default
            }),
        }
    }

    fn edge(&mut self, name: &str) -> Option<chrono::DateTime<chrono::Utc>> {
        let edge = parse_edge(self.plain(name)?);
        edge.map_err(|message| self.add(name, message, None)).ok()
    }

    fn settings(&mut self, spec: &Spec, location: &Location) -> Option<Settings> {
        let defaults = &spec.defaults;
        let parameters = self.parameters(spec);
        let window = Window {
            since: self.edge("since"),
            before: self.edge("before"),
        };
        if let Some(problem) = window.problem() {
            self.add("before", problem, None);
        }
        let page_size: NonZeroU64 =
            self.number("page_size", defaults.page_size, "a whole number above zero");
        if page_size > defaults.max_page_size {
            let message = format!(
                "{page_size} is more than the {} that the server allows",
                defaults.max_page_size
            );
            self.add("page_size", message, None);
        }
        let concurrency: NonZeroUsize = self.number(
            "concurrency",
            defaults.concurrency,
            "a whole number above zero",
        );
        let attempts: NonZeroU32 = self.number(
            "max_attempts",
            defaults.max_attempts,
            "a whole number above zero",
        );
        let rate = match self.plain("requests_per_second") {
            None => defaults.requests_per_second,
            Some(_) => Some(self.number("requests_per_second", 0.0, "a number above zero")),
        };
        if rate.is_some_and(|rate: f64| !(rate > 1e-6 && rate < 1e6)) {
            self.add(
                "requests_per_second",
                "must be a number above zero and below a million".to_owned(),
                None,
            );
        }
        let only_root_actor = location.only_root_actor.as_ref().is_some_and(|only| {
            parameters.get(only.parameter.get_ref()) == Some(only.equals.get_ref())
        });
        let credentials = self.credentials(spec);
        let retry = RetryPolicy {
            max_attempts: attempts,
            ..RetryPolicy::from(defaults)
        };
        let agent = spec
            .user_agent
            .as_deref()
            .unwrap_or(concat!("spillway/", env!("CARGO_PKG_VERSION")));
        let user_agent = match self.plain("consumer") {
            Some(consumer) => format!("{consumer} {agent}"),
            None => agent.to_owned(),
        };
        if reqwest::header::HeaderValue::try_from(&user_agent).is_err() {
            self.add(
                "consumer",
                "holds a character that a header cannot carry".to_owned(),
                None,
            );
        }
        let base = self.base(spec);
        if let Some(base) = &base {
            self.refuse_clear_text(base);
        }
        Some(Settings {
            base: base?,
            parameters,
            window,
            credentials,
            concurrency: concurrency.get(),
            page_size: page_size.get(),
            min_page_size: defaults.min_page_size.min(page_size).get(),
            requests_per_second: rate,
            retry,
            connect_timeout: defaults.connect_timeout.0,
            request_timeout: defaults.request_timeout.0,
            max_body_bytes: defaults.max_body_bytes.get(),
            max_unit_bytes: defaults.max_unit_bytes.get(),
            user_agent,
            only_root_actor,
        })
    }

    fn parameters(&mut self, spec: &Spec) -> BTreeMap<String, String> {
        let mut parameters = BTreeMap::new();
        for (name, parameter) in &spec.parameters {
            let name = name.get_ref();
            let value = match (self.plain(name), &parameter.default) {
                (Some(text), _) => text.to_owned(),
                (None, Some(default)) if !self.given.contains_key(name) => {
                    default.get_ref().clone()
                }
                (None, _) => continue,
            };
            if value.is_empty() {
                self.add(name, "is empty".to_owned(), None);
            } else if !parameter.choices.is_empty() && !parameter.choices.contains(&value) {
                let choices = parameter.choices.iter().map(String::as_str);
                let near = nearest(&value, choices).map(str::to_owned);
                let message = format!("`{value}` is none of {}", parameter.choices.join(", "));
                self.add(name, message, near);
            }
            parameters.insert(name.clone(), value);
        }
        parameters
    }

    fn base(&mut self, spec: &Spec) -> Option<Url> {
        let aliases = &spec.base.aliases;
        let written = self
            .plain("service_root")
            .unwrap_or(spec.base.url.get_ref())
            .to_owned();
        let address = aliases
            .get(&written)
            .map_or(written.as_str(), |alias| alias.get_ref());
        let root = root_address(address).map_err(|why| {
            let names: Vec<&str> = aliases.keys().map(String::as_str).collect();
            let mut message = format!("`{written}` {why}");
            if !names.is_empty() {
                message.push_str(&format!("; known names are {}", names.join(", ")));
            }
            let near = nearest(&written, names).map(str::to_owned);
            self.add("service_root", message, near);
        });
        let version = self.plain("version").or(spec.base.version.as_deref());
        let parameters: BTreeMap<String, String> = version
            .map(|version| ("version".to_owned(), version.to_owned()))
            .into_iter()
            .collect();
        let path = spec.base.path.as_ref().map_or(Ok(String::new()), |path| {
            path.get_ref()
                .render_address(&Values::parameters(&parameters))
        });
        let path = path.map_err(|cause| self.add("version", cause.to_string(), None));
        let (root, path) = (root.ok()?, path.ok()?);
        let whole = format!(
            "{}/{}",
            root.as_str().trim_end_matches('/'),
            path.trim_matches('/')
        );
        let whole = root_address(&format!("{}/", whole.trim_end_matches('/')));
        whole.map_err(|why| self.add("version", why, None)).ok()
    }

    fn credentials(&mut self, spec: &Spec) -> Credentials {
        let token = self.secret("token");
        match spec.auth.kind {
            AuthKind::None => Credentials::None,
            AuthKind::Bearer => token.map_or(Credentials::None, Credentials::Bearer),
            AuthKind::Header => match (&spec.auth.header, token) {
                (Some(name), Some(value)) => Credentials::Header {
                    name: name.get_ref().clone(),
                    value,
                },
                _ => Credentials::None,
            },
            AuthKind::Basic => {
                self.together("username", "password");
                match (self.plain("username"), self.secret("password")) {
                    (Some(username), Some(password)) => Credentials::Basic {
                        username: username.to_owned(),
                        password,
                    },
                    _ => Credentials::None,
                }
            }
            AuthKind::Oauth1Plaintext => {
                self.together("token", "token_secret");
                let consumer = self.plain("consumer").or(spec.auth.consumer.as_deref());
                match (token, self.secret("token_secret")) {
                    (Some(token), Some(token_secret)) => Credentials::Oauth1Plaintext {
                        consumer: consumer.unwrap_or("spillway").to_owned(),
                        token,
                        token_secret,
                    },
                    _ => Credentials::None,
                }
            }
        }
    }

    /// Credentials that are sent in the clear belong to everybody on the way.
    fn refuse_clear_text(&mut self, base: &Url) {
        let allowed = match self.plain("allow_http").unwrap_or("false") {
            "true" => true,
            "false" => false,
            other => {
                let message = format!("`{other}` is neither true nor false");
                self.add("allow_http", message, None);
                return;
            }
        };
        let signs = SIGNING
            .iter()
            .any(|(name, secret, _)| *secret && self.given.contains_key(*name));
        if signs && !allowed && base.scheme() == "http" && !is_loopback(base) {
            let host = base.host_str().unwrap_or_default();
            let message = format!(
                "would have the credentials sent to {host} over plain http://, where everybody on the way can read them: \
                 write https://, or allow it with OPTIONS (allow_http 'true')"
            );
            self.add("service_root", message, None);
        }
    }

    fn together(&mut self, one: &str, other: &str) {
        for (present, absent) in [(one, other), (other, one)] {
            if self.given.contains_key(present) && !self.given.contains_key(absent) {
                self.add(
                    absent,
                    format!("is missing: `{present}` is given and needs it"),
                    None,
                );
            }
        }
    }
}
