//! Tests of a node whose surroundings are unwell: clocks that differ, buckets that hide absent objects,
//! finality that lags, and the number of requests.

use crate::network::*;
use base::{Exit, Height, digest::ObjectHash};
use bucket_server::{Fault, Rule};
use devchain::StorageWrite;
use node::{Node, NodeRole};
use protocol::announcement::{Claim, Record};
use sp_crypto_hashing::twox_128;
use std::time::Duration;
use telemetry::{Report, Shutdown};

/// The most requests per block on average. A public endpoint of a chain with a block every 12 s allows about
/// one request a second.
const MOST_PER_BLOCK: u64 = 12;

/// Waits until the node's health is as asked for.
async fn health(node: &Node, is: impl Fn(&Report) -> bool) -> Report {
    let look = async {
        loop {
            let report = node.observability.health.report();
            if is(&report) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANGS, look).await.expect("the test hangs")
}

async fn refused(network: &Network) -> (Exit, String) {
    let config = network.config(MINER, NodeRole::Miner, &[]);
    let error = network.open(config).await.expect_err("the node is refused");
    (error.exit(), base::ErrorChain(&error).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_a_clock_that_is_off_is_told_at_the_start() {
    let network = Network::start().await;
    for (shift, word) in [(7200, "behind"), (-7200, "ahead"), (1000, "behind")] {
        network.buckets.shift_clock(shift);
        let (exit, said) = refused(&network).await;
        assert_eq!(exit, Exit::Failed, "{said}");
        assert!(said.starts_with("this machine's clock is ") && said.contains(word), "{shift}: {said}");
        assert!(said.contains("NTP"), "{said}");
    }
    // Minutes off: the node works, and says so.
    network.buckets.shift_clock(-600);
    let node = network.miner(MINER).await;
    let report = health(&node, |report| report.degraded.contains_key("clock")).await;
    let text = &report.degraded["clock"];
    assert!(text.contains("s ahead") && text.contains("NTP"), "{text}");
    assert!(!report.reasons.contains_key("clock"), "a degraded component does its work");
    let ahead = node.observability.metrics.clock_difference_seconds.get();
    assert!((500.0..700.0).contains(&ahead), "{ahead}");
    drop(node);

    network.buckets.shift_clock(0);
    let node = network.miner(MINER).await;
    let is_known = |report: &Report| !report.reasons.contains_key("clock");
    let report = health(&node, is_known).await;
    assert!(report.degraded.is_empty(), "{report:?}");
    network.chain.shutdown().await;
}

/// Checks that a node notices, in the next window, rules of the subnet with which the run cannot go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_key_that_the_owner_raises_is_told() {
    let mut network = Network::start().await;
    let node = network.miner(MINER).await;
    network.skip().await;
    let is_known = |report: &Report| !report.reasons.contains_key("subnet");
    assert!(!health(&node, is_known).await.degraded.contains_key("subnet"));
    let netuid = network.spec.network.netuid.0.to_le_bytes();
    let key = [&twox_128(b"SubtensorModule")[..], &twox_128(b"WeightsVersionKey"), &netuid].concat();
    let write = StorageWrite { key, value: Some(7u64.to_le_bytes().into()) };
    network.chain.handle().set_storage(vec![write]).await.unwrap();
    network.skip().await;
    let report = health(&node, |report| report.degraded.contains_key("subnet")).await;
    let text = &report.degraded["subnet"];
    assert!(text.contains("version key is 0") && text.contains("requires 7"), "{text}");
    drop(node);
    let (exit, said) = refused(&network).await;
    assert_eq!(exit, Exit::Usage, "{said}");
    assert!(said.contains("update this program and its run file"), "{said}");
    network.chain.shutdown().await;
}

/// Checks a bucket of S3, which answers 403 for absent objects to a key that may not list the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn a15_a_bucket_that_hides_absent_objects_is_used() {
    let network = Network::start().await;
    network.buckets.let_readers_list(false);
    let mut node = network.miner(JOINER).await;
    // No validator has a checkpoint, a record or a score log: all of them answer 403.
    node.start().await.unwrap();
    network.own_bucket(JOINER).delete_before(base::Window(5)).await.unwrap();
    drop(node);
    // A wrong key is still refused.
    let wrong = [("MUSTER_BUCKET_READ_SECRET", "another")];
    let error = network.open(network.config(JOINER, NodeRole::Miner, &wrong)).await.unwrap_err();
    assert_eq!(error.exit(), Exit::NotPermitted);
    network.chain.shutdown().await;
}

/// Checks a bucket that limits requests at the start: the node asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_limits_requests_at_the_start_is_asked_again() {
    let network = Network::start().await;
    let busy = |method: &str, code| {
        Rule::always(method, &format!("/{MINER}/"), Fault::Busy { code, seconds: 1 }).times(1)
    };
    network.inject(vec![busy("PUT", 503), busy("GET", 429), busy("DELETE", 503)]);
    network.miner(MINER).await;
    assert_eq!(network.buckets.strikes(), [1, 1, 1]);
    network.chain.shutdown().await;
}

/// Lets a window without claims pass. Returns the node's requests to the chain, and the blocks.
async fn requests_of_a_window(network: &mut Network, node: &mut Node) -> (u64, u64) {
    let chain = node.network.chain_reader.client().metrics();
    let (before, from) = (chain.requests.total(), network.height().await);
    let window = node.shared.window();
    network.skip_slowly(node).await;
    let decision = node.decide(window).await.unwrap();
    node.apply(&decision, Height(u64::MAX)).await.unwrap();
    (chain.requests.total() - before, network.height().await.0 - from.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_asks_the_chain_at_most_twelve_times_a_block() {
    let mut network = Network::start().await;
    let mut node = network.miner(JOINER).await;
    node.start().await.unwrap();
    let (mut all, mut blocks) = (0, 0);
    for _ in 0..3 {
        let (asked, passed) = requests_of_a_window(&mut network, &mut node).await;
        println!("{asked} requests in {passed} blocks");
        all += asked;
        blocks += passed;
    }
    assert!(all <= MOST_PER_BLOCK * blocks, "{all} requests in {blocks} blocks");

    // A claim: all requests of a transaction, until it is final.
    let chain = node.network.chain_reader.client().metrics();
    let before = chain.requests.total();
    let claim = Record::Claim(Claim {
        run: network.spec.id(),
        window: node.shared.window(),
        object: ObjectHash([7; 32]),
    });
    network.sealing(Box::pin(node.identity.commitment_writer.record(claim))).await.unwrap();
    let asked = chain.requests.total() - before;
    println!("{asked} requests for a claim");
    assert!(asked <= 2 * MOST_PER_BLOCK, "{asked} requests for a claim");
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finality_that_lags_70_blocks_is_one_alarm_and_passes() {
    let network = Network::start().await;
    let node = network.miner(MINER).await;
    let handle = network.chain.handle();
    health(&node, |report| !report.reasons.contains_key("chain")).await;
    let finalized = handle.stall_finality(200).await.unwrap();
    let tip = node.network.wait_for(Height(finalized.into())).await.unwrap();
    handle.fast_forward(63 - LAG).await.unwrap();
    let lag = || node.observability.metrics.finality_lag_blocks.get();
    health(&node, |_| lag() >= 63.0).await;
    assert!(!node.observability.health.report().reasons.contains_key("chain"), "63 blocks are no alarm");
    handle.fast_forward(10).await.unwrap();
    let report = health(&node, |report| report.reasons.contains_key("chain")).await;
    assert!(report.reasons["chain"].starts_with("finality is "), "{report:?}");
    assert!(report.live && !report.ready);
    assert_eq!(node.network.height(), tip, "no block is final");

    // A claim arrives meanwhile, and is final when finality returns.
    let object = ObjectHash([7; 32]);
    let claim = Record::Claim(Claim { run: network.spec.id(), window: base::Window(0), object });
    let best = network.height().await;
    let writer = node.identity.commitment_writer.clone();
    let claiming = tokio::spawn(async move { writer.record(claim).await });
    while handle.status().await.unwrap().node.ready == 0 {
        tokio::task::yield_now().await;
    }
    handle.new_block(1).await.unwrap();
    assert!(!claiming.is_finished(), "no block is final yet");
    handle.stall_finality(0).await.unwrap();
    handle.fast_forward(LAG).await.unwrap();
    let block = tokio::time::timeout(HANGS, claiming).await.expect("the test hangs").unwrap().unwrap();
    assert_eq!(block, best.next());
    health(&node, |report| !report.reasons.contains_key("chain")).await;
    node.network.wait_for(block).await.unwrap();
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_requests_at_the_start_is_waited_for_and_told() {
    let network = Network::start().await;
    let proxy = devchain::Proxy::start(network.chain.address()).await.unwrap();
    proxy.set(devchain::ProxyFault::HandshakeStatus(429));
    let url = proxy.url();
    let config = network.config(MINER, NodeRole::Miner, &[("MUSTER_CHAIN", &url)]);
    let shutdown = Shutdown::default();
    let stop = async {
        // Each attempt is refused. The node makes another one, until it is stopped.
        tokio::time::sleep(Duration::from_secs(2)).await;
        shutdown.request();
    };
    let (opened, ()) = tokio::join!(Box::pin(Node::open(config, shutdown.clone())), stop);
    let error = opened.unwrap_err();
    assert_eq!(error.exit(), Exit::Good, "a limit of requests is no reason to end: {error}");

    // The limit ends: the node opens.
    let config = network.config(MINER, NodeRole::Miner, &[("MUSTER_CHAIN", &url)]);
    let lift = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.set(devchain::ProxyFault::None);
    };
    let (node, ()) = tokio::join!(Box::pin(network.open(config)), lift);
    node.unwrap();
    network.chain.shutdown().await;
}
