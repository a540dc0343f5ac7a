//! A testbed for one validator; miners and other validators are played by the tests.

use base::{Hotkey, Mechanism, digest::ScoreLogHead};
use chain::{Client, Options as ChainOptions, wallet::KeyPair};
use devchain::{Genesis, StorageWrite};
use exchange::{BlockState, ChainReader, FetchLimits, Fetcher};
use protocol::{
    acceptance::Screen,
    announcement::{AddressPolicy, Announcement, Possession, Record, Vote},
    run_spec::RunFile,
};
use serde_json::Value;
use sp_crypto_hashing::twox_128;
use std::{fs, ops::Deref, process::Output, sync::Arc};
use storage::{Floor, Storage};
use testkit::{HANGS, Running, SUBNET, Setup, Testbed, development, wallet::HOTKEY_ADDRESS};
use tokio::time::timeout;

/// The founders beside Charlie in [`Network::with_poor_founders`].
const OTHER_FOUNDERS: [&str; 2] = ["Ida", "Jane"];

/// Everything that a validator needs.
pub(crate) struct Network {
    testbed: Testbed,
    pub(crate) chain_reader: ChainReader,
    pub(crate) fetcher: Fetcher,
}

impl Deref for Network {
    type Target = Testbed;

    fn deref(&self) -> &Testbed {
        &self.testbed
    }
}

impl Network {
    /// Starts a network whose chain stands still at its first blocks. Uid 1 is the tested validator, 2
    /// and 3 are other validators, from 4 on there are miners with these names.
    pub(crate) async fn start(miners: &[&str]) -> Self {
        Self::with(miners, &|_| (), small_run).await
    }

    /// Starts a network whose validators do not measure updates before they vote. So all valid updates of
    /// honest miners are good: with few sequences, one may seem to raise the loss.
    pub(crate) async fn without_losses(miners: &[&str]) -> Self {
        let run = |run: &mut RunFile| {
            small_run(run);
            run.acceptance.screen = Screen::Structure;
        };
        Self::with(miners, &|_| (), run).await
    }

    /// Starts a network on a subnet with commit-reveal that takes hashes only: it asks for timelocked commits
    /// of a version that no program knows.
    pub(crate) async fn with_hashed_weights(miners: &[&str]) -> Self {
        let genesis = |genesis: &mut Genesis| genesis.subnet.commit_reveal_weights_enabled = true;
        let network = Self::with(miners, &genesis, small_run).await;
        let names = [&b"SubtensorModule"[..], b"CommitRevealWeightsVersion"].map(twox_128);
        let write = StorageWrite { key: names.concat(), value: Some(vec![5, 0]) };
        network.chain.handle().set_storage(vec![write]).await.unwrap();
        network
    }

    /// Starts a network in which the voters of window 0 that have most of the stake are no custodians. The
    /// founders are Charlie, Ida and Jane, so they are the custodians of all objects of that window. The
    /// tested validator and Bob have more stake, and are members of the electorate only once they have voted.
    pub(crate) async fn with_poor_founders(miners: &[&str]) -> Self {
        let genesis = |genesis: &mut Genesis| {
            genesis.subnet.max_allowed_validators = 8;
            for name in OTHER_FOUNDERS {
                let mut neuron = genesis.neurons[3].clone(); // Charlie, with less stake than Bob.
                neuron.hotkey = development(name).hotkey().to_string().parse().unwrap();
                neuron.stake /= 2;
                genesis.neurons.push(neuron);
            }
        };
        let run = |run: &mut RunFile| {
            small_run(run);
            run.acceptance.screen = Screen::Structure;
            run.acceptance.founders = poor_founders();
        };
        Self::with(miners, &genesis, run).await
    }

    async fn with(miners: &[&str], change: &dyn Fn(&mut Genesis), run: fn(&mut RunFile)) -> Self {
        let genesis = |genesis: &mut Genesis| {
            genesis.neurons[1].hotkey = HOTKEY_ADDRESS.parse().unwrap();
            let like = genesis.neurons[1].clone();
            let neuron = |name: &&str| {
                let mut neuron = like.clone();
                neuron.hotkey = development(name).hotkey().to_string().parse().unwrap();
                (neuron.stake, neuron.permit) = (0, false);
                neuron
            };
            genesis.neurons.extend(miners.iter().map(neuron));
            change(genesis);
        };
        let testbed = Testbed::start(Setup {
            others: &["miners", "slow", "unused"],
            genesis: &genesis,
            run,
            data: |options| {
                let separator = Some("\n\n".to_owned()); // Documents enough that some are held out.
                data::Options { held_out: 0.1, separator, ..options }
            },
            ..Setup::new("validator", env!("CARGO_BIN_EXE_validator"))
        });
        let testbed = testbed.await;
        let more = "[validator]\ncheckpoint_every = 2\nheld_out_sequences = 8\n";
        fs::write(testbed.path("validator.toml"), testbed.configuration() + more).unwrap();
        let options = ChainOptions { block_time: HANGS, ..ChainOptions::new([testbed.chain.url()]) };
        let chain_reader = ChainReader::new(Client::connect(options).await.unwrap(), SUBNET, Mechanism::MAIN);
        let floor = Floor { bytes_per_second: 0, over: HANGS };
        let limits = FetchLimits { time: HANGS, floor };
        let fetcher = Fetcher::new(Storage::new(AddressPolicy::PublicOrLoopback), limits);
        Self { testbed, chain_reader, fetcher }
    }

    /// Returns the bucket of this name, to write to.
    pub(crate) fn own_bucket(&self, name: &str) -> storage::Bucket {
        let storage = Storage::new(AddressPolicy::PublicOrLoopback);
        storage.own_bucket(&self.bucket(name), &self.writer(name)).unwrap()
    }

    /// Runs the program with these words until it ends by itself.
    pub(crate) async fn end(&self, words: &[&str]) -> Output {
        testkit::end(self.command(words)).await
    }

    /// Starts the validator; its log is in a file.
    pub(crate) fn spawn(&self) -> Running {
        self.spawn_with(&[])
    }

    /// Starts the validator with these flags.
    pub(crate) fn spawn_with(&self, flags: &[&str]) -> Running {
        self.testbed.spawn(&[&["run"], flags].concat())
    }

    /// Waits until the validator that was started last has begun a window. What it announces at its start is
    /// in a block then: such a block lets others be final.
    pub(crate) async fn begun(&self, window: u64) {
        let is_begun = || {
            let events = self.all_events();
            let start = events.iter().rposition(|event| event["event"] == "started");
            let mut since = events.iter().skip(start.unwrap_or(events.len()));
            since.any(|event| event["event"] == "held_out" && event["window"] == window)
        };
        let mut seen = 0;
        while !is_begun() {
            seen += 1;
            self.event("held_out", seen).await;
        }
    }

    /// Waits until the validator has the objects of this many candidates of a window.
    pub(crate) async fn fetched(&self, window: u64, count: usize) {
        let of_window = |event: &Value| event["window"] == window;
        let mut seen = 0;
        while self.events("fetched").into_iter().filter(of_window).count() < count {
            seen += 1;
            self.event("fetched", seen).await;
        }
    }

    /// Waits until the validator has the objects of these miners for a window.
    pub(crate) async fn fetched_from(&self, window: u64, miners: &[&str]) {
        let mut seen = 0;
        for name in miners {
            let miner = development(name).hotkey().to_string();
            let is_it = |event: &Value| event["window"] == window && event["miner"] == miner;
            while !self.events("fetched").iter().any(is_it) {
                seen += 1;
                self.event("fetched", seen).await;
            }
        }
    }

    /// Lets keys close, and waits until the validator's downloads for a window have ended.
    pub(crate) async fn collected(&self, window: u64) {
        self.reach_final(self.heights(window).keys_close).await;
        let mut seen = 0;
        while !self.events("collected").iter().any(|event| event["window"] == window) {
            seen += 1;
            self.event("collected", seen).await;
        }
    }

    /// Returns the state after the newest final block.
    pub(crate) async fn now(&self) -> Arc<BlockState> {
        self.chain_reader.at(self.chain_reader.finalized().await.unwrap()).await.unwrap()
    }

    /// Writes a record into the commitment of a development key.
    pub(crate) async fn announce(&self, key: &KeyPair, bucket: &str, record: Record) {
        let fields = Announcement { bucket: self.bucket(bucket), record: Some(record) }.fields().unwrap();
        let set = self.chain_reader.client().set_commitment(SUBNET, fields, key);
        timeout(HANGS, set).await.expect("a commitment hangs").unwrap();
    }

    /// Returns the vote of the tested validator.
    pub(crate) async fn vote(&self, window: u64) -> Vote {
        let ours: Hotkey = HOTKEY_ADDRESS.parse().unwrap();
        let state = self.now().await;
        let votes = state.votes(self.spec.id(), &self.heights(window));
        *votes.iter().find(|(id, _)| id.hotkey == ours).expect("the validator voted").1
    }

    /// Sends the votes of the other validators: the same as the vote of the tested one.
    pub(crate) async fn vote_alike(&self, window: u64) -> Vote {
        let vote = self.vote(window).await;
        self.vote_otherwise(vote).await;
        vote
    }

    /// Sends the votes of the other validators.
    pub(crate) async fn vote_otherwise(&self, vote: Vote) {
        futures::join!(self.vote_as("Bob", vote), self.vote_as("Charlie", vote));
    }

    /// Sends a vote of another validator. Its bucket has no objects.
    pub(crate) async fn vote_as(&self, name: &str, vote: Vote) {
        let vote = Vote { score_log: ScoreLogHead::default(), possession: Possession::default(), ..vote };
        self.announce(&development(name), "unused", Record::Vote(vote)).await;
    }
}

/// Returns the hotkeys of the founders in [`Network::with_poor_founders`].
pub(crate) fn poor_founders() -> Vec<Hotkey> {
    let names = ["Charlie"].into_iter().chain(OTHER_FOUNDERS);
    names.map(|name| development(name).hotkey()).collect()
}

fn small_run(run: &mut RunFile) {
    run.train.batch = 8;
    (run.train.inner_steps, run.train.least_steps) = (8, 8);
    (run.scoring.assigned_sequences, run.scoring.common_sequences, run.scoring.own_sequences) = (32, 32, 16);
    let others = ["Bob", "Charlie"].map(|name| development(name).hotkey());
    run.acceptance.founders = [&[HOTKEY_ADDRESS.parse().unwrap()], &others[..]].concat();
}
