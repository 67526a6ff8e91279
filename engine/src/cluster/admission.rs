//! Which requests are answered on the ports of a cluster. Owns the rules, whoever sends the request; who may connect at all is
//! `serve`'s.
//!
//! A browser connects as its user does, from any page that this user reads. So a request that a page could have sent is
//! refused: one with an `Origin`, one for a host name that is not ours (a page's own name can be made to lead here), and
//! whatever is to be changed by a request that is not gRPC's own, which no page can send.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tonic::Status;

use super::tls::NAME;

/// The host names under which a process may be asked. Addresses and `localhost` always are: a page cannot choose them.
#[derive(Debug, Clone)]
pub struct Names(Arc<BTreeSet<String>>);

impl Names {
    /// These, and those of every process.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let always = [NAME, "localhost"].map(String::from);
        let names = names.into_iter().map(|name| plain(&name));
        Self(Arc::new(names.chain(always).collect()))
    }

    fn know(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = plain(authority.host());
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok() || self.0.contains(&host)
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// These routes, for requests that no page of a browser sent; with `names`, for one of these hosts.
pub(super) fn guarded(routes: Router, names: Option<Names>) -> Router {
    routes.layer(from_fn_with_state(names, from_no_page))
}

/// The routes of `routes`, which answer nothing but gRPC's own requests.
pub(super) fn grpc_only(routes: Router) -> Router {
    routes.route_layer(from_fn(async |request: Request, next: Next| {
        if is_grpc(&request) {
            return next.run(request).await;
        }
        let words = "gRPC is answered here: POST, HTTP/2, application/grpc";
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, words).into_response()
    }))
}

/// The routes of `routes` below `/api/`, for reading only.
pub fn read_only(routes: Router) -> Router {
    routes.route_layer(from_fn(async |request: Request, next: Next| {
        if !request.uri().path().starts_with("/api/") {
            return StatusCode::NOT_FOUND.into_response();
        }
        match *request.method() {
            Method::GET | Method::HEAD => next.run(request).await,
            _ => (StatusCode::METHOD_NOT_ALLOWED, "nothing is changed here").into_response(),
        }
    }))
}

async fn from_no_page(
    State(names): State<Option<Names>>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(&request, names.as_ref()) {
        None => next.run(request).await,
        Some((_, words)) if is_grpc(&request) => Status::permission_denied(words).into_http(),
        Some(refused) => refused.into_response(),
    }
}

fn refusal(request: &Request, names: Option<&Names>) -> Option<(StatusCode, String)> {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) {
        let words = String::from("requests of web pages are not answered");
        return Some((StatusCode::FORBIDDEN, words));
    }
    let names = names?;
    let mut asked = hosts(headers, request.uri().authority()).peekable();
    if asked.peek().is_none() {
        return Some((StatusCode::BAD_REQUEST, String::from("no host was named")));
    }
    let foreign = asked.find(|host| !names.know(host))?;
    let words = format!(
        "this process is not called {foreign:?}; its names are given with --external-host and --allow-host"
    );
    Some((StatusCode::MISDIRECTED_REQUEST, words))
}

/// All that the request says of whom it is for.
fn hosts<'a>(
    headers: &'a HeaderMap,
    authority: Option<&'a Authority>,
) -> impl Iterator<Item = &'a str> {
    let named = headers.get_all(header::HOST).into_iter();
    // A name that is no text is nobody's.
    let named = named.map(|name| name.to_str().unwrap_or_default());
    authority.map(Authority::as_str).into_iter().chain(named)
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let rest = kind.strip_prefix("application/grpc");
    request.version() == Version::HTTP_2
        && request.method() == Method::POST
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_host_is_known_by_address_or_by_one_of_its_names() {
        let names = Names::new([String::from("Scheduler.lake.svc")]);
        for known in [
            "127.0.0.1:50050",
            "[::1]:50050",
            "10.1.2.3",
            "localhost:1",
            "LOCALHOST",
            "scheduler.lake.svc.:50050",
            "spillway",
        ] {
            assert!(names.know(known), "{known}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:50050",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil@localhost",
            "scheduler",
            "a b",
        ] {
            assert!(!names.know(foreign), "{foreign}");
        }
    }

    #[test]
    fn every_host_that_a_request_names_is_looked_at() {
        let names = Names::new([]);
        let ask = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            refusal(&request.body(Body::empty()).unwrap(), Some(&names)).map(|(status, _)| status)
        };
        assert_eq!(ask("/metrics", &["127.0.0.1:9090"]), None);
        assert_eq!(ask("http://localhost/metrics", &[]), None);
        assert_eq!(ask("/metrics", &[]), Some(StatusCode::BAD_REQUEST));
        let foreign = Some(StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(ask("/metrics", &["evil.example"]), foreign);
        assert_eq!(ask("http://localhost/", &["evil.example"]), foreign);
        assert_eq!(ask("http://evil.example/", &["localhost"]), foreign);
        assert_eq!(ask("/", &["localhost", "evil.example"]), foreign);
    }

    #[test]
    fn only_grpc_over_http_2_is_grpc() {
        let ask = |version, method: Method, kind: &str| {
            let request = Request::builder().version(version).method(method);
            let request = request.header(header::CONTENT_TYPE, kind);
            is_grpc(&request.body(Body::empty()).unwrap())
        };
        for kind in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x",
        ] {
            assert!(ask(Version::HTTP_2, Method::POST, kind), "{kind}");
            assert!(!ask(Version::HTTP_11, Method::POST, kind), "{kind}");
            assert!(!ask(Version::HTTP_2, Method::GET, kind), "{kind}");
        }
        for kind in ["", "text/plain", "application/grpc-web", "application/json"] {
            assert!(!ask(Version::HTTP_2, Method::POST, kind), "{kind}");
        }
    }
}
