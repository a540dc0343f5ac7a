//! Tests of the endpoint through real sockets.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use std::{net::SocketAddr, sync::Arc};
use telemetry::{Counter, Endpoint, Health, Registry};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

telemetry::metrics! {
    /// For the test.
    struct Sample("muster_test") {
        /// Things counted.
        things: Counter,
    }
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn endpoint() -> (Endpoint, Arc<Sample>, Health) {
    let registry = Registry::default();
    let health = Health::default();
    let sample = Arc::new(Sample::default());
    registry.add(sample.clone());
    let endpoint = Endpoint::open(([127, 0, 0, 1], 0).into(), registry, health.clone()).await.unwrap();
    (endpoint, sample, health)
}

#[tokio::test]
async fn metrics_are_served_as_they_stand() {
    let (endpoint, sample, _) = endpoint().await;
    sample.things.add(5);
    let answer = ask(endpoint.address(), "GET /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(answer.ends_with("\nmuster_test_things_total 5\n"), "{answer}");
}

#[tokio::test]
async fn health_follows_the_components() {
    let (endpoint, _, health) = endpoint().await;
    let chain = health.component("chain");
    let answer = ask(endpoint.address(), "GET /health/ready").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("{\"live\":true,\"ready\":false,\"reasons\":{\"chain\":\"starting\"}}\n"),
        "{answer}"
    );
    assert!(ask(endpoint.address(), "GET /health/live").await.starts_with("HTTP/1.1 200 "));
    chain.ready();
    assert!(ask(endpoint.address(), "GET /health/ready").await.starts_with("HTTP/1.1 200 "));
    drop(chain);
    assert!(ask(endpoint.address(), "GET /health/live").await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn other_questions_are_refused() {
    let (endpoint, _, _) = endpoint().await;
    assert!(ask(endpoint.address(), "GET /secrets").await.starts_with("HTTP/1.1 404 "));
    assert!(ask(endpoint.address(), "POST /metrics").await.starts_with("HTTP/1.1 405 "));
    assert!(ask(endpoint.address(), "nonsense").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let (endpoint, _, _) = endpoint().await;
    let taken = Endpoint::open(endpoint.address(), Registry::default(), Health::default()).await;
    let error = taken.unwrap_err().to_string();
    let address = endpoint.address();
    assert_eq!(error, format!("cannot serve metrics on {address} (choose a free address of this machine)"));
}
