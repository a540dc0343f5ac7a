//! The shared state with staleness 1: the submissions of a window name the state of the window before.

use crate::{
    network::{JOINER, MINER, Network},
    state::{assert_true, follow, open_validator},
};
use base::Window;
use node::{NodeError, Source};

#[tokio::test(flavor = "multi_thread")]
async fn submissions_name_the_state_of_the_window_before_and_joiners_know_it() {
    let mut network = Network::start_with(|run| run.acceptance.staleness = 1).await;
    let mut node = network.miner(MINER).await;
    node.start().await.unwrap();
    for window in 0..2 {
        assert_eq!(node.shared.base(), network.truth[0].state(), "window {window}");
        network.play(&[MINER]).await;
        follow(&mut node).await.unwrap();
        assert_true(&node, &network);
    }
    assert_eq!(node.shared.base(), network.truth[1].state());

    // A null window has a state of its own, although it changes no parameters.
    network.skip().await;
    follow(&mut node).await.unwrap();
    assert_eq!(node.shared.base(), network.truth[2].state());

    // The base is known after a restart, and from a checkpoint.
    drop(node);
    let mut node = network.miner(MINER).await;
    assert_eq!(node.start().await.unwrap(), Source::Journal);
    assert_eq!(node.shared.base(), network.truth[2].state());
    let mut validator = open_validator(&network, 0).await;
    validator.save_checkpoint().await.unwrap().publish().await.unwrap();
    let mut joiner = network.miner(JOINER).await;
    assert_eq!(joiner.start().await.unwrap(), Source::Checkpoint);
    assert_eq!(joiner.shared.base(), network.truth[2].state());
    network.play(&[MINER]).await;
    for node in [&mut node, &mut joiner, &mut validator] {
        follow(node).await.unwrap();
        assert_true(node, &network);
        assert_eq!(node.shared.base(), network.truth[3].state());
    }

    // An update that was trained from the window's own state is invalid, even if it is accepted.
    let own = network.truth[4].state();
    let refused = network.play_from(own, &[MINER]).await;
    let next = network.spec.clock().unwrap().heights(network.window()).unwrap();
    network.advance_final(next.claims_close).await;
    node.network.wait_for(next.claims_close).await.unwrap();
    let error = follow(&mut node).await.unwrap_err();
    let is_refused = matches!(&error, NodeError::Unavailable { window: Window(4), object, .. } if *object == refused.hash());
    assert!(is_refused, "{error}");
    assert!(
        base::ErrorChain(&error).to_string().contains("was trained from state"),
        "{}",
        base::ErrorChain(&error)
    );
    network.chain.shutdown().await;
}
