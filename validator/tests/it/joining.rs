//! A validator that joins a run without a score log of its own.

use crate::{
    miners::Miners,
    network::Network,
    windows::{claims_and_vote, measure_and_decide, names},
};
use base::{Hotkey, Window, digest::ScoreLogHead};
use exchange::signing_key;
use protocol::{
    announcement::{Possession, Record, Vote},
    bucket_layout,
};
use scoring::{
    gauntlet::Standings,
    score_log::{Adopted, Expected, Header, Replay, ScoreLog},
};
use std::{fs, path::PathBuf, time::Duration};
use storage::{Content, Floor, Put};
use testkit::{HANGS, development, wallet::HOTKEY_ADDRESS};

/// Returns the folder of the validator's own logs.
fn folder(network: &Network) -> PathBuf {
    network.path("node").join("scores")
}

/// Reads the validator's log of a window from its disk.
async fn own_log(network: &Network, window: u64) -> ScoreLog {
    let ours: Hotkey = HOTKEY_ADDRESS.parse().unwrap();
    let (validator, _) = network.now().await.neuron(&ours).unwrap();
    let bytes = fs::read(folder(network).join(format!("{window:010}"))).unwrap();
    let expected = Expected { run: network.spec.hash(), validator, window: Window(window) };
    ScoreLog::open(&bytes, &expected).unwrap()
}

/// Publishes a log as that of another validator. Returns its name.
async fn publish_as(network: &Network, name: &str, bucket: &str, log: &ScoreLog) -> Adopted {
    let key = development(name);
    let (validator, _) = network.now().await.neuron(&key.hotkey()).unwrap();
    let log = ScoreLog { header: Header { validator, ..log.header.clone() }, ..log.clone() };
    let bytes = log.sign(&signing_key(&key)).unwrap();
    let floor = Floor { bytes_per_second: 0, over: Duration::from_secs(60) };
    let how = Put { time: HANGS, floor, only_if_absent: false };
    let object = bucket_layout::score_log(network.spec.id(), log.header.window);
    network.own_bucket(bucket).put(&object, Content::Bytes(bytes.into()), &how).await.unwrap();
    log.name()
}

#[tokio::test(flavor = "multi_thread")]
async fn standings_come_from_the_first_replayable_log_in_the_order_of_stake() {
    let network = Network::start(&names()).await;
    let mut miners = Miners::start(&network).await;
    let validator = network.spawn();
    claims_and_vote(&network, &mut miners, 0, 1).await;
    measure_and_decide(&network, &mut miners, 0).await;
    network.event("applied", 1).await;
    validator.kill();

    // Its logs are lost, on its disk and in its bucket. Bob, with the most stake, states another score than
    // his measurements give. Charlie's log is right.
    let first = own_log(&network, 0).await;
    fs::remove_dir_all(folder(&network)).unwrap();
    let object = bucket_layout::score_log(network.spec.id(), Window(0));
    network.own_bucket("validator").delete(&object, HANGS).await.unwrap();
    let mut edited = first.clone();
    edited.stated.scores.values_mut().next().unwrap().0 += 1;
    publish_as(&network, "Bob", "unused", &edited).await;
    let adopted = publish_as(&network, "Charlie", "slow", &first).await;
    let (score_log, possession) = (ScoreLogHead::default(), Possession::default());
    let vote = Vote { score_log, possession, ..network.vote(0).await };
    network.announce(&development("Charlie"), "slow", Record::Vote(vote)).await;

    let validator = network.spawn();
    let event = network.event("adopted", 1).await;
    assert_eq!(event["validator"], development("Charlie").hotkey().to_string());
    assert_eq!((&event["window"], &event["head"]), (&0.into(), &adopted.head.to_string().into()));
    let log = network.log();
    let bob = development("Bob").hotkey();
    assert!(log.contains("its standings are not taken") && log.contains(&bob.to_string()), "{log}");
    claims_and_vote(&network, &mut miners, 1, 2).await;
    measure_and_decide(&network, &mut miners, 1).await;
    network.event("applied", 2).await;
    validator.kill();

    // Its own first log says whose standings it begins from, and replays without any other log.
    let joined = own_log(&network, 1).await;
    assert_eq!((joined.header.adopted, joined.header.previous), (Some(adopted), ScoreLogHead::default()));
    assert_eq!(joined.snapshot.as_ref(), Some(&first.stated.standings));
    assert!(Replay::new(network.spec.scoring).next(&joined).is_ok());

    // A twin that was never disturbed, with the same measurements: the same weights.
    let header = Header { previous: first.head(), adopted: None, ..joined.header.clone() };
    let close = |standings: &Standings| {
        ScoreLog::close(&network.spec.scoring, standings, header.clone(), joined.miners.clone()).unwrap().0
    };
    let twin = close(&first.stated.standings);
    assert_eq!(twin.stated, joined.stated);
    assert!(!joined.stated.weights.is_empty(), "a window with weights");
    let without = close(&Standings::new(Default::default(), zeroed(&first.stated.standings)));
    assert_ne!(without.stated.standings, joined.stated.standings, "standings matter");
}

/// Returns the standings of the same miners as if they were new.
fn zeroed(standings: &Standings) -> std::collections::BTreeMap<Hotkey, scoring::gauntlet::Standing> {
    standings.iter().map(|(miner, _)| (*miner, Default::default())).collect()
}
