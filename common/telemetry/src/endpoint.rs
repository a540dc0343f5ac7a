//! [`Endpoint`]: serves metrics and health over HTTP at `/metrics`, `/health/live` and `/health/ready`.

use crate::{Health, Registry, Report};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Maximum number of connections at once; further ones wait. A scraper and a probe need two.
const CONNECTIONS: usize = 32;
/// Time to read a request's header, after which the connection is closed.
const PATIENCE: Duration = Duration::from_secs(10);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An HTTP server of a process's metrics and health.
///
/// It shows no secrets and changes nothing, but it has no access control. Give it a loopback address
/// unless a firewall protects it.
///
/// | path | answer |
/// |---|---|
/// | `/metrics` | 200, Prometheus' text format 0.0.4 |
/// | `/health/live` | 200 if live, 503 otherwise; JSON: `live`, `ready`, `reasons`, perhaps `degraded` |
/// | `/health/ready` | 200 if ready, 503 otherwise; the same JSON |
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

/// An error in opening the endpoint.
#[derive(Debug, Error)]
#[error("cannot serve metrics on {address} (choose a free address of this machine)")]
pub struct EndpointError {
    /// The address.
    pub address: SocketAddr,
    /// The reason.
    pub source: io::Error,
}

impl Endpoint {
    /// Listens on `address` (port 0: any free port) and serves until the endpoint is dropped.
    ///
    /// # Errors
    /// The endpoint cannot listen on the address.
    pub async fn open(
        address: SocketAddr,
        registry: Registry,
        health: Health,
    ) -> Result<Self, EndpointError> {
        let fail = |source| EndpointError { address, source };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        tracing::info!(target: crate::target::NODE, %address, "serving metrics and health");
        Ok(Self { address, task: tokio::spawn(serve(listener, registry, health)) })
    }

    /// Returns the address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, registry: Registry, health: Health) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed, so `acquire_owned` cannot fail.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely no file descriptor is free: wait until others are closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let registry = registry.clone();
        let health = health.clone();
        tokio::spawn(async move {
            serve_one(stream, registry, health).await;
            drop(permit);
        });
    }
}

async fn serve_one(stream: TcpStream, registry: Registry, health: Health) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &registry, &health);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    // An aborted connection needs no handling.
    let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
}

fn answer(method: &Method, path: &str, registry: &Registry, health: &Health) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/metrics" => reply(StatusCode::OK, TEXT, registry.to_string()),
        "/health/live" => state(health.report(), |report| report.live),
        "/health/ready" => state(health.report(), |report| report.ready),
        _ => reply(StatusCode::NOT_FOUND, TEXT, "see /metrics, /health/live, /health/ready\n".to_owned()),
    }
}

fn state(report: Report, good: fn(&Report) -> bool) -> Response<Full<Bytes>> {
    let status = if good(&report) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = serde_json::to_string(&report).expect("text keys and plain values always become JSON");
    reply(status, JSON, json + "\n")
}

fn reply(status: StatusCode, kind: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
