//! Tests of windows on a development chain: the chain reader's decisions equal those of `protocol` from the
//! same blocks.

use crate::support::*;
use base::{
    Height, Hotkey, Mechanism, NeuronId, Window,
    commitment::Commitment,
    digest::{DatasetHash, ObjectHash, RunId, ScoreLogHead, State, StateRoot, TokenizerHash},
};
use chain::{Client, Options};
use devchain::{Config, Devchain, Genesis, Pace};
use devchain_genesis::neuron;
use exchange::{ChainReader, CommitmentWriter, ExchangeError};
use futures::future::join_all;
use protocol::{
    acceptance::{Decision, Evidence, NeuronState, NullWindow, Snapshot, decide},
    announcement::{self, Bits, Claim, Possession, Record, Vote},
    assignment::Assignments,
    clock::{Heights, WindowSpec},
    history::History,
    run_spec::{RunFile, RunSpec},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

/// Neurons of the chain, with stake for the validators.
mod devchain_genesis {
    use super::{Genesis, wallet};

    /// Adds a neuron to a genesis.
    pub(super) fn neuron(genesis: &mut Genesis, name: &str, stake: u64) {
        let mut neuron = genesis.neurons[0].clone();
        neuron.hotkey = serde_json::from_value(wallet(name).hotkey().to_string().into()).unwrap();
        (neuron.stake, neuron.permit) = (stake, stake > 0);
        genesis.neurons.push(neuron);
    }
}

const TAO: u64 = base::RAO_PER_TAO;
const MINERS: [&str; 2] = ["miner-0", "miner-1"];
const VALIDATORS: [&str; 3] = ["val-a", "val-b", "val-c"];
/// A limit that only a hanging test reaches.
const HANGS: Duration = Duration::from_secs(240);

pub(crate) struct Chain {
    chain: Devchain,
    pub(crate) client: Client,
    pub(crate) chain_reader: ChainReader,
}

pub(crate) fn claim_of(run: RunId, window: u64, object: u8) -> Claim {
    Claim { run, window: Window(window), object: ObjectHash([object; 32]) }
}

impl Chain {
    pub(crate) async fn start() -> Self {
        Self::start_with_space(1_000_000).await
    }

    /// Starts a chain that seals blocks only on request.
    pub(crate) async fn start_with_space(space: u32) -> Self {
        let mut genesis = Genesis { commitment_space: space, ..Genesis::default() };
        genesis.neurons.truncate(1);
        VALIDATORS.iter().for_each(|name| neuron(&mut genesis, name, 10_000 * TAO));
        MINERS.iter().for_each(|name| neuron(&mut genesis, name, 0));
        genesis.subnet.tempo = 300;
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            block_time_ms: 20,
            genesis: Some(genesis),
            pace: Pace::Outside,
            ..Config::default()
        };
        let chain = Devchain::start(config).await.unwrap();
        let options = Options {
            block_time: Duration::from_millis(20),
            stall_blocks: 1_000_000,
            patience: Duration::from_secs(60),
            transaction_timeout: HANGS,
            ..Options::new([chain.url()])
        };
        let client = Client::connect(options).await.unwrap();
        let chain_reader = ChainReader::new(client.clone(), SUBNET, Mechanism::MAIN);
        Self { chain, client, chain_reader }
    }

    pub(crate) async fn stop(self) {
        self.chain.shutdown().await;
    }

    pub(crate) fn commitment_writer(&self, name: &str) -> CommitmentWriter {
        let bucket = announced(([127, 0, 0, 1], 9000).into(), name);
        CommitmentWriter::new(self.client.clone(), SUBNET, wallet(name), bucket)
    }

    pub(crate) async fn advance(&self, blocks: u32) {
        self.chain.handle().fast_forward(blocks).await.unwrap();
    }

    async fn advance_to(&self, height: Height) {
        let head = self.chain.handle().status().await.unwrap().node.height;
        self.advance(u32::try_from(height.0).unwrap() - head).await;
    }

    /// Seals a block as soon as a transaction waits, and runs the future to its end.
    pub(crate) async fn sealing<T>(&self, work: impl Future<Output = T>) -> T {
        self.sealing_when(1, work).await
    }

    /// Seals a block as soon as this number of transactions waits, and runs the future to its end.
    async fn sealing_when<T>(&self, transactions: usize, work: impl Future<Output = T>) -> T {
        let handle = self.chain.handle();
        let seal = async {
            while handle.status().await.unwrap().node.ready < transactions {
                tokio::task::yield_now().await;
            }
            handle.new_block(1).await.unwrap();
        };
        let both = async { tokio::join!(work, seal).0 };
        tokio::time::timeout(HANGS, both).await.expect("the test hangs")
    }

    /// Announces records, all in one block.
    async fn announce(&self, records: &[(&str, Record)]) {
        let announce = async |name: &str, record| self.commitment_writer(name).record(record).await.unwrap();
        let all = join_all(records.iter().map(|(name, record)| announce(name, *record)));
        self.sealing_when(records.len(), all).await;
    }

    /// Returns a run of twelve blocks per window, from block 30 on.
    fn run(&self) -> RunSpec {
        let mut file: RunFile = tiny();
        file.window = WindowSpec {
            blocks: 12,
            count: 3,
            finality_lag: 0,
            publishing: 1,
            screening: 1,
            claims_close: 2,
            keys_close: 4,
            seed: 5,
            votes_close: 7,
        };
        file.network.genesis = Some(self.client.genesis());
        file.network.start_block = Some(Height(30));
        file.data.tokenizer = Some(TokenizerHash([1; 32]));
        file.data.dataset = Some(DatasetHash([2; 32]));
        file.initial.root = Some(StateRoot([3; 32]));
        file.acceptance.founders = VALIDATORS.map(|name| wallet(name).hotkey()).to_vec();
        file.acceptance.founders.sort_unstable();
        file.complete().unwrap()
    }

    async fn id(&self, name: &str) -> NeuronId {
        let head = self.chain_reader.finalized().await.unwrap();
        self.chain_reader.at(head).await.unwrap().neuron(&wallet(name).hotkey()).unwrap().0
    }

    /// Returns the snapshot that `protocol` makes of a block, from the client's own answers.
    async fn snapshot(&self, height: Height) -> Snapshot {
        let hash = self.client.block_hash(height).await.unwrap();
        let at = self.client.at(hash);
        let metagraph = at.metagraph(SUBNET).await.unwrap();
        let commitments = at.commitments_of(SUBNET, &metagraph.hotkeys()).await.unwrap();
        let neurons = metagraph.neurons.iter().map(|neuron| NeuronState {
            id: NeuronId { hotkey: neuron.hotkey, registered: neuron.registered },
            incentive: neuron.incentive,
            stake: neuron.stake_weight,
            permit: neuron.permit,
        });
        let record = |(hotkey, commitment): &(Hotkey, Commitment)| {
            let record = *announcement::read(&commitment.fields).record()?;
            Some((*hotkey, Height(commitment.block.into()), record))
        };
        let records = commitments.valid.iter().filter_map(record);
        Snapshot::new(height, hash, neurons, records).unwrap()
    }

    /// Returns the decision, computed directly with `protocol`.
    async fn decided(&self, spec: &RunSpec, heights: &Heights) -> Decision {
        let incentives = self.snapshot(heights.incentives).await;
        let claims = self.snapshot(heights.claims_close).await;
        let votes = self.snapshot(heights.votes_close).await;
        let evidence = Evidence { incentives: Some(&incentives), claims: Some(&claims), votes: Some(&votes) };
        decide(spec.id(), &spec.acceptance, heights, &evidence).unwrap()
    }
}

fn vote(run: RunId, window: u64, good: Bits, state: State) -> Record {
    let score_log = ScoreLogHead([6; 32]);
    let possession = Possession([7; 32]);
    Record::Vote(Vote { run, window: Window(window), good, state, score_log, possession })
}

#[tokio::test]
async fn a_window_is_decided_as_common_decides_it() {
    let chain = Chain::start().await;
    let spec = chain.run();
    let run = spec.id();
    let heights = spec.clock().unwrap().heights(Window(0)).unwrap();

    // Both miners claim. Nothing is decided before the block is final.
    chain.advance_to(Height(heights.first.0 + 2)).await;
    let claims = [0, 1].map(|n| (MINERS[n], Record::Claim(claim_of(run, 0, n as u8 + 1))));
    chain.announce(&claims).await;
    let error = chain.chain_reader.decide(&spec, Window(0)).await.unwrap_err();
    assert!(
        matches!(error, ExchangeError::NotFinal { height, .. } if height == heights.votes_close),
        "{error}"
    );
    assert!(error.is_retryable() && !error.is_pruned());

    chain.advance_to(heights.claims_close).await;
    let state = chain.chain_reader.at(heights.claims_close).await.unwrap();
    let ids = [chain.id(MINERS[0]).await, chain.id(MINERS[1]).await];
    let claimed: BTreeMap<_, _> = [0, 1].map(|n| (ids[n], claim_of(run, 0, n as u8 + 1))).into();
    assert_eq!(state.claims(run, Window(0)), claimed);
    assert!(state.claims(run, Window(1)).is_empty() && state.claims(RunId([1; 8]), Window(0)).is_empty());

    // Two validators find both candidates good. The third finds only the first one good, with another
    // state.
    let truth = History::new(&spec.hash()).state(&spec.initial.root);
    let other = State([9; 32]);
    let votes = [
        (VALIDATORS[0], vote(run, 0, Bits::of([0, 1]), truth)),
        (VALIDATORS[1], vote(run, 0, Bits::of([0, 1]), truth)),
        (VALIDATORS[2], vote(run, 0, Bits::of([0]), other)),
    ];
    chain.announce(&votes).await;
    chain.advance_to(heights.votes_close).await;

    let decision = chain.chain_reader.decide(&spec, Window(0)).await.unwrap();
    assert_eq!(decision, chain.decided(&spec, &heights).await);
    assert_eq!(decision.state, Some(truth));
    let accepted: BTreeSet<_> = decision.applied().iter().map(|accepted| accepted.id).collect();
    assert_eq!(accepted, ids.into());

    let at = chain.chain_reader.at(heights.votes_close).await.unwrap();
    let voters: BTreeSet<_> = at.votes(run, &heights).into_keys().collect();
    assert_eq!((voters.len(), &voters), (3, &decision.turnout));
    let both = [chain.id(VALIDATORS[0]).await, chain.id(VALIDATORS[1]).await].into();
    for accepted in decision.applied() {
        assert_eq!(at.voters_for(run, &heights, &decision, accepted), both, "not who has another state");
    }
    let permitted: Vec<_> =
        at.permitted().into_iter().map(|(id, stake)| (voters.contains(&id), stake)).collect();
    assert_eq!(permitted.len(), 3, "{permitted:?}");
    assert!(permitted.iter().all(|&(votes, stake)| votes && stake > 0), "{permitted:?}");

    // The next window is decided as well, although no neuron announces anything.
    let next = spec.clock().unwrap().heights(Window(1)).unwrap();
    chain.advance_to(next.votes_close).await;
    let null = chain.chain_reader.decide(&spec, Window(1)).await.unwrap();
    assert_eq!(null, chain.decided(&spec, &next).await);
    assert_eq!(null.accepted, Err(NullWindow::NoVotes));
    let error = chain.chain_reader.decide(&spec, Window(3)).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Clock(_)) && !error.is_retryable(), "{error}");
    chain.stop().await;
}

/// Checks that claims after `D_w` and votes before it do not count.
#[tokio::test]
async fn claims_too_late_and_votes_too_early_do_not_stand() {
    let chain = Chain::start().await;
    let spec = chain.run();
    let run = spec.id();
    let heights = spec.clock().unwrap().heights(Window(0)).unwrap();
    chain.advance_to(Height(heights.claims_close.0 - 1)).await;
    let early = vote(run, 0, Bits::default(), State([1; 32]));
    chain.announce(&[(VALIDATORS[0], early)]).await; // In block `D_w` itself.
    chain.announce(&[(MINERS[0], Record::Claim(claim_of(run, 0, 1)))]).await;
    chain.advance_to(heights.votes_close).await;
    let at = chain.chain_reader.at(heights.claims_close).await.unwrap();
    assert!(at.claims(run, Window(0)).is_empty());
    let at = chain.chain_reader.at(heights.votes_close).await.unwrap();
    assert_eq!(at.claims(run, Window(0)).len(), 1, "it stands by then, for nothing");
    assert!(at.votes(run, &heights).is_empty());
    let decision = chain.chain_reader.decide(&spec, Window(0)).await.unwrap();
    assert!(decision.candidates.is_empty() && decision.turnout.is_empty(), "{decision:?}");
    chain.stop().await;
}

#[tokio::test]
async fn data_is_assigned_as_common_assigns_it() {
    let chain = Chain::start().await;
    let spec = chain.run();
    let error = chain.chain_reader.assignments(&spec, Window(0), 1000).await.unwrap_err();
    assert!(matches!(error, ExchangeError::NotFinal { .. }), "{error}");
    chain.advance_to(Height(20)).await;
    let ours = chain.chain_reader.assignments(&spec, Window(0), 1000).await.unwrap();
    let hash = chain.client.block_hash(Height(20)).await.unwrap();
    let metagraph = chain.client.at(hash).metagraph(SUBNET).await.unwrap();
    let neurons: Vec<_> =
        metagraph.neurons.iter().map(|n| NeuronId { hotkey: n.hotkey, registered: n.registered }).collect();
    assert_eq!(neurons.len(), 6);
    let samples = spec.train.samples();
    let theirs = Assignments::new(&spec.hash(), Window(0), hash, neurons.clone(), samples, 1000).unwrap();
    for neuron in &neurons {
        let blocks = |of: &Assignments| of.of(neuron).unwrap().blocks().collect::<Vec<_>>();
        assert_eq!(blocks(&ours), blocks(&theirs));
    }
    let error = chain.chain_reader.assignments(&spec, Window(0), 3).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Assignment(_)) && !error.is_retryable(), "{error}");
    chain.stop().await;
}

#[tokio::test]
async fn what_was_read_is_not_asked_for_again() {
    let chain = Chain::start().await;
    chain.advance_to(Height(40)).await;
    let first = chain.chain_reader.at(Height(1)).await.unwrap();
    assert_eq!(*first, *chain.chain_reader.at(Height(1)).await.unwrap());
    let hash = chain.client.block_hash(Height(1)).await.unwrap();
    assert_eq!(
        (first.height, first.hash, chain.chain_reader.hash(Height(1)).await.unwrap()),
        (Height(1), hash, hash)
    );
    for height in 2..40 {
        chain.chain_reader.at(Height(height)).await.unwrap();
    }
    let kept = chain.chain_reader.clone();
    let last = kept.at(Height(39)).await.unwrap();
    let block = chain.client.finalized().await.unwrap();
    assert_eq!(block.height, Height(40));
    kept.saw(&block);
    chain.chain.shutdown().await;

    // Without a chain, the cache of all clones still answers.
    assert_eq!(chain.chain_reader.at(Height(39)).await, Ok(last));
    assert_eq!(chain.chain_reader.hash(Height(40)).await, Ok(block.hash));
}
