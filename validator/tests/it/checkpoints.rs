//! Checkpoints whose upload takes long.

use crate::{
    miners::Miners,
    network::Network,
    windows::{claims_and_vote, measure_and_decide, names},
};
use base::{Height, Hotkey, Window};
use bucket_server::{Fault, Plan, Rule};
use protocol::bucket_layout;
use std::fs;
use testkit::{Running, wallet::HOTKEY_ADDRESS};

/// A delay that no test waits for, in milliseconds.
const ENDLESS: u64 = 3_600_000;

/// Starts a validator that makes a checkpoint after each window, with a bucket that answers no upload of
/// one.
async fn start() -> (Network, Miners, Running) {
    let network = Network::start(&names()).await;
    let miners = Miners::start(&network).await;
    let keys = format!("/validator/{}", bucket_layout::checkpoints(network.spec.id()));
    let rules = vec![Rule::always("PUT", &keys, Fault::Delay { ms: ENDLESS })];
    network.buckets.inject(Plan { seed: 0, rules });
    let validator = network.spawn_with(&["--checkpoint-every", "1"]);
    (network, miners, validator)
}

/// Plays a window, and waits until its checkpoint is saved. Returns the number of those on the disk.
async fn play(network: &Network, miners: &mut Miners, window: u64) -> usize {
    claims_and_vote(network, miners, window, window as usize + 1).await;
    measure_and_decide(network, miners, window).await;
    network.event("held_out", window as usize + 2).await; // The next window has begun.
    saved(network)
}

fn saved(network: &Network) -> usize {
    fs::read_dir(network.path("node/checkpoints")).unwrap().count()
}

/// Checks that the validator votes, measures and decides while an upload goes on, and that the next
/// checkpoint waits for its turn.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_takes_long_keeps_no_window() {
    let (network, mut miners, validator) = start().await;
    assert_eq!(play(&network, &mut miners, 0).await, 1);
    assert_eq!(play(&network, &mut miners, 1).await, 2);
    assert!(network.events("checkpoint").is_empty(), "{}", network.log());

    network.buckets.inject(Plan::default());
    network.release(Height(400)); // The weights of the last log are set in the next epoch.
    assert_eq!(validator.ended().await, Some(0), "{}", network.log());
    let published = network.events("checkpoint");
    assert_eq!(published.last().unwrap()["window"], 2, "{published:?}");
    assert_eq!(saved(&network), 0);
    let state = network.now().await;
    let (id, _) = state.neuron(&HOTKEY_ADDRESS.parse::<Hotkey>().unwrap()).unwrap();
    let pointer = network.fetcher.checkpoint_pointer(&state, &id, &network.spec.hash()).await.unwrap();
    assert_eq!((pointer.window, pointer.state), (Window(2), miners.state().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_with_the_validator_and_leaves_no_files() {
    let (network, mut miners, validator) = start().await;
    assert_eq!(play(&network, &mut miners, 0).await, 1);
    validator.ask_to_end();
    assert_eq!(validator.ended().await, Some(0), "{}", network.log());
    assert!(network.events("checkpoint").is_empty());
    assert_eq!(saved(&network), 0);

    // A kill leaves them, and the next start deletes them.
    let left = network.path("node/checkpoints/0000000001-0");
    fs::create_dir(&left).unwrap();
    let validator = network.spawn();
    network.event("started", 2).await;
    assert!(!left.exists());
    validator.kill();
}
