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

use super::address::{is_loopback, root_address};
use super::auth::Credentials;
use super::retry::RetryPolicy;
use super::spec::{AuthKind, Location, Spec};
use super::template::Values;
use crate::option::{self, Given, OptionProblem, OptionSpec, OptionValue, Parser};
use crate::window::{Window, parse_edge};
use language::nearest;

/// Options of every API: name, values, meaning.
const ENGINE: &[(&str, Parser, &str)] = &[
    (
        "since",
        Parser::Time,
        "first instant of the window of event times: a date or an RFC 3339 time, UTC",
    ),
    (
        "before",
        Parser::Time,
        "end of the window, exclusive: a date or an RFC 3339 time, UTC",
    ),
    (
        "service_root",
        Parser::Text,
        "where the API is: an alias or a full address",
    ),
    ("version", Parser::Text, "version of the API"),
    (
        "concurrency",
        Parser::Count(usize::MAX as u64),
        "most requests at a time",
    ),
    (
        "page_size",
        Parser::Count(u64::MAX),
        "rows asked for per page",
    ),
    (
        "requests_per_second",
        Parser::Number,
        "most requests per second; no limit when left out",
    ),
    (
        "max_attempts",
        Parser::Count(u32::MAX as u64),
        "tries of a request before it counts as failed",
    ),
];

/// Options that some way of signing needs: name, values, whether it is a secret, meaning.
const SIGNING: &[(&str, Parser, bool, &str)] = &[
    (
        "consumer",
        Parser::Text,
        false,
        "name under which this program presents itself to the server",
    ),
    (
        "token",
        Parser::Text,
        true,
        "access token; without it only public data is read",
    ),
    (
        "token_secret",
        Parser::Text,
        true,
        "secret of the access token",
    ),
    ("username", Parser::Text, false, "name to log in with"),
    ("password", Parser::Text, true, "password to log in with"),
    (
        "allow_http",
        Parser::Flag,
        false,
        "true lets credentials go over plain http:// to another machine",
    ),
];

/// Whether a name is taken, so that no parameter of a spec may have it.
pub(crate) fn is_engine_option(name: &str) -> bool {
    name == "spec"
        || ENGINE.iter().any(|(known, ..)| *known == name)
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
        let (mut doc, mut parser) = (parameter.summary.clone(), Parser::Word);
        if !parameter.choices.is_empty() {
            doc.push_str(&format!(" ({})", parameter.choices.join(" | ")));
            parser = Parser::Choice(parameter.choices.clone());
        }
        options.push(OptionSpec {
            name: name.get_ref().clone(),
            parser,
            required: parameter.required,
            secret: false,
            default: parameter
                .default
                .as_ref()
                .map(|text| text.get_ref().clone()),
            doc,
        });
    }
    options.sort_by_key(|option| !option.required);
    for (name, parser, doc) in ENGINE {
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
            parser: parser.clone(),
            required: false,
            secret: false,
            default,
            doc: (*doc).to_owned(),
        });
    }
    for (name, parser, secret, doc) in SIGNING {
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
            parser: parser.clone(),
            required,
            secret: *secret,
            default,
            doc: (*doc).to_owned(),
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
        problems: option::check(&descriptions(Some(spec)), given),
    };
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
    fn add(&mut self, option: &str, message: impl Into<String>, suggestion: Option<&str>) {
        let problem = OptionProblem::new(option, message, suggestion);
        self.problems.push(problem);
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

    /// The value of an option that the table of options has checked.
    fn value<T: FromStr>(&self, name: &str) -> Option<T> {
        self.plain(name)?.parse().ok()
    }

    fn edge(&self, name: &str) -> Option<chrono::DateTime<chrono::Utc>> {
        parse_edge(self.plain(name)?).ok()
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
        let page_size: NonZeroU64 = self.value("page_size").unwrap_or(defaults.page_size);
        if page_size > defaults.max_page_size {
            let message = format!(
                "{page_size} is more than the {} that the server allows",
                defaults.max_page_size
            );
            self.add("page_size", message, None);
        }
        let concurrency: NonZeroUsize = self.value("concurrency").unwrap_or(defaults.concurrency);
        let attempts: NonZeroU32 = self.value("max_attempts").unwrap_or(defaults.max_attempts);
        let rate = match self.plain("requests_per_second") {
            None => defaults.requests_per_second,
            Some(text) => Some(text.parse().unwrap_or(0.0)),
        };
        if rate.is_some_and(|rate: f64| !(rate > 1e-6 && rate < 1e6)) {
            let message = "must be a number above zero and below a million";
            self.add("requests_per_second", message, None);
        }
        let only_root_actor = location.only_root_actor.as_ref().is_some_and(|only| {
            parameters.get(only.parameter.get_ref()) == Some(only.equals.get_ref())
        });
        let credentials = self.credentials(spec);
        let retry = RetryPolicy {
            max_attempts: attempts,
            first_delay: defaults.first_delay.0,
            max_delay: defaults.max_delay.0,
            max_retry_after: defaults.max_retry_after.0,
            max_total: defaults.max_total.0,
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
            let message = "holds a character that a header cannot carry";
            self.add("consumer", message, None);
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

    fn parameters(&self, spec: &Spec) -> BTreeMap<String, String> {
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
            let near = nearest(&written, names);
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
        let allowed = self.plain("allow_http") == Some("true");
        let signs = SIGNING
            .iter()
            .any(|(name, _, secret, _)| *secret && self.given.contains_key(*name));
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
