//! Weights of a validator on a subnet with commit-reveal.

use crate::{
    miners::Miners,
    network::Network,
    windows::{claims_and_vote, log, measure_and_decide, names},
};
use base::{Height, Uid};
use serde_json::Value;
use std::time::Duration;

/// The time between two blocks: enough for the validator to act.
const PAUSE: Duration = Duration::from_millis(100);

/// The blocks of an epoch.
const EPOCH: u64 = 60;

/// The blocks for which the killed validator is away: ten minutes of the public network.
const AWAY: u64 = 50;

/// Lets blocks come one by one until the validator has committed the weights of a window. Then the chain
/// stands still, long before the reveal.
async fn committed(network: &Network, window: u64) {
    while !network.events("weights").iter().any(|event| event["window"] == window) {
        let now = network.now().await;
        network.reach_final(now.height.next()).await;
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_is_killed_between_commit_and_reveal_reveals_its_weights() {
    let network = Network::with_hashed_weights(&names()).await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();
    for window in 0..2 {
        claims_and_vote(&network, &mut miners, window, window as usize + 1).await;
        measure_and_decide(&network, &mut miners, window).await;
        network.event("applied", window as usize + 1).await;
    }
    committed(&network, 1).await;
    let now = network.now().await;
    let bucket = network.own_bucket("validator");
    let prefix = format!("{}/scores/", network.spec.id());
    let time = Duration::from_secs(60);
    let logs = bucket.list(&prefix, None, 10, time).await.unwrap();
    assert!(logs.len() < 2, "the weights of the last log are hidden: {logs:?}");
    let shown: Value =
        serde_json::from_slice(&network.end(&["weights", "show", "--json"]).await.stdout).unwrap();
    let commits = shown["commits"].as_array().unwrap();
    let last = commits.iter().find(|commit| commit["window"] == 1).unwrap();
    assert_eq!(last["stage"], "committed", "{shown}");
    let reveal = last["reveals_at_block"].as_u64().unwrap();
    assert!(reveal > now.height.0, "{shown}");
    validator.kill();
    network.reach_final(Height(now.height.0 + AWAY)).await;

    let validator = network.spawn();
    network.event("started", 2).await;
    // The epoch of the reveal has the blocks up to 299. A chain that is faster than the validator would leave
    // it no time.
    while network.log().matches("weights revealed").count() < 2 {
        let now = network.now().await;
        assert!(now.height.0 + 4 < reveal + EPOCH, "{}", network.log());
        network.reach_final(now.height.next()).await;
        tokio::time::sleep(PAUSE).await;
    }
    network.release(Height(600));
    assert_eq!(validator.ended().await, Some(0), "{}", network.log());
    let text = network.log();
    assert!(text.contains("this node must reveal them in 1 epoch(s)"), "it says what will happen: {text}");
    assert!(text.contains("committed weights wait for their reveal"), "{text}");
    let state = network.now().await;
    let at = network.chain_reader.client().at(state.hash);
    let on_chain = at.weights(testkit::SUBNET, &[Uid(1)]).await.unwrap().remove(0);
    let stated = log(&network, 1).await.stated.weights;
    assert_eq!(on_chain, stated.into_iter().filter(|(_, weight)| *weight > 0).collect::<Vec<_>>());
    let table = network.end(&["weights", "show"]).await.stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("of window 1: committed in block") && table.contains(", revealed"), "{table}");
    network.assert_no_secrets();
}
