//! Windows of a run: what a validator does in them, and after a kill.

use crate::{
    miners::{Kind, Miners},
    network::Network,
};
use base::{Height, Hotkey, Window};
use scoring::{
    gauntlet::Outcome,
    score_log::{Replay, ScoreLog},
};
use serde_json::Value;
use testkit::wallet::HOTKEY_ADDRESS;

/// The miners of these tests.
const MINERS: [(&str, Kind); 6] = [
    ("Dave", Kind::Honest),
    ("Eve", Kind::Lazy),
    ("Ferdie", Kind::Harm),
    ("George", Kind::Garbage),
    ("Henry", Kind::Missing),
    ("Iris", Kind::Keyless),
];

pub(crate) fn names() -> Vec<&'static str> {
    MINERS.iter().map(|(name, _)| *name).collect()
}

fn hotkey(name: &str) -> String {
    testkit::development(name).hotkey().to_string()
}

/// Lets the claims of a window in, and the validator vote.
pub(crate) async fn claims_and_vote(network: &Network, miners: &mut Miners, window: u64, votes: usize) {
    let heights = network.heights(window);
    network.begun(window).await;
    network.reach(Height(heights.first.0)).await;
    miners.claim(network, window, &MINERS).await;
    network.reach(heights.claims_close).await;
    // Dave, Eve, Ferdie and Iris upload valid objects.
    network.fetched(window, 4).await;
    network.collected(window).await;
    network.reach_final(heights.seed).await;
    network.event("voted", votes).await;
}

/// Lets the validator measure, the others vote alike, and the window be decided.
pub(crate) async fn measure_and_decide(network: &Network, miners: &mut Miners, window: u64) {
    network.event("measured", window as usize + 1).await;
    decision(network, miners, window).await;
}

/// Lets the others vote alike, and the window be decided.
async fn decision(network: &Network, miners: &mut Miners, window: u64) {
    let vote = network.vote_alike(window).await;
    assert_eq!(vote.state, miners.state().await);
    assert_eq!(vote.possession, miners.possession(network, window, HOTKEY_ADDRESS.parse().unwrap()).await);
    assert_eq!(vote.good.0.count_ones(), 1, "one miner is honest: {}", network.log());
    network.reach_final(network.heights(window).votes_close).await;
    miners.apply(network, window).await;
}

/// Downloads the validator's log of a window from its bucket.
pub(crate) async fn log(network: &Network, window: u64) -> ScoreLog {
    let state = network.now().await;
    let ours: Hotkey = HOTKEY_ADDRESS.parse().unwrap();
    let (id, _) = state.neuron(&ours).unwrap();
    network.fetcher.score_log(&state, &id, &network.spec.hash(), Window(window)).await.unwrap()
}

/// Waits until our log of a window is in the bucket.
async fn published(network: &Network, window: u64) {
    let mut seen = 0;
    while !network.events("log_published").iter().any(|event| event["window"] == window) {
        seen += 1;
        network.event("log_published", seen).await;
    }
}

/// Returns the number of our logs in the bucket.
async fn logs_in_bucket(network: &Network) -> usize {
    let prefix = format!("{}/scores/", network.spec.id());
    let time = std::time::Duration::from_secs(60);
    network.own_bucket("validator").list(&prefix, None, 10, time).await.unwrap().len()
}

/// Plays a whole run without a kill, until the validator has ended.
pub(crate) async fn whole_run() -> (Network, Miners) {
    let network = Network::start(&names()).await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();
    for window in 0..2 {
        claims_and_vote(&network, &mut miners, window, window as usize + 1).await;
        measure_and_decide(&network, &mut miners, window).await;
        network.event("applied", window as usize + 1).await;
    }
    // The weights of the last log are set in the next epoch.
    network.release(Height(400));
    assert_eq!(validator.ended().await, Some(0), "{}", network.log());
    (network, miners)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_goes_through_a_run_and_ends() {
    let (network, miners) = whole_run().await;
    let state = network.now().await;

    // It voted for who trained, and said why not for the others.
    for screened in network.events("screened") {
        let good = screened["miner"] == hotkey("Dave");
        assert_eq!(screened["good"], good, "{screened}");
        assert_eq!(screened["why"].is_null(), good, "{screened}");
    }
    assert_eq!(network.events("screened").len(), 12);
    assert_eq!(network.events("voted").len(), 2);

    // Its logs replay, follow one another, and hold the outcome of each miner.
    let mut replay = Replay::new(network.spec.scoring);
    let fault = |log: &ScoreLog, name: &str| match log.miners[&hotkey(name).parse().unwrap()].outcome {
        Outcome::Evaluated(evaluation) => evaluation.judge().err().map(|fault| format!("{fault:?}")),
        outcome => Some(format!("{outcome:?}")),
    };
    for window in 0..2 {
        let log = log(&network, window).await;
        let results = replay.next(&log).unwrap();
        assert_eq!(results.weights.as_ref(), Ok(&log.stated.weights));
        assert_eq!(log.miners.len(), 6);
        assert_eq!(fault(&log, "Dave"), None);
        assert_eq!(fault(&log, "Eve").as_deref(), Some("Failed(ChangesNothing)"));
        assert_eq!(fault(&log, "Ferdie").as_deref(), Some("NoImprovement"));
        assert_eq!(fault(&log, "George").as_deref(), Some("Failed(Malformed)"));
        assert_eq!(fault(&log, "Henry").as_deref(), Some("Failed(Missing)"));
        assert_eq!(fault(&log, "Iris").as_deref(), Some("Failed(Missing)"));
        assert_eq!(
            log.head().to_string(),
            network.events("logged")[window as usize]["head"].as_str().unwrap()
        );
    }
    let evaluated = &network.events("evaluated")[1];
    let rows = evaluated["miners"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "{evaluated}");
    assert!(
        rows.iter().all(|row| row["fault"].is_null() == (row["hotkey"] == hotkey("Dave"))),
        "{evaluated}"
    );

    // The weights of the last log are on chain, set once for each epoch.
    let last = log(&network, 1).await;
    let at = network.chain_reader.client().at(state.hash);
    let on_chain = at.weights(testkit::SUBNET, &[base::Uid(1)]).await.unwrap().remove(0);
    let stated: Vec<_> = last.stated.weights.iter().map(|(&uid, &weight)| (uid, weight)).collect();
    assert_eq!(on_chain, stated.into_iter().filter(|(_, weight)| *weight > 0).collect::<Vec<_>>());
    let set = network.events("weights");
    let blocks: Vec<u64> = set.iter().map(|event| event["block"].as_u64().unwrap()).collect();
    let epochs: Vec<u64> = blocks.iter().map(|block| (block + 4) / 61).collect();
    assert!(epochs.is_sorted_by(|a, b| a < b), "{blocks:?}");
    assert_eq!(set.last().unwrap()["window"], 1);

    // The objects that any node may need are in its bucket.
    let bucket = network.own_bucket("validator");
    let time = std::time::Duration::from_secs(60);
    let keys = bucket.list(&format!("{}/", network.spec.id()), None, 100, time).await.unwrap();
    let keys: Vec<_> = keys.iter().map(|listed| listed.key.split_once('/').unwrap().1).collect();
    let count = |prefix: &str| keys.iter().filter(|key| key.starts_with(prefix)).count();
    assert_eq!((count("scores/"), count("record/")), (2, 2), "{keys:?}");
    assert_eq!((count("submission/"), count("key/")), (2, 2), "{keys:?}");
    assert!(keys.contains(&"checkpoint/latest") && count("checkpoint/0000000002/") > 3, "{keys:?}");
    let (validator, _) = state.neuron(&HOTKEY_ADDRESS.parse().unwrap()).unwrap();
    let pointer = network.fetcher.checkpoint_pointer(&state, &validator, &network.spec.hash()).await.unwrap();
    assert_eq!((pointer.window, pointer.state), (Window(2), miners.state().await));

    let losses: Vec<f64> =
        network.events("held_out").iter().map(|event| event["loss"].as_f64().unwrap()).collect();
    assert_eq!(losses.len(), 3);
    assert!(losses[2] < losses[0], "{losses:?}");
    assert_eq!(network.event("stopped", 1).await["exit"], 0);
    network.assert_no_secrets();

    let shown = network.end(&["weights", "show", "--json"]).await;
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["log"]["window"], 1);
    for row in shown["weights"].as_array().unwrap() {
        let (stated, set) = (row["to_set"].as_u64().unwrap_or(0), row["on_chain"].as_u64().unwrap_or(0));
        assert_eq!(stated, set, "{row}");
    }
    let shown = network.end(&["weights", "show"]).await;
    let table = String::from_utf8(shown.stdout).unwrap();
    assert!(table.contains("newest score log  of window 1, head "), "{table}");
    assert!(table.contains(&hotkey("Dave")), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_is_killed_votes_and_logs_once() {
    let network = Network::start(&names()).await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();
    claims_and_vote(&network, &mut miners, 0, 1).await;
    validator.kill();

    // After the vote: it votes no second time, measures again, and closes its log.
    let validator = network.spawn();
    network.event("started", 2).await;
    network.fetched(0, 8).await;
    // Its downloads end as many blocks after K_0 as it began after D_0.
    network.reach_final(Height(network.heights(0).votes_close.0 - 1)).await;
    measure_and_decide(&network, &mut miners, 0).await;
    network.event("applied", 1).await;
    assert_eq!(network.events("voted").len(), 1);
    assert_eq!(network.events("logged").len(), 1);
    validator.kill();

    // After the outer step: what was closed is published all the same, but not before M_1 (A8).
    let validator = network.spawn();
    network.event("started", 3).await;
    claims_and_vote(&network, &mut miners, 1, 2).await;
    assert_eq!(logs_in_bucket(&network).await, 0, "the log of window 0 could be copied");
    decision(&network, &mut miners, 1).await;
    published(&network, 0).await;
    let first = log(&network, 0).await;

    // The run has ended, but not for the last log: the validator waits another window for it.
    network.event("applied", 2).await;
    assert_eq!(logs_in_bucket(&network).await, 1, "the log of window 1 could be copied");
    network.release(Height(400));
    assert_eq!(validator.ended().await, Some(0), "{}", network.log());
    assert_eq!(logs_in_bucket(&network).await, 2);

    // Its disk is lost after the run: standings come from its bucket, and weights from its last log.
    std::fs::remove_dir_all(network.path("node")).unwrap();
    let validator = network.spawn();
    network.release(Height(400));
    assert_eq!(validator.ended().await, Some(0), "{}", network.log());
    assert!(network.events("voted").is_empty() && network.events("logged").is_empty());
    let set = network.events("weights");
    assert!(set.len() <= 1 && set.iter().all(|event| event["window"] == 1), "{set:?}");
    let second = log(&network, 1).await;
    assert_eq!(second.header.previous, first.head());
    let mut replay = Replay::new(network.spec.scoring);
    assert!(replay.next(&first).is_ok() && replay.next(&second).is_ok());
}
