//! Creates chains, clients and keys for the tests.

use std::{future::Future, time::Duration};

use base::{BlockHash, Netuid};
use chain::{Client, Included, Options, TransactionError, wallet::KeyPair};
use devchain::{Config, Devchain, FaultChange, Genesis, Handle, Pace};
use jsonrpsee::{
    core::{client::ClientT, params::ArrayParams},
    ws_client::WsClientBuilder,
};

/// The subnet of the development chain.
pub(crate) const SUBNET: Netuid = Netuid(3);
/// Time limit that stops a hanging test. No test should take this long.
const HANGS: Duration = Duration::from_secs(240);

/// Makes a test fail if it hangs.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, future).await.expect("the test hangs")
}

/// Returns the settings of a chain with a block every 20 ms.
pub(crate) fn config(genesis: Genesis) -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        block_time_ms: 20,
        genesis: Some(genesis),
        ..Config::default()
    }
}

pub(crate) async fn start(genesis: Genesis) -> Devchain {
    Devchain::start(config(genesis)).await.unwrap()
}

/// Starts a chain that seals blocks only on command.
pub(crate) async fn start_paced(genesis: Genesis) -> Devchain {
    Devchain::start(Config { pace: Pace::Outside, ..config(genesis) }).await.unwrap()
}

/// Returns options of a client that reconnects quickly, and is patient with a busy machine.
pub(crate) fn options(url: &str) -> Options {
    Options {
        block_time: Duration::from_millis(20),
        stall_blocks: 100,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        patience: Duration::from_secs(60),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(200),
        era: 1024,
        transaction_timeout: Duration::from_secs(120),
        ..Options::new([url])
    }
}

pub(crate) async fn connect(chain: &Devchain) -> Client {
    Client::connect(options(&chain.url())).await.unwrap()
}

pub(crate) fn key(uri: &str) -> KeyPair {
    KeyPair::development(uri).unwrap()
}

/// Returns a validator's hotkey. Alice, Bob and Charlie have stake and a permit.
pub(crate) fn validator(name: &str) -> KeyPair {
    key(&format!("//{name}//hotkey"))
}

pub(crate) fn cut_all(handle: &Handle) {
    handle.fault(FaultChange { drop: Some(devchain::Drop::All), ..FaultChange::default() }).unwrap();
}

pub(crate) fn block_hash(hash: devchain::Hash) -> BlockHash {
    BlockHash(hash.0)
}

/// Seals a block once the pool holds this number of ready transactions.
pub(crate) async fn seal_when_ready(handle: &Handle, transactions: usize) {
    while handle.status().await.unwrap().node.ready < transactions {
        tokio::task::yield_now().await;
    }
    handle.new_block(1).await.unwrap();
}

/// Runs a transaction and seals one block for it, as soon as it is in the pool.
pub(crate) async fn sealing(
    handle: &Handle,
    transaction: impl Future<Output = Result<Included, TransactionError>>,
) -> Result<Included, TransactionError> {
    let (result, ()) = tokio::join!(transaction, seal_when_ready(handle, 1));
    result
}

/// Removes all waiting transactions from the node, as a restart of the node does.
pub(crate) async fn forget_all(chain: &Devchain) {
    let node = WsClientBuilder::default().build(chain.url()).await.unwrap();
    let pending: Vec<String> = node.request("author_pendingExtrinsics", ArrayParams::new()).await.unwrap();
    let hash = |bytes: String| {
        let bytes = hex::decode(bytes.trim_start_matches("0x")).unwrap();
        devchain::Hash::from(sp_crypto_hashing::blake2_256(&bytes))
    };
    chain.handle().remove(pending.into_iter().map(hash).collect()).await.unwrap();
}
