//! The socket of a session: counts each request, and holds the session's pace.

use std::sync::Arc;

use jsonrpsee::ws_client::WsClient;
use serde_json::value::RawValue;
use subxt_rpcs::client::{RawRpcFuture, RawRpcSubscription, RpcClientT};
use telemetry::Counter;

use crate::{Metrics, Options, pace::Pace};

/// An open websocket. Every request of the client passes through it.
pub(crate) struct Socket {
    client: WsClient,
    metrics: Arc<Metrics>,
    of_endpoint: Arc<Counter>,
    /// The pace of requests. Callers follow it, outside of their time limits.
    pub(crate) pace: Pace,
}

impl Socket {
    pub(crate) fn new(client: WsClient, endpoint: &str, options: &Options, metrics: Arc<Metrics>) -> Self {
        let of_endpoint = metrics.endpoint_requests.with(endpoint);
        Self { client, metrics, of_endpoint, pace: Pace::new(options) }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Waits for the end of the connection. Returns its reason.
    pub(crate) async fn ended(&self) -> String {
        self.client.on_disconnect().await.to_string()
    }

    fn count(&self, method: &str) {
        self.metrics.requests.with(method).increment();
        self.of_endpoint.increment();
    }
}

impl RpcClientT for Socket {
    fn request_raw<'a>(
        &'a self,
        method: &'a str,
        params: Option<Box<RawValue>>,
    ) -> RawRpcFuture<'a, Box<RawValue>> {
        self.count(method);
        self.client.request_raw(method, params)
    }

    fn subscribe_raw<'a>(
        &'a self,
        subscribe: &'a str,
        params: Option<Box<RawValue>>,
        unsubscribe: &'a str,
    ) -> RawRpcFuture<'a, RawRpcSubscription> {
        self.count(subscribe);
        self.client.subscribe_raw(subscribe, params, unsubscribe)
    }
}
