//! A testbed for one miner; the validators are played by the tests.

use base::{
    Height, Hotkey, Mechanism, NeuronId, Window,
    digest::{ScoreLogHead, State},
};
use chain::{Client, Options as ChainOptions};
use devchain::Genesis;
use exchange::{ChainReader, OwnBucket};
use protocol::{
    announcement::{AddressPolicy, Announcement, Bits, Bucket, Possession, Record, Vote},
    clock::Heights,
    run_spec::RunFile,
};
use std::{fs, ops::Deref, process::Command};
use storage::Storage;
use testkit::{HANGS, LAG, Running, SUBNET, Setup, Testbed, VALIDATORS, development, wallet::HOTKEY_ADDRESS};
use tokio::time::timeout;

/// Returns a height that leaves room for transactions before claims close, one after the other is final:
/// the announcement of a bucket, and claims.
pub(crate) fn before_claims_close(heights: &Heights, transactions: u64) -> Height {
    Height(heights.claims_close.0 - transactions * (1 + u64::from(LAG)))
}

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
        Self::start_with(change, |_| {}).await
    }

    /// Starts the same network with another run.
    pub(crate) async fn with_run(run: fn(&mut RunFile)) -> Self {
        Self::start_with(&|_| {}, run).await
    }

    async fn start_with(change: &dyn Fn(&mut Genesis), run: fn(&mut RunFile)) -> Self {
        let genesis = |genesis: &mut Genesis| {
            let mut miner = genesis.neurons[1].clone();
            (miner.hotkey, miner.stake, miner.permit) = (HOTKEY_ADDRESS.parse().unwrap(), 0, false);
            genesis.neurons.push(miner);
            change(genesis);
        };
        let others = &["stranger", "custodian"];
        let setup =
            Setup { genesis: &genesis, others, run, ..Setup::new("miner", env!("CARGO_BIN_EXE_miner")) };
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
        let nowhere = Bucket::s3("https://127.0.0.1:1", "local", "nowhere", None).unwrap();
        self.vote_for(window, Bits::of([0]), state, nowhere).await;
    }

    /// Sends the votes of all three validators, which announce this bucket.
    pub(crate) async fn vote_for(&self, window: Window, good: Bits, state: State, bucket: Bucket) {
        let (score_log, possession) = (ScoreLogHead([0; 32]), Possession::default());
        let vote = Vote { run: self.spec.id(), window, good, state, score_log, possession };
        let announcement = Announcement { bucket, record: Some(Record::Vote(vote)) };
        let sent = VALIDATORS.map(|name| self.announce(name, announcement.clone()));
        futures::future::join_all(sent).await;
    }

    async fn client(&self) -> Client {
        let options = ChainOptions { block_time: HANGS, ..ChainOptions::new([self.chain.url()]) };
        Client::connect(options).await.unwrap()
    }

    /// Returns the neuron of a development key.
    pub(crate) async fn neuron(&self, name: &str) -> NeuronId {
        self.id(&development(name).hotkey()).await
    }

    /// Returns the neuron of a hotkey.
    pub(crate) async fn id(&self, hotkey: &Hotkey) -> NeuronId {
        let reader = ChainReader::new(self.client().await, SUBNET, Mechanism::MAIN);
        let state = reader.at(reader.finalized().await.unwrap()).await.unwrap();
        state.neuron(hotkey).unwrap().0
    }

    /// Writes the commitment of a development key.
    pub(crate) async fn announce(&self, name: &str, announcement: Announcement) {
        let client = self.client().await;
        let (fields, key) = (announcement.fields().unwrap(), development(name));
        let set = client.set_commitment(SUBNET, fields, &key);
        timeout(HANGS, set).await.expect("a commitment hangs").unwrap();
    }

    /// Returns the bucket of this name, to write to.
    pub(crate) fn own_bucket(&self, name: &str) -> OwnBucket {
        let storage = Storage::new(AddressPolicy::PublicOrLoopback);
        let bucket = storage.own_bucket(&self.bucket(name), &self.writer(name)).unwrap();
        OwnBucket::new(bucket, self.spec.hash())
    }
}
