//! Tests of the shared state: changes, the journal, restarts, and checkpoints of other nodes.

use crate::network::*;
use base::{Exit, Height, Window, digest::State};
use bucket_server::{Fault, Rule};
use codec::aggregate::StepNorms;
use node::{Journal, Node, NodeError, NodeEvent, NodeRole, Source, Transaction, events};
use protocol::{history::WindowRecord, progress::Progress};
use std::{pin::pin, sync::Arc};

/// Compares a node with the state that the pure crates alone compute.
pub(crate) fn assert_true(node: &Node, network: &Network) {
    let truth = network.truth.last().unwrap();
    assert_eq!((node.shared.window(), node.shared.progress().root), (truth.window(), truth.root));
    assert_eq!(node.shared.state(), truth.state());
    assert_eq!(&*node.shared.progress(), truth);
}

fn events_of(node: &Node) -> Vec<NodeEvent> {
    let entries = events::read(&node.shared.folder().join(events::FILE)).unwrap();
    entries.into_iter().map(|entry| entry.event).collect()
}

async fn parameters_root(node: &Node) -> base::digest::StateRoot {
    node.shared.model().run(|model| model.state_root()).await.unwrap()
}

/// Makes a node's steps of one window.
pub(crate) async fn follow(node: &mut Node) -> Result<node::Applied, NodeError> {
    let decision = node.decide(node.shared.window()).await?;
    let clock = node.shared.run().clock;
    let until = clock.objects_wait(&clock.heights(decision.window)?);
    node.apply(&decision, until).await
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_applied_kept_and_found_again() {
    let mut network = Network::start().await;
    let mut node = network.miner(MINER).await;
    assert_eq!(node.start().await.unwrap(), Source::Initial);
    assert_true(&node, &network);

    network.play(&[MINER]).await;
    follow(&mut node).await.unwrap();
    assert_true(&node, &network);
    assert_eq!(parameters_root(&node).await, network.truth[1].root);

    // A window without an outer step counts, too. An object that is held is not downloaded.
    network.skip().await;
    follow(&mut node).await.unwrap();
    assert_true(&node, &network);
    let object = network.play(&[]).await;
    node.shared.hold(object);
    follow(&mut node).await.unwrap();
    assert_true(&node, &network);

    let happened = events_of(&node);
    assert!(matches!(happened[0], NodeEvent::Started { role: NodeRole::Miner, .. }));
    let initial = network.truth[0].state();
    assert!(
        matches!(happened[1], NodeEvent::State { source: Source::Initial, state, .. } if state == initial)
    );
    let applied: Vec<State> = happened
        .iter()
        .filter_map(|event| match event {
            NodeEvent::Applied { state, .. } => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(applied, network.truth[1..].iter().map(|progress| progress.state()).collect::<Vec<_>>());

    // A restart continues from the last state, also if windows were decided in between.
    drop(node);
    network.play(&[MINER]).await;
    let mut node = network.miner(MINER).await;
    assert_eq!(node.start().await.unwrap(), Source::Journal);
    assert_true(&node, &network);
    assert_eq!(parameters_root(&node).await, node.shared.progress().root);

    // After a kill between outer step and journal, the state before it is there, and the step is made again.
    let newest = node.shared.folder().join(format!("state-{:010}", node.shared.window().0));
    drop(node);
    std::fs::write(&newest, "torn").unwrap();
    let mut node = network.miner(MINER).await;
    assert_eq!(node.start().await.unwrap(), Source::Journal);
    assert_true(&node, &network);
    assert_eq!(
        events_of(&node).iter().filter(|event| matches!(event, NodeEvent::Resynced { .. })).count(),
        0
    );
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_catches_up_from_the_beginning_or_from_a_checkpoint() {
    let mut network = Network::start().await;
    network.play(&[MINER]).await;
    // The second window's object is no longer in the miner's bucket, but one of its custodians has it.
    network.play(&[VALIDATORS[1]]).await;
    let mut late = network.miner(JOINER).await;
    assert_eq!(late.start().await.unwrap(), Source::Initial);
    assert_true(&late, &network);
    drop(late);

    // A validator publishes a checkpoint. A node without a journal takes it, since votes name it.
    let config = network.config(VALIDATORS[0], NodeRole::Validator, &[]);
    let mut validator = network.open(config).await.unwrap();
    validator.start().await.unwrap();
    assert_true(&validator, &network);
    validator.save_checkpoint().await.unwrap().publish().await.unwrap();
    network.play(&[MINER]).await;
    std::fs::remove_dir_all(network.path(&format!("node-{JOINER}"))).unwrap();
    let mut late = network.miner(JOINER).await;
    assert_eq!(late.start().await.unwrap(), Source::Checkpoint);
    assert_true(&late, &network);
    assert_eq!(parameters_root(&late).await, late.shared.progress().root);
    assert!(!late.shared.folder().join("checkpoints/incoming").exists());
    drop(late);

    // A checkpoint of a state that the votes do not name is not taken.
    follow(&mut validator).await.unwrap();
    tamper(&validator, |progress| progress.root.0[0] ^= 1).await;
    validator.save_checkpoint().await.unwrap().publish().await.unwrap();
    network.play(&[MINER]).await;
    std::fs::remove_dir_all(network.path(&format!("node-{JOINER}"))).unwrap();
    let mut late = network.miner(JOINER).await;
    assert_eq!(late.start().await.unwrap(), Source::Initial);
    assert_true(&late, &network);
    network.chain.shutdown().await;
}

/// Changes a node's progress and leaves its parameters.
async fn tamper(node: &Node, change: impl FnOnce(&mut Progress) + Send + 'static) {
    let tamper = |transaction: Transaction<'_>| {
        let mut progress = Progress::clone(&*transaction.whole()?);
        change(&mut progress);
        transaction.commit(progress)
    };
    node.shared.change(tamper).await.unwrap();
}

/// Makes a node's state another one, as a flipped bit would.
async fn flip_bit(node: &Node) {
    let flip = |mut transaction: Transaction<'_>| {
        let mut progress = Progress::clone(&*transaction.whole()?);
        let mut values = transaction.model().parameters()?;
        values[7] = f32::from_bits(values[7].to_bits() ^ 1);
        transaction.model().set_parameters(&values)?;
        progress.root = transaction.model().state_root()?;
        transaction.commit(progress)
    };
    node.shared.change(flip).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_not_the_majoritys_is_told_and_left() {
    let mut network = Network::start().await;
    let mut node = network.miner(MINER).await;
    node.start().await.unwrap();
    network.play(&[MINER]).await;
    follow(&mut node).await.unwrap();
    flip_bit(&node).await;
    // Its journal has the wrong state as well.
    let progress = Progress::clone(&node.shared.progress());
    let folder = node.shared.folder().to_owned();
    let wrong = node.shared.model().run(|model| model.parameters()).await.unwrap();
    let ours = node.shared.state();

    network.play(&[MINER]).await;
    let error = follow(&mut node).await.unwrap_err();
    let majority = network.truth[1].state();
    assert!(
        matches!(error, NodeError::Diverged { window: Window(1), ours: found, majority: theirs }
        if found == ours && theirs == majority),
        "{error}"
    );
    assert_eq!(error.exit(), Exit::Disagreement);
    assert!(error.is_lost());
    assert!(!node.observability.health.report().ready);

    node.resync().await.unwrap();
    assert_true(&node, &network);
    assert_eq!(parameters_root(&node).await, network.truth[2].root);
    assert!(node.observability.health.report().ready, "{:?}", node.observability.health.report());
    let happened = events_of(&node);
    let diverged = happened.iter().find_map(|event| match event {
        NodeEvent::Diverged { window: Window(1), ours: found, majority: theirs, agreed, named } => {
            Some((*found, *theirs, *agreed, named.clone()))
        }
        _ => None,
    });
    let (found, theirs, agreed, named) = diverged.unwrap();
    assert_eq!((found, theirs, agreed), (ours, majority, Some(Window(0))));
    assert_eq!((named.len(), named[0].state, named[0].voters.len()), (1, majority, VALIDATORS.len()));
    assert!(happened.contains(&NodeEvent::Resynced { window: Window(0), source: Source::Initial }));

    // A node that starts with a wrong state in its journal finds out at once.
    drop(node);
    let journal = Journal::open(&folder).unwrap();
    journal.keep(&progress, &wrong).unwrap();
    drop(journal);
    let mut node = network.miner(MINER).await;
    assert_eq!(node.start().await.unwrap(), Source::Initial);
    assert_true(&node, &network);
    network.chain.shutdown().await;
}

/// Shows the end of the attack A2: a node that calls itself diverged, rightly or not, must not delete the
/// only copy of what it held.
#[tokio::test(flavor = "multi_thread")]
async fn a2_a_diverged_node_keeps_its_journal() {
    let mut network = Network::start().await;
    let mut node = network.miner(MINER).await;
    node.start().await.unwrap();
    network.play(&[MINER]).await;
    follow(&mut node).await.unwrap();
    flip_bit(&node).await;
    let file = "state-0000000001";
    let folder = node.shared.folder().to_owned();
    let kept = std::fs::read(folder.join(file)).unwrap();
    let aside = folder.join(format!("diverged-0000000001-{}", node.shared.state()));
    network.play(&[MINER]).await;
    assert!(follow(&mut node).await.is_err());
    node.resync().await.unwrap();
    assert_true(&node, &network);
    assert!(std::fs::read(aside.join(file)).unwrap() == kept, "the journal's file is there, byte for byte");

    // The same holds for a state that a restarted node finds to be wrong.
    flip_bit(&node).await;
    let file = "state-0000000002";
    let kept = std::fs::read(folder.join(file)).unwrap();
    let later = folder.join(format!("diverged-0000000002-{}", node.shared.state()));
    network.play(&[MINER]).await;
    drop(node);
    let mut node = network.miner(MINER).await;
    node.start().await.unwrap();
    assert_true(&node, &network);
    assert!(std::fs::read(later.join(file)).unwrap() == kept);
    assert!(aside.is_dir());
    network.chain.shutdown().await;
}

/// Checks that votes without a quorum make no node diverge, and are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_minority_in_a_null_window_is_told_and_not_followed() {
    let mut network = Network::start().await;
    let mut node = network.miner(MINER).await;
    node.start().await.unwrap();
    network.play(&[MINER]).await;
    follow(&mut node).await.unwrap();
    let other = State([0xbb; 32]);
    network.null(&VALIDATORS[..1], other).await;
    follow(&mut node).await.unwrap();
    assert_true(&node, &network);
    assert!(node.observability.health.report().ready);
    let told = events_of(&node).into_iter().find_map(|event| match event {
        NodeEvent::Contradicted { window: Window(1), agreed, named, .. } => Some((agreed, named)),
        _ => None,
    });
    let (agreed, named) = told.unwrap();
    assert_eq!((agreed, named.len(), named[0].state), (Some(Window(0)), 1, other));
    assert_eq!(named[0].voters, [network.hotkey(VALIDATORS[0]).hotkey()]);
    network.chain.shutdown().await;
}

/// Checks that a joiner holds a checkpoint against windows with a quorum only: a newer one that a minority
/// names is worth less than an older one that a quorum named.
#[tokio::test(flavor = "multi_thread")]
async fn a2_a_joiner_prefers_the_checkpoint_that_a_quorum_named() {
    let mut network = Network::start().await;
    let [mut hostile, mut honest] = [open_validator(&network, 0).await, open_validator(&network, 1).await];
    network.play(&[MINER]).await;
    for node in [&mut hostile, &mut honest] {
        follow(node).await.unwrap();
    }
    honest.save_checkpoint().await.unwrap().publish().await.unwrap();
    network.play(&[MINER]).await; // The quorum of window 1 names the state of the checkpoint.
    follow(&mut hostile).await.unwrap();
    flip_bit(&hostile).await;
    hostile.save_checkpoint().await.unwrap().publish().await.unwrap();
    network.null(&VALIDATORS[..1], hostile.shared.state()).await;
    let mut joiner = network.miner(JOINER).await;
    assert_eq!(joiner.start().await.unwrap(), Source::Checkpoint);
    assert_true(&joiner, &network);
    network.chain.shutdown().await;
}

/// Opens the node of a validator, and starts it.
pub(crate) async fn open_validator(network: &Network, number: usize) -> Node {
    let config = network.config(VALIDATORS[number], NodeRole::Validator, &[]);
    let mut node = network.open(config).await.unwrap();
    node.start().await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_to_be_had_is_waited_for_and_never_left_out() {
    let mut network = Network::start().await;
    let mut node = network.miner(JOINER).await;
    node.start().await.unwrap();
    // All nodes that should have it fail for a while.
    network.play(&[MINER]).await;
    network.inject(vec![Rule::always("GET", &format!("/{MINER}/"), Fault::Status { code: 404 }).times(2)]);
    follow(&mut node).await.unwrap();
    assert_true(&node, &network);

    // No node has it: the window cannot be applied, and no part of it is.
    let before = parameters_root(&node).await;
    let object = network.play(&[]).await;
    let next = network.spec.clock().unwrap().heights(network.window()).unwrap();
    network.advance_final(next.claims_close).await;
    node.network.wait_for(next.claims_close).await.unwrap();
    let error = follow(&mut node).await.unwrap_err();
    assert!(
        matches!(&error, NodeError::Unavailable { window: Window(1), object: missing, .. } if *missing == object.hash()),
        "{error}"
    );
    assert!(error.is_lost());
    assert_eq!(parameters_root(&node).await, before);
    assert_eq!(node.shared.window(), Window(1));

    // A resync continues with the node's right state, and ends when the object is available.
    node.shared.hold(object);
    assert_eq!(node.resync().await.unwrap(), Source::Journal);
    assert_true(&node, &network);
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_ends_wherever_it_waits() {
    let mut network = Network::start().await;
    let mut node = network.miner(JOINER).await;
    node.start().await.unwrap();
    let shutdown = node.network.shutdown.clone();
    let (decided, ()) = tokio::join!(node.decide(Window(0)), async { shutdown.request() });
    let error = decided.unwrap_err();
    assert!(matches!(error, NodeError::Shutdown));
    assert_eq!(error.exit(), Exit::Good);
    drop(node);

    network.play(&[]).await;
    let mut node = network.miner(JOINER).await;
    let shutdown = node.network.shutdown.clone();
    let (started, ()) = tokio::join!(Box::pin(node.start()), async { shutdown.request() });
    assert!(matches!(started.unwrap_err(), NodeError::Shutdown));
    network.chain.shutdown().await;
}

/// Returns the records of all windows until now.
fn records(network: &Network) -> Vec<WindowRecord> {
    network.truth.last().unwrap().history.records().cloned().collect()
}

async fn publish(network: &Network, name: &str, records: &[WindowRecord]) {
    for record in records {
        network.own_bucket(name).put_record(record).await.unwrap();
    }
}

/// Starts a node that missed the decisions of two windows, which the chain's node has forgotten since.
async fn overslept(network: &mut Network) -> Node {
    let mut node = network.miner(JOINER).await;
    node.start().await.unwrap();
    network.play(&[VALIDATORS[0]]).await;
    network.play(&[VALIDATORS[0]]).await;
    let height = Height(network.height().await.0 - u64::from(LAG));
    node.network.wait_for(height).await.unwrap();
    node.network.chain_reader.at(height).await.unwrap(); // The newest state is there; it is remembered.
    network.forget_states(true);
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chain_has_forgotten_comes_from_the_validators_records() {
    let mut network = Network::start().await;
    let mut node = overslept(&mut network).await;
    publish(&network, VALIDATORS[0], &records(&network)).await;
    assert_eq!(node.catch_up().await.unwrap(), 2);
    assert_true(&node, &network);
    network.forget_states(false);
    network.play(&[MINER]).await;
    follow(&mut node).await.unwrap();
    assert_true(&node, &network);
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_lies_is_found_out_by_the_next_votes() {
    let mut network = Network::start().await;
    let mut node = overslept(&mut network).await;
    let mut lies = records(&network);
    lies[1].accepted.clear();
    publish(&network, VALIDATORS[0], &lies).await;
    node.catch_up().await.unwrap();
    assert_ne!(node.shared.state(), network.truth[2].state());
    network.forget_states(false);
    network.play(&[MINER]).await;
    let error = follow(&mut node).await.unwrap_err();
    assert!(matches!(error, NodeError::Diverged { window: Window(2), .. }), "{error}");
    node.resync().await.unwrap();
    assert_true(&node, &network);
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_window_is_not_made_up() {
    let mut network = Network::start().await;
    let mut node = overslept(&mut network).await;
    let error = node.catch_up().await.unwrap_err();
    assert!(matches!(error, NodeError::Forgotten(Window(0))) && error.is_lost(), "{error}");
    assert_eq!(node.shared.window(), Window(0));
    network.forget_states(false);
    assert_eq!(node.resync().await.unwrap(), Source::Journal);
    assert_true(&node, &network);
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_leads_astray_is_not_taken_twice() {
    let mut network = Network::start().await;
    network.play(&[MINER]).await;
    let mut validator = network.open(network.config(VALIDATORS[0], NodeRole::Validator, &[])).await.unwrap();
    validator.start().await.unwrap();
    // Its state is the one that votes name. The last norms are in no state, and wrong.
    let tensors = validator.shared.run().flat.iter().len();
    let tiny = StepNorms { medians: vec![1e-12; tensors], references: vec![1e-12; tensors] };
    tamper(&validator, move |progress| progress.norms = Some(tiny)).await;
    validator.save_checkpoint().await.unwrap().publish().await.unwrap();
    network.play(&[MINER]).await;
    let mut node = network.miner(JOINER).await;
    assert_eq!(node.start().await.unwrap(), Source::Checkpoint);
    assert_ne!(node.shared.state(), network.truth[2].state());
    network.play(&[MINER]).await;
    let error = follow(&mut node).await.unwrap_err();
    assert!(matches!(error, NodeError::Diverged { window: Window(2), .. }), "{error}");
    assert_eq!(node.resync().await.unwrap(), Source::Initial);
    assert_true(&node, &network);
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_future_is_dropped_is_made_once_and_whole() {
    let mut network = Network::start().await;
    let mut node = network.miner(MINER).await;
    node.start().await.unwrap();
    network.play(&[MINER]).await;
    let decision = node.decide(Window(0)).await.unwrap();
    let until = node.shared.run().clock.objects_wait(&node.shared.run().clock.heights(Window(0)).unwrap());
    let collected = node.shared.collect(&node.network, &decision, until).await.unwrap();
    assert!(!collected.needed_custodians);
    let objects = Arc::new(collected.objects);
    {
        let mut step = pin!(node.shared.apply(&decision, Arc::clone(&objects)));
        let _ = futures::poll!(&mut step); // Begun, and dropped here.
    }
    let error = node.shared.apply(&decision, objects).await.unwrap_err();
    assert!(matches!(error, NodeError::Order(_)), "{error}");
    assert_true(&node, &network);
    assert_eq!(parameters_root(&node).await, network.truth[1].root);
    drop(node);
    let mut node = network.miner(MINER).await;
    assert_eq!(node.start().await.unwrap(), Source::Journal);
    assert_true(&node, &network);
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_half_way_is_never_built_upon() {
    let mut network = Network::start().await;
    let mut node = network.miner(MINER).await;
    node.start().await.unwrap();
    let fails = |mut transaction: Transaction<'_>| {
        let mut values = transaction.model().parameters()?;
        values[7] += 1.0;
        transaction.model().set_parameters(&values)?;
        Err::<(), _>(NodeError::Shutdown)
    };
    node.shared.change(fails).await.unwrap_err();
    network.play(&[MINER]).await;
    let error = follow(&mut node).await.unwrap_err();
    assert!(matches!(error, NodeError::Torn(Window(0))) && error.is_lost(), "{error}");
    assert!(matches!(node.save_checkpoint().await.unwrap_err(), NodeError::Torn(_)));
    assert_eq!(node.resync().await.unwrap(), Source::Journal);
    assert_true(&node, &network);
    assert_eq!(parameters_root(&node).await, network.truth[1].root);
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_node_and_costs_nothing() {
    let mut network = Network::start().await;
    let mut node = network.miner(MINER).await;
    node.start().await.unwrap();
    // A write to `/dev/full` fails as on a full disk.
    let partial = node.shared.folder().join("state-0000000001.partial");
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    network.play(&[MINER]).await;
    let error = follow(&mut node).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Failed);
    let said = base::ErrorChain(&error).to_string();
    let remedy = "make room on its disk, or name another folder as node.folder";
    let expected = format!("cannot read or write {} ({remedy}): No space left on device", partial.display());
    assert!(said.starts_with(&expected), "{said}");
    drop(node);
    let mut node = network.miner(MINER).await;
    assert_eq!(node.start().await.unwrap(), Source::Journal);
    assert_true(&node, &network);
    network.chain.shutdown().await;
}
