//! What the scheduler answers on its port: Ballista's gRPC service and, for reading, its `/api`, and beside them whether it is
//! alive and how much work there is. Owns the routes; what they say of executors and tasks is counted in [`crate::load`].

use std::future::pending;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_scheduler::api::get_routes;
use engine::cluster::{Audience, MESSAGE_BYTES, Names, grpc_routes, read_only};
use tokio::net::TcpListener;

use crate::load::{Load, Scheduler, load};

/// Answers for ever, those of `audience`. On `metrics` anybody is told numbers.
pub(crate) async fn serve(
    listener: TcpListener,
    audience: Audience,
    names: Names,
    metrics: Option<TcpListener>,
    scheduler: Scheduler,
) {
    let scheduler = Arc::new(scheduler);
    let told = async {
        match metrics {
            Some(metrics) => {
                let routes = numbers(&scheduler);
                engine::cluster::serve_numbers(metrics, names.clone(), routes, pending()).await;
            }
            None => pending().await,
        }
    };
    let routes = router(&scheduler);
    let everything = engine::cluster::serve(listener, audience, names.clone(), routes, pending());
    tokio::join!(everything, told);
}

fn router(scheduler: &Arc<Scheduler>) -> Router {
    let service = SchedulerGrpcServer::new(scheduler.as_ref().clone())
        .max_encoding_message_size(MESSAGE_BYTES)
        .max_decoding_message_size(MESSAGE_BYTES);
    read_only(get_routes(Arc::clone(scheduler)))
        .merge(grpc_routes(service))
        .merge(numbers(scheduler))
}

/// What says nothing of plans and places.
fn numbers(scheduler: &Arc<Scheduler>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/scaling", get(scaling))
        .with_state(Arc::clone(scheduler))
}

/// Whether there is anybody to give tasks to. Runs wait for the first executor, so this is for people and dashboards;
/// whether this process answers is `/healthz`.
async fn ready(State(scheduler): State<Arc<Scheduler>>) -> Response {
    counted(&scheduler, |load| {
        let status = match load.executors {
            0 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        };
        (status, format!("{} executors", load.executors)).into_response()
    })
    .await
}

async fn metrics(State(scheduler): State<Arc<Scheduler>>) -> Response {
    counted(&scheduler, |load| {
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], load.exposition()).into_response()
    })
    .await
}

async fn scaling(State(scheduler): State<Arc<Scheduler>>) -> Response {
    counted(&scheduler, |load| Json(load).into_response()).await
}

async fn counted(scheduler: &Scheduler, answer: impl FnOnce(Load) -> Response) -> Response {
    match load(scheduler).await {
        Ok(load) => answer(load),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
