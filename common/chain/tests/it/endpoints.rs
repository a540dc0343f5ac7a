//! Tests with several endpoints: reads are spread, refusals cost no connection, nodes behind are left,
//! archives are asked for old states.

use std::{future::Future, time::Duration};

use base::{BlockHash, commitment::Field, commitment::Fields};
use chain::{Client, Metrics, Options, error::ReadError};
use devchain::{Config, Devchain, FaultChange, Genesis, Pace, Proxy, ProxyFault, RefusedMethod};

use crate::support::*;

fn with(endpoints: &[String]) -> Options {
    Options { endpoints: endpoints.to_vec(), ..options("") }
}

async fn proxied(chain: &Devchain) -> Proxy {
    Proxy::start(chain.address()).await.unwrap()
}

/// Asks until the answer is yes.
async fn until<F: Future<Output = bool>>(question: impl Fn() -> F) {
    in_time(async {
        while !question().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Makes the node refuse this method a number of times.
fn refuse(chain: &Devchain, method: &str, code: i32, times: u32) {
    let refused = RefusedMethod { method: method.into(), code, message: "no".into(), times: Some(times) };
    chain.handle().fault(FaultChange { refuse: Some(vec![refused]), ..FaultChange::default() }).unwrap();
}

/// Starts a node that has the chain's blocks so far, and none later.
async fn left_behind(chain: &Devchain) -> (Devchain, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    chain.handle().snapshot(&copy).await.unwrap();
    let config = Config { log: Some(copy), genesis: None, pace: Pace::Outside, ..config(Genesis::default()) };
    (Devchain::start(config).await.unwrap(), folder)
}

fn requests(metrics: &Metrics, url: &str) -> u64 {
    metrics.endpoint_requests.with(url).get()
}

#[tokio::test]
async fn a_refused_handshake_leads_to_the_next_endpoint() {
    for status in [429, 503] {
        let chain = start(Genesis::default()).await;
        let proxy = proxied(&chain).await;
        proxy.set(ProxyFault::HandshakeStatus(status));
        let client = Client::connect(with(&[proxy.url(), chain.url()])).await.unwrap();
        client.finalized().await.unwrap();
        let metrics = client.metrics();
        assert!(metrics.busy.get() > 0 && requests(&metrics, &proxy.url()) == 0, "{status}");
    }
}

#[tokio::test]
async fn a_refused_handshake_of_the_only_endpoint_is_tried_again() {
    let chain = start(Genesis::default()).await;
    let proxy = proxied(&chain).await;
    let options = with(&[proxy.url()]);
    for status in [429, 503] {
        proxy.set(ProxyFault::HandshakeStatus(status));
        assert!(Client::connect(options.clone()).await.unwrap_err().is_busy(), "{status}");
        let lifted = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            proxy.set(ProxyFault::None);
        };
        let connecting = Client::connect_within(options.clone(), Duration::from_secs(120));
        let (connected, ()) = in_time(async { tokio::join!(connecting, lifted) }).await;
        connected.unwrap().finalized().await.unwrap();
    }
    proxy.set(ProxyFault::HandshakeStatus(429));
    let error = Client::connect_within(options, Duration::from_millis(100)).await.unwrap_err();
    assert!(error.is_busy() || error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_refusal_by_error_costs_no_connection() {
    let chain = start(Genesis::default()).await;
    let proxy = proxied(&chain).await;
    // The second endpoint is another address of the same node.
    for endpoints in [vec![proxy.url()], vec![proxy.url(), chain.url()]] {
        let client = Client::connect(with(&endpoints)).await.unwrap();
        let mut blocks = client.blocks().await.unwrap();
        for code in [-32603, -32000, -32005, 429] {
            refuse(&chain, "chain_getFinalizedHead", code, 2);
            client.finalized_hash().await.unwrap_or_else(|error| panic!("{code}: {error}"));
            refuse(&chain, "state_queryStorageAt", code, 2);
            in_time(blocks.next()).await.unwrap_or_else(|error| panic!("{code}: {error}"));
        }
        assert_eq!(client.metrics().connects.with(proxy.url()).get(), 1, "{endpoints:?}");
    }
}

#[tokio::test]
async fn a_node_that_refuses_again_and_again_is_left_for_the_next() {
    let chain = start(Genesis::default()).await;
    let proxy = proxied(&chain).await;
    let client = Client::connect(with(&[proxy.url(), chain.url()])).await.unwrap();
    let (code, message) = (-32005, "limit exceeded".to_owned());
    proxy.set(ProxyFault::RefuseMethod { method: String::new(), code, message });
    in_time(async {
        client.finalized_hash().await.unwrap();
        let mut blocks = client.blocks().await.unwrap();
        for _ in 0..3 {
            blocks.next().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn reads_are_spread_over_the_endpoints() {
    const READS: u64 = 30;
    let chain = start(Genesis::default()).await;
    let proxies = [proxied(&chain).await, proxied(&chain).await];
    let urls = [proxies[0].url(), proxies[1].url(), chain.url()];
    let client = Client::connect(with(&urls)).await.unwrap();
    let metrics = client.metrics();
    let at = client.at(client.genesis());
    // The other sessions open after one block time.
    until(async || {
        at.time().await.unwrap();
        urls.iter().all(|url| requests(&metrics, url) > 2)
    })
    .await;
    let before = urls.each_ref().map(|url| requests(&metrics, url));
    for _ in 0..READS {
        at.time().await.unwrap();
    }
    for (url, before) in urls.iter().zip(before) {
        let share = requests(&metrics, url) - before;
        assert!(share >= READS / 4, "{share} of {READS}");
    }
    // A silent or refusing one of them does not hinder reading.
    proxies[1].set(ProxyFault::HandshakeStatus(503));
    proxies[1].cut();
    for _ in 0..READS {
        at.time().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_is_behind_is_noticed_and_left() {
    let chain = start(Genesis::default()).await;
    chain.handle().fast_forward(3).await.unwrap();
    let (behind, _folder) = left_behind(&chain).await;
    let height = u64::from(behind.handle().status().await.unwrap().node.height);
    chain.handle().fast_forward(20).await.unwrap();
    // Nothing follows the blocks here, so no stalled subscription tells that the first node stands still.
    let options = Options { stall_blocks: 5, ..with(&[behind.url(), chain.url()]) };
    let client = Client::connect(options).await.unwrap();
    until(async || client.finalized().await.is_ok_and(|block| block.height.0 > height + 5)).await;
}

#[tokio::test]
async fn a_node_that_is_behind_spoils_no_read() {
    let chain = start(Genesis::default()).await;
    let (behind, _folder) = left_behind(&chain).await;
    chain.handle().fast_forward(5).await.unwrap();
    let client = Client::connect(with(&[chain.url(), behind.url()])).await.unwrap();
    let metrics = client.metrics();
    in_time(async {
        let mut blocks = client.blocks().await.unwrap();
        while requests(&metrics, &behind.url()) < 3 {
            let block = blocks.next().await.unwrap();
            client.at(block.hash).metagraph(SUBNET).await.unwrap();
            assert_eq!(client.block(block.hash).await.unwrap(), block);
        }
    })
    .await;
}

#[tokio::test]
async fn states_that_a_node_has_dropped_are_read_from_an_archive() {
    let chain = start_paced(Genesis::default()).await;
    chain.handle().new_block(5).await.unwrap();
    let proxy = proxied(&chain).await;
    let alone = Client::connect(with(&[proxy.url()])).await.unwrap();
    let newest = alone.finalized_hash().await.unwrap();
    let old = alone.block_hash(base::Height(2)).await.unwrap();
    proxy.set(ProxyFault::KeepStates(vec![newest.to_string()]));
    assert_eq!(alone.at(old).time().await, Err(ReadError::Pruned(old)));
    let text = ReadError::Pruned(old).to_string();
    assert!(text.contains("about 300 blocks") && text.contains("--archive URL"), "{text}");
    alone.at(newest).metagraph(SUBNET).await.unwrap();

    let archive = Options { archive: vec![chain.url()], ..with(&[proxy.url()]) };
    let client = Client::connect(archive).await.unwrap();
    let direct = connect(&chain).await;
    let neurons = async |client: &Client, at: BlockHash| client.at(at).metagraph(SUBNET).await.unwrap();
    assert_eq!(neurons(&client, newest).await, neurons(&direct, newest).await);
    assert_eq!(requests(&client.metrics(), &chain.url()), 0, "the archive is asked for old states only");
    assert_eq!(neurons(&client, old).await, neurons(&direct, old).await);
    assert!(requests(&client.metrics(), &chain.url()) > 0);

    // An archive of another chain, or none at all, is no archive.
    let other = start_paced(Genesis { commitment_space: 1000, ..Genesis::default() }).await;
    for archive in [other.url(), "ws://127.0.0.1:1".into()] {
        let options = Options { archive: vec![archive], ..with(&[proxy.url()]) };
        let client = Client::connect(options).await.unwrap();
        assert_eq!(client.at(old).time().await, Err(ReadError::Pruned(old)));
    }
}

#[tokio::test]
async fn transactions_and_blocks_go_on_while_reads_are_spread() {
    let chain = start(Genesis::default()).await;
    let proxy = proxied(&chain).await;
    let client = Client::connect(with(&[chain.url(), proxy.url()])).await.unwrap();
    let fields = Fields::new(vec![Field::raw(*b"spread").unwrap()]).unwrap();
    in_time(async {
        for _ in 0..3 {
            client.set_commitment(SUBNET, fields.clone(), &validator("Alice")).await.unwrap();
            proxy.cut();
        }
    })
    .await;
}
