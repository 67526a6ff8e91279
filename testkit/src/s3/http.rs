//! HTTP: connections, what a request asks for, and the faults around it.
//!
//! Owns the way of a request: it is read whole, numbered, met by its faults, answered by the interface (`api.rs`),
//! and met by the faults that come after. It goes this way in a task of its own, so that a client that dies after it
//! has sent a request does not undo it, as it would not on a real service.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use s3s::service::S3Service;
use s3s::{Body, HttpRequest, HttpResponse, S3Error, S3ErrorCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::faults::{Board, Kind, Operation, Refusal, Request, Verdict};

/// More than any test sends in one request.
const LARGEST_BODY: usize = 1 << 30;

/// What every connection needs.
pub(super) struct Shared {
    pub(super) service: S3Service,
    pub(super) board: Arc<Board>,
    pub(super) region: String,
}

/// Accepts connections until its runtime ends.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // An error is of one connection that was gone before it was accepted.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&shared)));
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Without this each small reply waits for the acknowledgement of the one before it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move { tokio::spawn(async move { answer(&shared, request.map(Body::from)).await }).await? }
    });
    // An error is a client that went away, or a connection that a fault has cut.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// Answers a request; an error cuts the connection.
async fn answer(shared: &Shared, mut request: HttpRequest) -> Result<HttpResponse, io::Error> {
    // Whole before anything else: an upload that breaks off has no number and no effect.
    request
        .body_mut()
        .store_all_limited(LARGEST_BODY)
        .await
        .map_err(io::Error::other)?;
    let (operation, key) = asked(request.method(), request.uri(), request.headers());
    let target = format!("{} {}", request.method(), request.uri());
    let (met, faults) = shared.board.arrived(operation, key, target);

    for fault in &faults {
        match fault {
            Kind::Refuse(how) => return refuse(*how),
            Kind::HoldBefore(gate) => released(gate).await,
            Kind::Before(callback) => {
                decided(callback, &met).await?;
            }
            Kind::Lose(_) | Kind::Halve | Kind::HoldAfter(_) | Kind::After(_) => {}
        }
    }
    let reply = if of_region(request.headers(), &shared.region) {
        shared
            .service
            .call(request)
            .await
            .map_err(io::Error::other)?
    } else {
        error(
            S3ErrorCode::AuthorizationHeaderMalformed,
            "the region is wrong",
        )?
    };
    for fault in &faults {
        match fault {
            Kind::Lose(how) => return refuse(*how),
            Kind::Halve => return halved(reply).await,
            Kind::HoldAfter(gate) => released(gate).await,
            Kind::After(callback) => {
                decided(callback, &met).await?;
            }
            Kind::Refuse(_) | Kind::HoldBefore(_) | Kind::Before(_) => {}
        }
    }
    Ok(reply)
}

/// A reply that promises its whole body and breaks off in the middle.
async fn halved(reply: HttpResponse) -> Result<HttpResponse, io::Error> {
    let (mut head, mut body) = reply.into_parts();
    let whole = body
        .store_all_limited(LARGEST_BODY)
        .await
        .map_err(io::Error::other)?;
    if whole.is_empty() {
        return refuse(Refusal::Cut);
    }
    head.headers
        .insert(header::CONTENT_LENGTH, whole.len().into());
    let half = whole.slice(..whole.len() / 2);
    Ok(HttpResponse::from_parts(
        head,
        Body::http_body(Broken {
            half: Some(half),
            sent: false,
        }),
    ))
}

/// A body that ends with an error, after what comes before has been sent.
struct Broken {
    half: Option<Bytes>,
    sent: bool,
}

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.sent {
            // A connection sends what it has when there is nothing more for the moment; an error drops it.
            self.sent = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::other("cut in the middle"))))
    }
}

async fn released(gate: &watch::Receiver<bool>) {
    // An error is a test that forgot its handle: nobody will ever release this.
    drop(gate.clone().wait_for(|open| *open).await);
}

async fn decided(
    callback: &Arc<dyn Fn(&Request) -> Verdict + Send + Sync>,
    request: &Request,
) -> Result<(), io::Error> {
    let (callback, request) = (Arc::clone(callback), request.clone());
    match tokio::task::spawn_blocking(move || callback(&request))
        .await
        .map_err(io::Error::other)?
    {
        Verdict::Continue => Ok(()),
        Verdict::Cut => Err(io::Error::other("cut by a callback")),
    }
}

fn refuse(how: Refusal) -> Result<HttpResponse, io::Error> {
    let said = "this request was chosen to fail";
    match how {
        Refusal::InternalError => error(S3ErrorCode::InternalError, said),
        Refusal::Unavailable => error(S3ErrorCode::ServiceUnavailable, said),
        Refusal::SlowDown => error(S3ErrorCode::SlowDown, said),
        Refusal::InvalidRequest => error(S3ErrorCode::InvalidRequest, said),
        Refusal::AccessDenied => error(S3ErrorCode::AccessDenied, said),
        Refusal::ErrorInBody => {
            let mut reply = error(S3ErrorCode::InternalError, said)?;
            *reply.status_mut() = StatusCode::OK;
            Ok(reply)
        }
        Refusal::Cut => Err(io::Error::other("cut by a fault")),
    }
}

fn error(code: S3ErrorCode, said: &'static str) -> Result<HttpResponse, io::Error> {
    S3Error::with_message(code, said)
        .to_http_response()
        .map_err(io::Error::other)
}

/// Whether a signature is for `region`; a request without one is not refused for that.
fn of_region(headers: &HeaderMap, region: &str) -> bool {
    let scope = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("Credential="))
        .and_then(|(_, credential)| credential.split('/').nth(2));
    scope.is_none_or(|scope| scope == region)
}

/// What a request asks for and of which key, or of which prefix.
fn asked(method: &Method, uri: &Uri, headers: &HeaderMap) -> (Operation, String) {
    let query: Vec<(String, String)> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let has = |name: &str| query.iter().any(|(is, _)| is == name);
    let path = uri.path().trim_start_matches('/');
    let Some((_, key)) = path.split_once('/').filter(|(_, key)| !key.is_empty()) else {
        let operation = match *method {
            Method::GET if has("uploads") => Operation::ListMultipartUploads,
            Method::GET if has("list-type") => Operation::ListObjects,
            Method::POST if has("delete") => Operation::DeleteObjects,
            _ => Operation::Other,
        };
        let prefix = query.into_iter().find(|(name, _)| name == "prefix");
        return (
            operation,
            prefix.map(|(_, value)| value).unwrap_or_default(),
        );
    };
    let copies = headers.contains_key("x-amz-copy-source");
    let operation = match *method {
        Method::PUT if has("uploadId") && copies => Operation::UploadPartCopy,
        Method::PUT if has("uploadId") => Operation::UploadPart,
        Method::PUT if copies => Operation::CopyObject,
        Method::PUT => Operation::PutObject,
        Method::GET if has("uploadId") => Operation::ListParts,
        Method::GET => Operation::GetObject,
        Method::HEAD => Operation::HeadObject,
        Method::DELETE if has("uploadId") => Operation::AbortMultipartUpload,
        Method::DELETE => Operation::DeleteObject,
        Method::POST if has("uploads") => Operation::CreateMultipartUpload,
        Method::POST if has("uploadId") => Operation::CompleteMultipartUpload,
        _ => Operation::Other,
    };
    (operation, decoded(key))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
