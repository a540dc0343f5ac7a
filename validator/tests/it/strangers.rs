//! Buckets of strangers: slow, silent and withholding ones cost their owners, and no other node.

use crate::{
    miners::{Kind, Miners},
    network::{Network, poor_founders},
};
use base::{Height, NeuronId, Window, digest::ObjectHash};
use bucket_server::{Fault as BucketFault, Plan, Rule};
use protocol::{
    acceptance::{Candidate, candidates},
    announcement::{Bits, Vote},
    replicas::custodians,
};
use scoring::{
    gauntlet::{Fault, Outcome},
    score_log::{Expected, ScoreLog},
};
use testkit::{development, wallet::HOTKEY_ADDRESS};

/// The miners whose bucket is `miners`, and the one whose bucket is `slow`.
const MINERS: [(&str, Kind); 2] = [("Dave", Kind::Honest), ("Eve", Kind::Honest)];
/// The names of [`MINERS`].
const OTHERS: [&str; 2] = ["Dave", "Eve"];
const STRANGER: (&str, Kind) = ("Ferdie", Kind::Honest);

async fn network() -> Network {
    Network::without_losses(&["Dave", "Eve", "Ferdie"]).await
}

fn inject(network: &Network, rules: Vec<Rule>) {
    network.buckets.inject(Plan { seed: 0, rules });
}

/// Returns a rule for all downloads from a bucket.
fn downloads(bucket: &str, fault: BucketFault) -> Rule {
    Rule::always("GET", &format!("/{bucket}/"), fault)
}

/// Lets the claims of a window in, and closes them. Waits until the validator has the objects of these
/// miners.
async fn claims(network: &Network, miners: &mut Miners, window: u64, fetched: &[&str]) {
    let heights = network.heights(window);
    network.begun(window).await;
    network.reach(Height(heights.first.0)).await;
    miners.claim(network, window, &MINERS).await;
    miners.claim_in("slow", network, window, &[STRANGER]).await;
    network.reach(heights.claims_close).await;
    network.fetched_from(window, fetched).await;
    network.reach_final(heights.claims_close).await;
}

/// Lets the validator vote and measure.
async fn vote(network: &Network, window: u64) -> Vote {
    network.collected(window).await;
    network.reach_final(network.heights(window).seed).await;
    network.event("voted", window as usize + 1).await;
    network.event("measured", window as usize + 1).await;
    network.vote(window).await
}

/// Lets the window be decided, and the validator apply it. Returns the accepted miners.
async fn decide(network: &Network, miners: &mut Miners, window: u64) -> usize {
    network.reach_final(network.heights(window).votes_close).await;
    miners.apply(network, window).await;
    network.event("applied", window as usize + 1).await;
    let decided = network.event("decided", window as usize + 1).await;
    decided["accepted"].as_array().unwrap().len()
}

/// Returns the candidates of a window whose claims are closed, in order.
async fn order(network: &Network, window: u64) -> Vec<Candidate> {
    let heights = network.heights(window);
    let closed = network.chain_reader.at(heights.claims_close).await.unwrap();
    let incentives = network.chain_reader.at(heights.incentives).await.unwrap();
    let (run, spec) = (network.spec.id(), &network.spec.acceptance);
    candidates(run, spec, &heights, &incentives.snapshot, &closed.snapshot).unwrap()
}

/// Returns the place of a miner among the candidates.
fn place(order: &[Candidate], miner: &str) -> usize {
    let hotkey = development(miner).hotkey();
    order.iter().position(|candidate| candidate.id.hotkey == hotkey).unwrap()
}

/// Returns the custodians of the object of a candidate.
async fn custodians_of(network: &Network, window: u64, candidate: &Candidate) -> Vec<NeuronId> {
    let heights = network.heights(window);
    let closed = network.chain_reader.at(heights.claims_close).await.unwrap();
    let electorate = closed.electorate(network.spec.id(), &network.spec.acceptance, &heights);
    custodians(closed.hash, &candidate.object, &electorate)
}

/// Returns the validator's log of a window from its disk: it is published much later.
async fn closed(network: &Network, window: u64) -> ScoreLog {
    network.event("logged", window as usize + 1).await;
    let bytes = std::fs::read(network.path(&format!("node/scores/{window:010}"))).unwrap();
    let (run, window) = (network.spec.hash(), Window(window));
    let (validator, _) = network.now().await.neuron(&HOTKEY_ADDRESS.parse().unwrap()).unwrap();
    ScoreLog::open(&bytes, &Expected { run, validator, window }).unwrap()
}

fn outcome(log: &ScoreLog, name: &str) -> Outcome {
    let hotkey = development(name).hotkey();
    log.miners[&hotkey].outcome
}

fn is_evaluated(log: &ScoreLog, name: &str) -> bool {
    matches!(outcome(log, name), Outcome::Evaluated(_))
}

/// Checks that A1 is mended: such a bucket made every window null, at no cost to its owner.
#[tokio::test(flavor = "multi_thread")]
async fn a1_a_bucket_that_answers_after_9_s_and_again_9_s_later_costs_only_its_own_place() {
    let network = network().await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();
    let pieces = BucketFault::Trickle { bytes: 1000, ms: 9000 };
    inject(&network, vec![downloads("slow", BucketFault::Delay { ms: 9000 }), downloads("slow", pieces)]);
    for window in 0..2 {
        claims(&network, &mut miners, window, &OTHERS).await;
        let voted = vote(&network, window).await;
        let order = order(&network, window).await;
        for name in OTHERS {
            assert!(voted.good.has(place(&order, name)), "{name}: {}", network.log());
        }
        network.vote_otherwise(voted).await;
        assert!(decide(&network, &mut miners, window).await >= 2);
        let log = closed(&network, window).await;
        assert!(is_evaluated(&log, "Dave") && is_evaluated(&log, "Eve"));
        // The bucket is at fault only if its rate is known: it was open for long enough. On a machine that
        // takes longer than 18 s until keys close, its object arrives in time.
        let arrived = voted.good.has(place(&order, STRANGER.0));
        let slow = [Outcome::Failed(Fault::Slow), Outcome::Failed(Fault::Missing), Outcome::Skipped];
        let ferdie = outcome(&log, STRANGER.0);
        assert!(slow.contains(&ferdie) || arrived && is_evaluated(&log, STRANGER.0), "{ferdie:?}");
    }
    validator.kill();
}

/// Checks that A4 is mended: a bucket that serves the other validators, and no other node.
#[tokio::test(flavor = "multi_thread")]
async fn a4_an_object_that_only_custodians_serve_is_applied_and_absences_are_excused_after_it() {
    let network = network().await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();
    inject(&network, vec![downloads("slow", BucketFault::Status { code: 404 })]);

    // This validator does not get the object. The others do, vote for it, and store it.
    claims(&network, &mut miners, 0, &OTHERS).await;
    let voted = vote(&network, 0).await;
    assert_eq!(voted.good.0.count_ones(), 2, "{}", network.log());
    miners.store(&network, "unused", 0).await;
    network.vote_otherwise(Vote { good: Bits::of(0..3), ..voted }).await;
    assert_eq!(decide(&network, &mut miners, 0).await, 3);
    let first = closed(&network, 0).await;
    assert_eq!(outcome(&first, "Ferdie"), Outcome::Failed(Fault::Missing), "judged before it was known");

    // The own line may have failed: no miner is at fault for an absence in the next window.
    claims(&network, &mut miners, 1, &OTHERS).await;
    let voted = vote(&network, 1).await;
    network.vote_otherwise(voted).await;
    assert_eq!(decide(&network, &mut miners, 1).await, 2);
    let second = closed(&network, 1).await;
    assert!(is_evaluated(&second, "Dave") && is_evaluated(&second, "Eve"));
    assert_eq!(outcome(&second, "Ferdie"), Outcome::Skipped);
    validator.kill();
}

/// Checks the other side of A4: an object that its miner serves to the voters with most of the stake, and to
/// none of its custodians. Voters take the custodians' places, so that other nodes get it.
#[tokio::test(flavor = "multi_thread")]
async fn a4_an_object_that_no_custodian_has_is_published_by_keepers() {
    let network = Network::with_poor_founders(&["Dave", "Eve", "Ferdie"]).await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();

    // The validator has all three objects when the miner begins to withhold its own.
    claims(&network, &mut miners, 0, &["Dave", "Eve", "Ferdie"]).await;
    let voted = vote(&network, 0).await;
    assert_eq!(voted.good, Bits::of(0..3), "{}", network.log());
    inject(&network, vec![downloads("slow", BucketFault::Status { code: 404 })]);

    // Bob got it as well. No founder did, and all custodians are founders.
    let order = order(&network, 0).await;
    let place = place(&order, STRANGER.0);
    let custodians = custodians_of(&network, 0, &order[place]).await;
    let founders = poor_founders();
    let are_founders = custodians.iter().all(|custodian| founders.contains(&custodian.hotkey));
    assert!(are_founders && custodians.len() == founders.len(), "{custodians:?}");
    network.vote_as("Bob", voted).await;
    let without = Vote { good: Bits::of((0..3).filter(|other| *other != place)), ..voted };
    for founder in ["Charlie", "Ida", "Jane"] {
        network.vote_as(founder, without).await;
    }
    assert_eq!(decide(&network, &mut miners, 0).await, 3, "most of the stake voted for each");

    // The keepers are the two voters. Bob publishes nothing here, so the object comes from the validator.
    let found = miners.download(&network, &voted, STRANGER.0).await;
    assert_eq!(found.keepers.len(), 2);
    assert!(found.keepers.iter().all(|keeper| !custodians.contains(keeper)));
    assert!(!found.object.by_owner);
    validator.kill();
}

/// Checks that A10 is mended: a clock that is hours off made all buckets answer 403, and cost all miners
/// their credit.
#[tokio::test(flavor = "multi_thread")]
async fn a10_no_miner_is_at_fault_where_most_buckets_answer_403() {
    let network = network().await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();
    let forbidden = || BucketFault::Status { code: 403 };

    // All of them.
    inject(&network, vec![downloads("miners", forbidden()), downloads("slow", forbidden())]);
    claims(&network, &mut miners, 0, &[]).await;
    network.strikes(2).await;
    let voted = vote(&network, 0).await;
    assert_eq!(voted.good, Bits(0));
    network.vote_otherwise(voted).await;
    assert_eq!(decide(&network, &mut miners, 0).await, 0);
    let log = closed(&network, 0).await;
    for name in ["Dave", "Eve", "Ferdie"] {
        assert_eq!(outcome(&log, name), Outcome::Skipped, "{name}");
        assert_ne!(log.miners.values().next().unwrap().object, ObjectHash::default());
    }

    // Most of them.
    inject(&network, vec![downloads("miners", forbidden())]);
    claims(&network, &mut miners, 1, &["Ferdie"]).await;
    let voted = vote(&network, 1).await;
    assert_eq!(voted.good.0.count_ones(), 1, "{}", network.log());
    network.vote_otherwise(voted).await;
    assert_eq!(decide(&network, &mut miners, 1).await, 1);
    let log = closed(&network, 1).await;
    assert!(is_evaluated(&log, "Ferdie"));
    assert_eq!([outcome(&log, "Dave"), outcome(&log, "Eve")], [Outcome::Skipped; 2]);
    validator.kill();
}

/// Checks the other side of A10: one bucket that answers 403 is its owner's fault.
#[tokio::test(flavor = "multi_thread")]
async fn a10_one_bucket_that_answers_403_is_its_owners_fault() {
    let network = network().await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();
    inject(&network, vec![downloads("slow", BucketFault::Status { code: 403 })]);
    claims(&network, &mut miners, 0, &OTHERS).await;
    network.strikes(1).await;
    let voted = vote(&network, 0).await;
    network.vote_otherwise(voted).await;
    assert_eq!(decide(&network, &mut miners, 0).await, 2);
    let log = closed(&network, 0).await;
    assert_eq!(outcome(&log, "Ferdie"), Outcome::Failed(Fault::Missing));
    assert!(is_evaluated(&log, "Dave") && is_evaluated(&log, "Eve"));
    validator.kill();
}
