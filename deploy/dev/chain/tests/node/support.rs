//! The helpers that the tests share.

use std::{future::Future, time::Duration};

use devchain::{
    Clock, Config, Devchain, Hash, Pace,
    sign::{self, Terms},
};
use jsonrpsee::{
    core::{
        ClientError,
        client::{ClientT, Subscription, SubscriptionClientT},
        params::ArrayParams,
    },
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sp_core::{Pair, crypto::AccountId32, sr25519};

/// The guard against hanging; no test depends on its length.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the settings of a chain that seals only on demand. Its block hashes depend on nothing
/// but the calls.
pub(crate) fn paced() -> Config {
    let listen = "127.0.0.1:0".parse().unwrap();
    Config { listen, pace: Pace::Outside, clock: Clock::Logical, ..Config::default() }
}

pub(crate) async fn start(config: Config) -> Devchain {
    Devchain::start(config).await.unwrap()
}

pub(crate) async fn patiently<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.expect("it hangs")
}

pub(crate) async fn try_connect(url: &str) -> Result<WsClient, ClientError> {
    WsClientBuilder::default().request_timeout(PATIENCE).connection_timeout(PATIENCE).build(url).await
}

pub(crate) async fn connect(url: &str) -> WsClient {
    try_connect(url).await.unwrap()
}

pub(crate) async fn ask<T: DeserializeOwned>(client: &WsClient, method: &str, params: ArrayParams) -> T {
    patiently(client.request(method, params)).await.unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// Returns code, message and data of a refusal.
pub(crate) async fn refusal(
    client: &WsClient,
    method: &str,
    params: ArrayParams,
) -> (i32, String, Option<String>) {
    let answer: Result<Value, _> = patiently(client.request(method, params)).await;
    match answer {
        Err(ClientError::Call(error)) => {
            let data = error.data().map(|data| serde_json::from_str(data.get()).unwrap());
            (error.code(), error.message().to_owned(), data)
        }
        other => panic!("{method} was not refused: {other:?}"),
    }
}

pub(crate) async fn subscribe(
    client: &WsClient,
    method: &str,
    params: ArrayParams,
    end: &str,
) -> Subscription<Value> {
    patiently(client.subscribe(method, params, end)).await.unwrap()
}

pub(crate) async fn next(subscription: &mut Subscription<Value>) -> Value {
    patiently(subscription.next()).await.expect("the subscription goes on").unwrap()
}

pub(crate) async fn height(client: &WsClient) -> u64 {
    number(&ask::<Value>(client, "chain_getHeader", rpc_params![]).await["number"])
}

pub(crate) fn number(hex: &Value) -> u64 {
    u64::from_str_radix(hex.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

pub(crate) fn pair(path: &str) -> sr25519::Pair {
    sr25519::Pair::from_string(path, None).unwrap()
}

pub(crate) fn account(path: &str) -> AccountId32 {
    pair(path).public().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Returns a signed remark of `//Alice`, in hexadecimal.
pub(crate) fn remark(genesis: Hash, nonce: u32) -> String {
    signed("//Alice", &sign::remark(b"muster"), genesis, nonce)
}

pub(crate) fn signed(signer: &str, call: &[u8], genesis: Hash, nonce: u32) -> String {
    hex(&sign::sign(call, &pair(signer), &Terms::immortal(genesis, nonce)))
}
