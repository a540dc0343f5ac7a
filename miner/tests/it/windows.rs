//! Windows of a run: what a miner does in them, and after a kill.

use crate::network::{Network, before_claims_close};
use base::{Height, Window, digest::State};
use bucket_server::{Fault, Plan, Rule};
use protocol::{clock::Heights, history::History};
use serde_json::Value;
use testkit::START;

pub(crate) fn heights(network: &Network, window: u64) -> Heights {
    network.spec.clock().unwrap().heights(Window(window)).unwrap()
}

/// Returns the state that the run begins with.
pub(crate) fn first_state(network: &Network) -> State {
    History::new(&network.spec.hash()).state(&network.spec.initial.root)
}

pub(crate) fn state(event: &Value) -> State {
    event["state"].as_str().unwrap().parse().unwrap()
}

/// Lets a window pass: the miner claims, the validators vote, the miner applies. The event of the last.
pub(crate) async fn pass(network: &Network, window: u64, named: State) -> Value {
    let heights = heights(network, window);
    network.release(before_claims_close(&heights, 2));
    network.event("claimed", window as usize + 1).await;
    network.reach(heights.claims_close).await;
    network.vote(Window(window), named).await;
    network.release_final(heights.votes_close);
    network.event("applied", window as usize + 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_goes_through_a_run_and_ends() {
    let network = Network::start().await;
    let miner = network.spawn();
    let first = pass(&network, 0, first_state(&network)).await;
    let decided = network.event("decided", 1).await;
    assert_eq!(decided["null"], Value::Null, "{decided}");
    assert_eq!(decided["accepted"].as_array().unwrap().len(), 1, "{decided}");
    assert_ne!(state(&first), first_state(&network), "the window changed nothing");

    let second = pass(&network, 1, state(&first)).await;
    assert_ne!(second["root"], first["root"]);
    assert_eq!(miner.ended().await, Some(0));
    assert_eq!(network.event("stopped", 1).await["exit"], 0);
    for kind in ["trained", "compressed", "uploaded", "claimed", "revealed", "decided", "applied"] {
        let events = network.events(kind);
        let windows: Vec<_> = events.iter().map(|event| event["window"].as_u64()).collect();
        assert_eq!(windows, [Some(0), Some(1)], "{kind}");
    }
    let loss = network.events("trained")[0]["loss"].as_f64().unwrap();
    assert!((5.5..7.0).contains(&loss), "ln 512 is 6.24, the loss {loss}");
    network.assert_no_secrets();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_before_a_kill_is_claimed_after_it() {
    let network = Network::start().await;
    let path = format!("/miner/{}/submission/", network.spec.id());
    let refuse = Rule::always("PUT", &path, Fault::Status { code: 500 });
    network.buckets.inject(Plan { seed: 0, rules: vec![refuse] });
    let miner = network.spawn();
    network.release_final(Height(u64::from(START)));
    network.event("compressed", 1).await;
    miner.kill();
    assert!(network.events("uploaded").is_empty());

    network.buckets.inject(Plan::default());
    let miner = network.spawn();
    let first = pass(&network, 0, first_state(&network)).await;
    assert_eq!(network.events("trained").len(), 1, "trained again");
    let decided = network.event("decided", 1).await;
    assert_eq!(decided["accepted"].as_array().unwrap().len(), 1, "{decided}");

    // Killed after the claim: it is neither made nor claimed again, and the window is applied.
    let heights = heights(&network, 1);
    network.release(before_claims_close(&heights, 2));
    let claimed = network.event("claimed", 2).await;
    miner.kill();
    let miner = network.spawn();
    assert_eq!(network.event("claimed", 3).await["block"], claimed["block"], "claimed in another block");
    network.reach(heights.claims_close).await;
    network.vote(Window(1), state(&first)).await;
    network.release_final(heights.votes_close);
    network.event("applied", 2).await;
    assert_eq!(miner.ended().await, Some(0));
    assert_eq!(network.events("trained").len(), 2, "trained again");
    assert_eq!(network.events("state").last().unwrap()["source"], "journal");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_refused_is_tried_again_with_the_next_block() {
    let network = Network::start().await;
    let path = format!("/miner/{}/submission/", network.spec.id());
    let refuse = Rule::always("PUT", &path, Fault::Status { code: 403 }).times(2);
    network.buckets.inject(Plan { seed: 0, rules: vec![refuse] });
    let miner = network.spawn();
    let heights = heights(&network, 0);
    network.release_final(heights.first);
    network.event("compressed", 1).await;
    for attempt in 1..=2 {
        network.strikes(attempt).await;
        assert!(network.events("uploaded").is_empty());
        let newest = network.chain.handle().status().await.unwrap().node.height;
        network.release(Height(u64::from(newest) + 1));
    }
    let claimed = network.event("claimed", 1).await;
    assert!(claimed["block"].as_u64().unwrap() <= heights.claims_close.0, "{claimed}");
    assert_eq!(network.events("trained").len(), 1);
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_is_too_late_is_given_up() {
    let network = Network::start().await;
    let heights = heights(&network, 0);
    // The chain is beyond the claims of window 0 before the miner comes.
    network.reach_final(heights.claims_close).await;
    let miner = network.spawn();
    network.event("state", 1).await;
    network.release_final(heights.votes_close);
    let applied = network.event("applied", 1).await;
    let decided = network.event("decided", 1).await;
    assert!(decided["null"].is_string(), "no one voted: {decided}");
    assert!(network.events("trained").is_empty());
    // It mines in the next window, from the same parameters.
    network.event("claimed", 1).await;
    assert_eq!(network.events("trained")[0]["window"], 1);
    assert_eq!(applied["root"], network.spec.initial.root.to_string());
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_with_another_state_than_the_majority_trains_no_more() {
    let network = Network::start().await;
    let miner = network.spawn();
    let heights = heights(&network, 0);
    network.release(before_claims_close(&heights, 2));
    network.event("claimed", 1).await;
    network.reach(heights.claims_close).await;
    network.vote(Window(0), State([7; 32])).await;
    network.release_final(heights.votes_close);
    let diverged = network.event("diverged", 1).await;
    assert_eq!(diverged["ours"], first_state(&network).to_string());
    assert_eq!(diverged["majority"], State([7; 32]).to_string());
    network.reach_final(Height(heights.votes_close.0 + 3)).await;
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
    assert_eq!(network.events("trained").len(), 1, "trained on a state that is not the others'");
}
