//! A proxy for a node's JSON-RPC: it records requests and can change answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use jsonrpsee::{
    PendingSubscriptionSink,
    core::{
        client::{ClientT, Error as ClientError, SubscriptionClientT},
        params::ArrayParams,
    },
    server::{RpcModule, Server, ServerHandle},
    types::{ErrorObjectOwned, Params},
    ws_client::{WsClient, WsClientBuilder},
};
use serde_json::Value;

/// The methods that the client uses.
const METHODS: &[&str] = &[
    "chain_getBlock",
    "chain_getBlockHash",
    "chain_getFinalizedHead",
    "chain_getHeader",
    "state_call",
    "state_getKeysPaged",
    "state_getMetadata",
    "state_getRuntimeVersion",
    "state_queryStorageAt",
    "system_accountNextIndex",
];

/// The client's subscriptions: method to subscribe, name of the messages, method to unsubscribe.
const SUBSCRIPTIONS: &[(&str, &str, &str)] = &[
    ("chain_subscribeFinalizedHeads", "chain_finalizedHead", "chain_unsubscribeFinalizedHeads"),
    ("chain_subscribeNewHeads", "chain_newHead", "chain_unsubscribeNewHeads"),
    ("author_submitAndWatchExtrinsic", "author_extrinsicUpdate", "author_unwatchExtrinsic"),
];

type Answer = Result<Value, ErrorObjectOwned>;
type Rewrite = Arc<dyn Fn(&[Value], Answer) -> Answer + Send + Sync>;

struct Shared {
    upstream: WsClient,
    seen: Mutex<Vec<&'static str>>,
    rewrites: Mutex<HashMap<&'static str, Rewrite>>,
}

/// A running proxy. It stops with the test.
pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _server: ServerHandle,
}

impl Proxy {
    pub(crate) async fn start(upstream: &str) -> Self {
        let upstream = WsClientBuilder::default().max_response_size(64 << 20).build(upstream).await.unwrap();
        let shared = Arc::new(Shared { upstream, seen: Mutex::default(), rewrites: Mutex::default() });
        let mut module = RpcModule::from_arc(shared.clone());
        for method in METHODS {
            module.register_async_method(method, |params, shared, _| pass(method, params, shared)).unwrap();
        }
        for (subscribe, message, unsubscribe) in SUBSCRIPTIONS {
            let pass = |params: Params<'static>, pending, shared, _| {
                pass_subscription((subscribe, unsubscribe), params, pending, shared)
            };
            module.register_subscription(subscribe, message, unsubscribe, pass).unwrap();
        }
        let config = jsonrpsee::server::ServerConfig::builder().max_response_body_size(64 << 20).build();
        let server = Server::builder().set_config(config).build("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", server.local_addr().unwrap());
        Self { url, shared, _server: server.start(module) }
    }

    /// Returns the methods that were called since the last call of this function.
    pub(crate) fn seen(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }

    /// Changes all later answers to a method.
    pub(crate) fn rewrite(
        &self,
        method: &'static str,
        rewrite: impl Fn(&[Value], Answer) -> Answer + Send + Sync + 'static,
    ) {
        self.shared.rewrites.lock().unwrap().insert(method, Arc::new(rewrite));
    }
}

fn array(params: &[Value]) -> ArrayParams {
    let mut array = ArrayParams::new();
    for param in params {
        array.insert(param).unwrap();
    }
    array
}

fn refused(error: ClientError) -> ErrorObjectOwned {
    match error {
        ClientError::Call(error) => error,
        other => ErrorObjectOwned::owned(-32000, other.to_string(), None::<()>),
    }
}

async fn pass(method: &'static str, params: Params<'static>, shared: Arc<Shared>) -> Answer {
    let params = params.parse::<Option<Vec<Value>>>()?.unwrap_or_default();
    shared.seen.lock().unwrap().push(method);
    let answer = shared.upstream.request(method, array(&params)).await.map_err(refused);
    let rewrite = shared.rewrites.lock().unwrap().get(method).cloned();
    match rewrite {
        Some(rewrite) => rewrite(&params, answer),
        None => answer,
    }
}

async fn pass_subscription(
    (subscribe, unsubscribe): (&'static str, &'static str),
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    shared: Arc<Shared>,
) {
    let params = params.parse::<Option<Vec<Value>>>().unwrap().unwrap_or_default();
    shared.seen.lock().unwrap().push(subscribe);
    let upstream = shared.upstream.subscribe::<Value, _>(subscribe, array(&params), unsubscribe).await;
    let mut upstream = match upstream {
        Ok(upstream) => upstream,
        Err(error) => return pending.reject(refused(error)).await,
    };
    let Ok(sink) = pending.accept().await else { return };
    while let Some(Ok(item)) = upstream.next().await {
        if sink.send(serde_json::value::to_raw_value(&item).unwrap()).await.is_err() {
            return;
        }
    }
}
