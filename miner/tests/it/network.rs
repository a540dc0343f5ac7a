//! A testbed for one miner; the validators are played by the tests.

use base::{
    Window,
    digest::{ScoreLogHead, State},
};
use chain::{Client, Options as ChainOptions};
use devchain::Genesis;
use protocol::announcement::{Announcement, Bits, Bucket, Possession, Record, Vote};
use std::{fs, ops::Deref, process::Command};
use testkit::{HANGS, Running, SUBNET, Setup, Testbed, development, wallet::HOTKEY_ADDRESS};
use tokio::time::timeout;

/// Everything that a miner needs.
pub(crate) struct Network(Testbed);

impl Deref for Network {
    type Target = Testbed;

    fn deref(&self) -> &Testbed {
        &self.0
    }
}

impl Network {
    /// Starts a network whose chain stands still at its first blocks.
    pub(crate) async fn start() -> Self {
        Self::with(&|_| {}).await
    }

    /// Starts the same network with another beginning of the chain.
    pub(crate) async fn with(change: &dyn Fn(&mut Genesis)) -> Self {
        let genesis = |genesis: &mut Genesis| {
            let mut miner = genesis.neurons[1].clone();
            (miner.hotkey, miner.stake, miner.permit) = (HOTKEY_ADDRESS.parse().unwrap(), 0, false);
            genesis.neurons.push(miner);
            change(genesis);
        };
        let setup = Setup { genesis: &genesis, ..Setup::new("miner", env!("CARGO_BIN_EXE_miner")) };
        let network = Self(Testbed::start(setup).await);
        network.configure(|text| text);
        network
    }

    /// Writes the miner's configuration, changed.
    pub(crate) fn configure(&self, change: impl FnOnce(String) -> String) {
        fs::write(self.path("miner.toml"), change(self.configuration() + "save_every = 1\n")).unwrap();
    }

    /// Returns the command `miner run` with this configuration and an empty environment.
    pub(crate) fn command(&self) -> Command {
        self.0.command(&["run"])
    }

    /// Starts the miner; its log is in a file.
    pub(crate) fn spawn(&self) -> Running {
        self.0.spawn(&["run"])
    }

    /// Sends the votes of all three validators: the only candidate is good, and the state is this one.
    pub(crate) async fn vote(&self, window: Window, state: State) {
        let client =
            Client::connect(ChainOptions { block_time: HANGS, ..ChainOptions::new([self.chain.url()]) });
        let client = client.await.unwrap();
        let votes = ["Alice", "Bob", "Charlie"].map(|name| {
            let client = client.clone();
            let run = self.spec.id();
            async move {
                let vote = Vote {
                    run,
                    window,
                    good: Bits::of([0]),
                    state,
                    score_log: ScoreLogHead([0; 32]),
                    possession: Possession::default(),
                };
                let bucket = Bucket::s3("https://127.0.0.1:1", "local", "nowhere", None).unwrap();
                let fields = Announcement { bucket, record: Some(Record::Vote(vote)) }.fields().unwrap();
                client.set_commitment(SUBNET, fields, &development(name)).await.unwrap();
            }
        });
        timeout(HANGS, futures::future::join_all(votes)).await.expect("a vote hangs");
    }
}
