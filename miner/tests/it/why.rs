//! `miner why`: the real binary, with a score log in a real bucket.

use crate::network::Network;
use base::{
    BlockHash, Exit, Hotkey, Millionths, NeuronId, Uid, Window,
    digest::{ObjectHash, ScoreLogHead, StandingsHash, State},
};
use protocol::announcement::Announcement;
use scoring::{
    explanation::Explained,
    gauntlet::{Evaluation, Improvements, Outcome, ScoringSpec, Standings},
    score_log::{Header, MinerLine, Results, ScoreLog},
    uniqueness::{Baselines, Overlap},
    weights::Subnet,
};
use serde_json::Value;
use std::process::{Command, Output};
use testkit::{assert_ends, development, end, quiet, wallet::HOTKEY_ADDRESS};

/// Runs `miner why` with an empty environment, apart from the wallets.
async fn why(network: &Network, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    command.args(["why", "--allow-loopback", "--block-time", "60", "--chain", &network.chain.url()]);
    command.arg("--run").arg(network.path("run.toml")).args(words);
    quiet(&mut command);
    command.env("MUSTER_WALLETS", network.path("wallets"));
    end(command).await
}

fn improvements(count: u16, mean: f64) -> Improvements {
    let number = f64::from(count);
    Improvements { count: count.into(), sum: number * mean, squares: number * (mean * mean + 1e-4) }
}

/// Returns the first log of a validator, with the update of one miner, and its results.
fn log(network: &Network, validator: NeuronId, miner: NeuronId) -> (ScoreLog, Results) {
    let spec: &ScoringSpec = &network.spec.scoring;
    let header = Header {
        run: network.spec.hash(),
        validator,
        window: Window(0),
        state: State([1; 32]),
        seed: BlockHash([2; 32]),
        previous: ScoreLogHead::default(),
        standings: StandingsHash::default(),
        adopted: None,
        unassigned_before: 4.0,
        baselines: Baselines::default(),
        subnet: Subnet { owner: None, uids: 5, min_allowed: 1, max_limit: u16::MAX },
    };
    let evaluation = Evaluation {
        assigned: improvements(spec.assigned_sequences, 0.03),
        common: improvements(spec.common_sequences, 0.01),
        own: improvements(spec.own_sequences, 0.01),
        share: Millionths(800_000),
        overlap: Overlap::default(),
    };
    let (registered, object) = (miner.registered, ObjectHash([3; 32]));
    let line = MinerLine { uid: Uid(4), registered, object, outcome: Outcome::Evaluated(evaluation) };
    ScoreLog::close(spec, &Standings::default(), header, [(miner.hotkey, line)].into()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_reads_why_it_is_paid() {
    let network = Network::start().await;
    let miner: Hotkey = HOTKEY_ADDRESS.parse().unwrap();
    let (alice, trainer) = (network.neuron("Alice").await, network.id(&miner).await);
    let announcement = Announcement { bucket: network.bucket("stranger"), record: None };
    network.announce("Alice", announcement).await;
    network.reach_final(network.heights(0).votes_close).await;
    let none = why(&network, &["--hotkey", "trainer"]).await;
    assert_ends(
        &none,
        Exit::Failed,
        "no score log is published yet: none of 1 validators with permit and bucket",
    );

    let (log, results) = log(&network, alice, trainer);
    let bytes = log.sign(&exchange::signing_key(&development("Alice"))).unwrap();
    network.own_bucket("stranger").put_score_log(Window(0), bytes.into()).await.unwrap();
    let by_name = why(&network, &["--hotkey", "trainer", "--json"]).await;
    assert_ends(&by_name, Exit::Good, "");
    let found: Value = serde_json::from_slice(&by_name.stdout).unwrap();
    let expected = Explained::new(&network.spec.scoring, &log, &results, []).miner(&miner, Some(0)).unwrap();
    let expected: Value = serde_json::from_str(&serde_json::to_string(&expected).unwrap()).unwrap();
    assert_eq!(found["validators"][0]["pay"], expected);
    assert_eq!((&found["window"], &found["newest"]), (&0.into(), &true.into()));
    let by_address = why(&network, &["--hotkey", HOTKEY_ADDRESS]).await;
    let advice =
        "* The update declares 0.8 of the assigned samples and is paid for this share: train on all of them.";
    assert_ends(&by_address, Exit::Good, advice);
    let unnamed = why(&network, &["--hotkey", &alice.hotkey.to_string()]).await;
    assert_ends(&unnamed, Exit::Failed, &format!("no score log of window 0 names hotkey {}", alice.hotkey));
    let default = why(&network, &[]).await;
    assert_ends(&default, Exit::Usage, "hotkeys/default");
    let later = why(&network, &["--hotkey", "trainer", "--window", "1"]).await;
    assert_ends(&later, Exit::Usage, "window 1 is not decided yet: its votes close with block ");
}
