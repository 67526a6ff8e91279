//! Turns one HTTP request into one HTTP response: counts it, injects its fault, and writes headers.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use crate::answer::Answer;
use crate::error::Error;
use crate::faults::{self, Fault};
use crate::generator::Generator;
use crate::json;
use crate::oauth;
use crate::options::Options;
use crate::refusal::Refusal;
use crate::replay::Recordings;
use crate::request::{self, Request};
use crate::routes::{Generated, Route};
use crate::search_cache::SearchCache;
use crate::stats::Counters;
use crate::wadl;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain;charset=utf-8";
const HTML: &str = "text/html;charset=utf-8";

/// What a server serves, and how.
#[derive(Debug)]
pub(crate) struct Service {
    content: Content,
    options: Options,
    counters: Counters,
    own_address: String,
}

#[derive(Debug)]
enum Content {
    Generated(Generated),
    Recorded(Recordings),
}

impl Service {
    /// Generates the bugs, or reads the recordings. Blocks while it does.
    pub(crate) fn new(options: Options, own_address: String) -> Result<Self, Error> {
        let content = match &options.replay {
            Some(folder) => Content::Recorded(Recordings::read(Path::new(folder))?),
            None => Content::Generated(Generated {
                generator: Generator::new(&options),
                cache: SearchCache::default(),
            }),
        };
        Ok(Self {
            content,
            options,
            counters: Counters::default(),
            own_address,
        })
    }

    /// The counters.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    fn answer(&self, request: &Request, headers: &HeaderMap) -> Result<Answer, Refusal> {
        let authorization = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let viewer = oauth::viewer(self.options.oauth.as_ref(), authorization)?;
        if request.path.is_empty() {
            return Ok(if request.wants_wadl {
                Answer::Wadl(wadl::document(&request.links))
            } else {
                Answer::Json(service_root(request))
            });
        }
        match &self.content {
            Content::Generated(generated) => Route {
                generated,
                request,
                viewer,
                faults: &self.options.faults,
                counters: &self.counters,
            }
            .answer(),
            Content::Recorded(recordings) => recordings.answer(request),
        }
    }

    fn respond(
        &self,
        number: u64,
        fault: Option<Fault>,
        headers: &HeaderMap,
        answer: Result<Answer, Refusal>,
    ) -> Response {
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => return refused(number, &refusal),
        };
        let (body, media_type, etag) = match answer {
            Answer::Entry(entry) => (entry.json, JSON, Some(entry.etag)),
            Answer::Json(body) => (body, JSON, None),
            Answer::Wadl(body) => (body, wadl::MEDIA_TYPE, None),
        };
        if let Some(fault) = fault {
            self.counters.fault(fault.name());
            return match fault {
                Fault::Drop => {
                    let length = body.len();
                    let mut response = reply(StatusCode::OK, media_type, faults::broken_off(&body));
                    response
                        .headers_mut()
                        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                    response
                }
                Fault::Truncate => reply(StatusCode::OK, media_type, faults::cut(&body)),
                Fault::Malformed => reply(StatusCode::OK, media_type, faults::malformed(&body)),
                // The others are answered without an answer.
                Fault::Html | Fault::Fail | Fault::RateLimit => {
                    reply(StatusCode::OK, HTML, faults::HTML_PAGE)
                }
            };
        }
        let Some(etag) = etag.filter(|etag| !etag.is_empty()) else {
            return reply(StatusCode::OK, media_type, body);
        };
        let mut response = if asks_unless(headers, &etag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
                .headers_mut()
                .insert(header::VARY, HeaderValue::from_static("Accept"));
            response
        } else {
            reply(StatusCode::OK, media_type, body)
        };
        // The front end changes what the client is told; the service knows only its own tag.
        let shown = if self.options.faults.etag_gzip {
            mangle(&etag)
        } else {
            etag
        };
        if let Ok(shown) = HeaderValue::from_str(&shown) {
            response.headers_mut().insert(header::ETAG, shown);
        }
        response
    }

    /// The answer to a request that a fault keeps from being answered.
    fn unanswered(&self, number: u64, fault: Fault) -> Response {
        self.counters.fault(fault.name());
        match fault {
            Fault::Fail if !self.options.faults.html_503 => refused(number, &Refusal::TimedOut),
            Fault::RateLimit => {
                let mut response = reply(StatusCode::TOO_MANY_REQUESTS, TEXT, "Too many requests.");
                let seconds = HeaderValue::from(self.options.faults.retry_after.0);
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
                response
            }
            _ => reply(StatusCode::SERVICE_UNAVAILABLE, HTML, faults::HTML_PAGE),
        }
    }
}

/// Answers one request.
pub(crate) async fn handle(
    State(service): State<Arc<Service>>,
    incoming: axum::extract::Request,
) -> Response {
    let (parts, _) = incoming.into_parts();
    let request = Request::read(
        &parts.method,
        &parts.uri,
        &parts.headers,
        &service.own_address,
    );
    let (number, _in_flight) = service.counters.begin(request::kind(&request));
    tracing::trace!(number, method = %parts.method, uri = %parts.uri, "request");
    if let Some(latency) = service.options.faults.latency {
        tokio::time::sleep(latency).await;
    }
    let fault = Fault::of(&service.options.faults, number);
    match fault {
        Some(fault @ (Fault::Fail | Fault::RateLimit)) => service.unanswered(number, fault),
        fault => {
            let answer = request.and_then(|request| service.answer(&request, &parts.headers));
            service.respond(number, fault, &parts.headers, answer)
        }
    }
}

fn reply(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn refused(number: u64, refusal: &Refusal) -> Response {
    let status =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply(status, TEXT, refusal.text());
    let headers = response.headers_mut();
    match refusal {
        Refusal::Redirect { location, .. } => {
            if let Ok(location) = HeaderValue::from_str(location) {
                headers.insert(header::LOCATION, location);
            }
        }
        Refusal::MethodNotAllowed => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        Refusal::Failure(_) | Refusal::TimedOut => {
            if let Ok(oops) = HeaderValue::from_str(&format!("OOPS-{number:032x}")) {
                headers.insert("x-lazr-oopsid", oops);
            }
        }
        _ => {}
    }
    response
}

/// Whether the client has the entry already.
fn asks_unless(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag == etag)
}

fn mangle(etag: &str) -> String {
    etag.strip_suffix('"')
        .map_or_else(|| etag.to_owned(), |start| format!("{start}-gzip\""))
}

/// The links to the top-level collections.
fn service_root(request: &Request) -> String {
    let links = &request.links;
    let mut body = String::from("{");
    for (name, path, _) in wadl::COLLECTIONS {
        json::write_member(name, &Value::String(links.api(path)), &mut body);
        body.push_str(", ");
    }
    json::write_member(
        "me_link",
        &Value::String(links.api("people/+me")),
        &mut body,
    );
    body.push_str(", ");
    json::write_member(
        "resource_type_link",
        &Value::String(links.resource_type("service-root")),
        &mut body,
    );
    body.push('}');
    body
}
