//! Windows of a run with staleness 1: each one is trained while the one before it is exchanged.

use crate::{
    network::{Network, before_claims_close},
    windows::{first_state, heights, pass, state},
};
use base::{Height, Window, digest::State, wire::Reader};
use codec::submission::Header;
use protocol::{bucket_layout, run_spec::RunFile};
use serde_json::Value;
use testkit::HANGS;

/// Returns a network whose run has three windows and staleness 1.
async fn overlapping() -> Network {
    Network::with_run(|run: &mut RunFile| {
        run.acceptance.staleness = 1;
        run.window.count = 3;
    })
    .await
}

/// Returns the state that the miner's submission of a window names as its base.
async fn base(network: &Network, window: u64) -> State {
    let uploaded = network.events("uploaded");
    let event = uploaded.iter().find(|event| event["window"] == window).unwrap();
    let object = event["object"].as_str().unwrap().parse().unwrap();
    let name = bucket_layout::submission(network.spec.id(), Window(window), &object);
    let floor = storage::Floor { bytes_per_second: 0, over: HANGS };
    let limits = storage::Limits { bytes: 1 << 30, time: HANGS, floor };
    let (bytes, _) = network.own_bucket("miner").bucket().get(&name, &limits).await.unwrap();
    Header::read(&mut Reader::new(&bytes), bytes.len() as u64).unwrap().base
}

/// Returns the windows of the events of a kind.
fn windows(network: &Network, kind: &str) -> Vec<u64> {
    network.events(kind).iter().map(|event| event["window"].as_u64().unwrap()).collect()
}

fn accepted(decided: &Value) -> usize {
    decided["accepted"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_window_is_trained_from_the_state_of_the_window_before() {
    let network = overlapping().await;
    let miner = network.spawn();
    let zero = first_state(&network);
    let one = state(&pass(&network, 0, zero).await);
    let two = state(&pass(&network, 1, one).await);
    assert!(zero != one && one != two, "a window changed nothing");
    let bases = [base(&network, 0).await, base(&network, 1).await];
    assert_eq!(bases, [zero, zero], "windows 0 and 1 are both trained from the initial parameters");

    let heights = heights(&network, 2);
    network.release(before_claims_close(&heights, 2));
    network.event("claimed", 3).await;
    assert_eq!(base(&network, 2).await, one);
    pass(&network, 2, two).await;
    assert_eq!(miner.ended().await, Some(0));
    for kind in ["trained", "compressed", "uploaded", "claimed", "revealed", "decided", "applied"] {
        assert_eq!(windows(&network, kind), [0, 1, 2], "{kind}");
    }
    assert!(network.events("decided").iter().all(|decided| accepted(decided) == 1), "not accepted");
    network.assert_no_secrets();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_miner_sends_its_upload_and_trains_the_next_window_anew() {
    let network = overlapping().await;
    let miner = network.spawn();
    let zero = first_state(&network);
    network.release(before_claims_close(&heights(&network, 0), 2));
    let claimed = network.event("claimed", 1).await;
    miner.kill(); // Window 1 is in training, or trained and not compressed.
    let miner = network.spawn();
    assert_eq!(network.event("claimed", 2).await["block"], claimed["block"], "claimed in another block");
    network.reach(heights(&network, 0).claims_close).await;
    network.vote(Window(0), zero).await;
    network.release_final(heights(&network, 0).votes_close);
    let one = state(&network.event("applied", 1).await);

    // The update of window 1 is made after the decision on window 0, from the training after the restart.
    network.release(before_claims_close(&heights(&network, 1), 2));
    let claimed = network.event("claimed", 3).await;
    assert_eq!((claimed["window"].as_u64(), base(&network, 1).await), (Some(1), zero));
    miner.kill(); // The journal has the state at the start of window 1, and its upload.
    let miner = network.spawn();
    assert_eq!(network.event("claimed", 4).await["block"], claimed["block"], "claimed in another block");
    network.reach(heights(&network, 1).claims_close).await;
    network.vote(Window(1), one).await;
    network.release_final(heights(&network, 1).votes_close);
    network.event("applied", 2).await;
    network.release(before_claims_close(&heights(&network, 2), 2));
    network.event("claimed", 5).await;
    assert_eq!(base(&network, 2).await, one);
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
    assert_eq!(windows(&network, "compressed"), [0, 1, 2], "an update was made twice");
    assert!(network.events("decided").iter().all(|decided| accepted(decided) == 1), "not accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_that_comes_too_late_gives_up_a_window_and_trains_the_next_one() {
    let network = overlapping().await;
    // The chain is beyond the claims of window 0 before the miner comes.
    network.reach_final(heights(&network, 0).claims_close).await;
    let miner = network.spawn();
    network.event("state", 1).await;
    network.release_final(heights(&network, 0).votes_close);
    network.event("applied", 1).await;
    network.release(before_claims_close(&heights(&network, 1), 2));
    let claimed = network.event("claimed", 1).await;
    assert_eq!((claimed["window"].as_u64(), base(&network, 1).await), (Some(1), first_state(&network)));
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_from_a_state_that_is_not_the_majoritys_is_dropped() {
    let network = overlapping().await;
    let miner = network.spawn();
    let heights = heights(&network, 0);
    network.release(before_claims_close(&heights, 2));
    network.event("claimed", 1).await;
    network.reach(heights.claims_close).await;
    network.vote(Window(0), State([7; 32])).await;
    network.release_final(heights.votes_close);
    network.event("diverged", 1).await;
    network.reach_final(Height(heights.votes_close.0 + 3)).await;
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
    assert_eq!(windows(&network, "compressed"), [0], "an update of a state that is not the others'");
}
