//! A request, taken apart: version, path, query, who asks, and what it is counted as.

use axum::http::{HeaderMap, Method, Uri, header};
use percent_encoding::percent_decode_str;

use crate::links::{Links, Version};
use crate::parameters::Parameters;
use crate::refusal::Refusal;
use crate::wadl;

/// A request for something of the web service.
#[derive(Debug)]
pub(crate) struct Request {
    /// The links of the answer.
    pub(crate) links: Links,
    /// The decoded path below the version, in parts.
    pub(crate) path: Vec<String>,
    /// The path below the version as it was sent.
    pub(crate) raw_path: String,
    /// The query.
    pub(crate) parameters: Parameters,
    /// The query as it was sent.
    pub(crate) raw_query: Option<String>,
    /// Whether the description of the service is wanted.
    pub(crate) wants_wadl: bool,
}

impl Request {
    /// Takes a request apart. 405 for a method that is not for reading, 404 for an unknown version.
    pub(crate) fn read(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        own_address: &str,
    ) -> Result<Self, Refusal> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Refusal::MethodNotAllowed);
        }
        let text =
            |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let whole = uri.path().trim_start_matches('/');
        let (first, rest) = whole.split_once('/').unwrap_or((whole, ""));
        let Some(version) = Version::parse(first) else {
            return Err(Refusal::not_found("WebServiceApplication", first));
        };
        let raw_path = rest.trim_end_matches('/').to_owned();
        let parameters = Parameters::parse(uri.query().unwrap_or_default());
        let accept = parameters
            .raw("ws.accept")
            .or_else(|| text(header::ACCEPT))
            .unwrap_or_default();
        Ok(Self {
            links: Links::new(text(header::HOST).unwrap_or(own_address), version),
            path: segments(&raw_path),
            wants_wadl: accept.contains(wadl::MEDIA_TYPE),
            raw_path,
            parameters,
            raw_query: uri.query().map(str::to_owned),
        })
    }

    /// The parts of the path, as a pattern is matched against.
    pub(crate) fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// The decoded parts of a path.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect()
}

/// What a request is counted as in [`crate::Stats`].
pub(crate) fn kind(request: &Result<Request, Refusal>) -> &'static str {
    let Ok(request) = request else { return "other" };
    if request.parameters.raw("ws.op") == Some("searchTasks") {
        return "search";
    }
    match request.parts().as_slice() {
        [] if request.wants_wadl => "wadl",
        [] => "root",
        ["bugs", _] => "bug",
        ["bugs", _, "bug_tasks"] | [.., "+bug", _, "related_tasks"] => "bug_tasks",
        ["bugs", _, "activity"] => "activity",
        ["bugs", _, "messages"] => "messages",
        [.., "comments", _] => "message",
        [.., "+bug", _] => "task",
        ["people"] => "person",
        [name] if name.starts_with('~') => "person",
        [name, ..] if name.starts_with('~') => "members",
        _ => "other",
    }
}
