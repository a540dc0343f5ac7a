//! Metrics and health over HTTP: `/metrics`, `/health/live`, `/health/ready`.

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

/// More callers than this at once wait: a scraper and a probe need two.
const CONNECTIONS: usize = 32;
/// A caller that says nothing for so long is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Serves a process's metrics and health. It holds nothing secret and changes nothing, but listens on what it is given:
/// give it a loopback address unless a firewall stands before it.
///
/// | path | answer |
/// |---|---|
/// | `/metrics` | 200, Prometheus' text format 0.0.4 |
/// | `/health/live` | 200 if live, 503 otherwise; JSON: `live`, `ready`, `reasons` |
/// | `/health/ready` | 200 if ready, 503 otherwise; the same JSON |
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

/// The endpoint could not be opened.
#[derive(Debug, Error)]
#[error("cannot serve metrics on {address} ({source}): choose a free address of this machine")]
pub struct EndpointError {
    /// The address as given.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

impl Endpoint {
    /// Listens on `address` (port 0: any free one) and serves until the endpoint is dropped.
    ///
    /// # Errors
    /// The address cannot be listened on.
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

    /// Where it listens.
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
            // Out of file descriptors, most likely: others must close some first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (registry, health) = (registry.clone(), health.clone());
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
    // A caller that breaks off is nobody's concern.
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
