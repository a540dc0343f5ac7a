//! Miners as a validator sees them: objects in a bucket, claims on chain.

use crate::network::Network;
use base::{
    Hotkey, NeuronId, Window,
    digest::{ObjectHash, RunSeed, State},
};
use bytes::Bytes;
use chain::wallet::KeyPair;
use codec::{
    aggregate::{ClipBounds, StepNorms},
    sparse::compress,
    submission::{
        Expected, Header, KEY_BYTES, KeyObject, SealKey, Sealed, Submission, SubmissionLayout, encode_sealed,
    },
};
use engine::{Handle, Options, Place};
use exchange::{AcceptedObject, OwnBucket, signing_key};
use node::Run;
use protocol::{
    announcement::{Claim, Possession, Record, Vote},
    history::History,
};
use std::{convert::Infallible, ops::Range, sync::Arc, time::Duration};
use testkit::{HANGS, development};
use tokio::time::timeout;

/// The content of a miner's upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The pseudo-gradient of its training.
    Honest,
    /// An update of zeros.
    Lazy,
    /// The reverse of what it found.
    Harm,
    /// The pseudo-gradient of its training, without the key to open it.
    Keyless,
    /// Bytes that are no submission.
    Garbage,
    /// Nothing.
    Missing,
}

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// An accepted object, and the nodes that keep it.
pub(crate) struct Downloaded {
    pub(crate) object: AcceptedObject,
    pub(crate) keepers: Vec<NeuronId>,
}

/// All miners of a test, and the parameters as all nodes have them.
pub(crate) struct Miners {
    run: Run,
    model: Handle,
    history: History,
    norms: Option<StepNorms>,
    accepted: Vec<Submission<Bytes>>,
}

impl Miners {
    pub(crate) async fn start(network: &Network) -> Self {
        let verified = network.path("verified");
        let run = Run::open(&network.path("run.toml"), &network.path("data"), &verified).unwrap();
        let options = Options { place: Place::Cpu, ..Options::default() };
        let model = Handle::start(run.spec.model, options).await.unwrap();
        let RunSeed(seed) = run.spec.initial.seed;
        model.run(move |model| model.initialize(&seed)).await.unwrap();
        let history = History::new(&run.hash);
        Self { run, model, history, norms: None, accepted: Vec::new() }
    }

    /// Returns the state that the window begins with.
    pub(crate) async fn state(&self) -> State {
        let root = self.model.run(|model| model.state_root()).await.unwrap();
        self.history.state(&root)
    }

    /// Returns the possession that a hotkey must prove in its vote on the window.
    pub(crate) async fn possession(&self, network: &Network, window: u64, holder: Hotkey) -> Possession {
        let seed = network.chain_reader.hash(network.heights(window).possession_seed()).await.unwrap();
        let values = self.model.run(|model| model.parameters()).await.unwrap();
        let read = |places: Range<usize>| Ok::<_, Infallible>(values[places].to_vec());
        Possession::of(holder, seed, &self.run.flat, read).unwrap()
    }

    /// Uploads and claims the object of each miner.
    pub(crate) async fn claim(&mut self, network: &Network, window: u64, miners: &[(&str, Kind)]) {
        self.claim_in("miners", network, window, miners).await;
    }

    /// Uploads the object of each miner to a bucket, and claims it.
    pub(crate) async fn claim_in(
        &mut self,
        bucket: &str,
        network: &Network,
        window: u64,
        miners: &[(&str, Kind)],
    ) {
        let own_bucket = OwnBucket::new(network.own_bucket(bucket), self.run.hash);
        for &(name, kind) in miners {
            let key = development(name);
            let (object, bytes, opener) = self.object(network, Window(window), &key, kind).await;
            if let Some(opener) = opener.filter(|_| kind != Kind::Keyless) {
                own_bucket.put_key(Window(window), &object, &opener).await.unwrap();
            }
            if kind != Kind::Missing {
                own_bucket.put_submission(Window(window), &object, bytes).await.unwrap();
            }
            let claim = Claim { run: self.run.id, window: Window(window), object };
            network.announce(&key, bucket, Record::Claim(claim)).await;
        }
    }

    /// Uploads the objects of honest miners with their keys to a bucket, as a custodian does.
    pub(crate) async fn store(&self, network: &Network, bucket: &str, window: u64) {
        let own_bucket = OwnBucket::new(network.own_bucket(bucket), self.run.hash);
        for submission in &self.accepted {
            let (bytes, key) = submission.stored();
            own_bucket.put_key(Window(window), &submission.hash(), key.unwrap()).await.unwrap();
            own_bucket.put_submission(Window(window), &submission.hash(), bytes.into()).await.unwrap();
        }
    }

    /// Applies what honest miners sent: what the validators accept.
    pub(crate) async fn apply(&mut self, network: &Network, window: u64) {
        let decision = network.chain_reader.decide(&self.run.spec, Window(window)).await.unwrap();
        let state = self.state().await;
        self.history.push(&decision, state).unwrap();
        let mut accepted = std::mem::take(&mut self.accepted);
        accepted.retain(|sent| decision.applied().iter().any(|applied| applied.object == sent.hash()));
        assert_eq!(decision.applied().len(), accepted.len(), "{decision:?}");
        let norms = self.norms.take();
        let full = self.run.spec.train.full_work(decision.window);
        let step = self
            .model
            .run(move |model| model.apply_outer_step(&accepted, ClipBounds { last: norms.as_ref(), full }));
        self.norms = Some(step.await.unwrap().0);
    }

    /// Downloads the accepted object of a miner as another node does, as soon as a source has it. `voted` is
    /// a vote on its window.
    pub(crate) async fn download(&self, network: &Network, voted: &Vote, miner: &str) -> Downloaded {
        let (heights, run) = (network.heights(voted.window.0), &self.run);
        let decision = network.chain_reader.decide(&run.spec, voted.window).await.unwrap();
        let hotkey = development(miner).hotkey();
        let accepted = decision.applied().iter().find(|accepted| accepted.id.hotkey == hotkey).unwrap();
        let closed = network.chain_reader.at(heights.claims_close).await.unwrap();
        let votes = network.chain_reader.at(heights.votes_close).await.unwrap();
        let voters = votes.voters_for(run.id, &heights, &decision, accepted);
        let keepers = closed.keepers(run.id, &run.spec.acceptance, &heights, &accepted.object, &voters);
        let expected = run.expected(accepted.id, voted.window, voted.state);
        let attempt =
            || network.fetcher.accepted(&votes, accepted, &expected, &run.layout, &keepers, &voters);
        let object = async {
            loop {
                match attempt().await {
                    Ok(object) => return object,
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let object = timeout(HANGS, object).await.expect("no source has the object");
        Downloaded { object, keepers }
    }

    async fn object(
        &mut self,
        network: &Network,
        window: Window,
        key: &KeyPair,
        kind: Kind,
    ) -> (ObjectHash, Bytes, Option<[u8; KEY_BYTES]>) {
        if kind == Kind::Garbage {
            let bytes = vec![7u8; 600];
            let signed = bytes.len() - codec::submission::TRAILER_BYTES;
            return (ObjectHash::of(&[&bytes[..signed]]), bytes.into(), None);
        }
        let (neuron, _) = network.now().await.neuron(&key.hotkey()).unwrap();
        let values = match kind {
            Kind::Honest | Kind::Keyless => self.train(network, window, neuron).await,
            Kind::Harm => self.train(network, window, neuron).await.into_iter().map(|value| -value).collect(),
            _ => vec![0.0; self.run.flat.len()],
        };
        let expected = self.run.expected(neuron, window, self.state().await);
        let seal = SealKey::new([window.0 as u8; 32]);
        let bytes = self.encode(&expected, &values, key, &seal);
        let sealed = Sealed::open(bytes.clone(), Arc::clone(&self.run.layout), &expected).unwrap();
        let run = self.run.hash;
        let hash = sealed.hash();
        let opener = KeyObject { run, neuron, window, object: hash, key: seal }.sign(&signing_key(key));
        if kind == Kind::Honest {
            self.accepted.push(sealed.unseal(&opener).unwrap());
        }
        (hash, bytes.into(), Some(opener))
    }

    fn encode(&self, expected: &Expected, values: &[f32], key: &KeyPair, seal: &SealKey) -> Vec<u8> {
        let layout: &SubmissionLayout = &self.run.layout;
        let sent: Vec<_> = (self.run.flat.iter().zip(layout.tensors()))
            .map(|((_, place), tensor)| compress(&values[place], tensor.geometry(), layout.spec()).unwrap())
            .collect();
        let header = Header::new(expected, expected.least_samples, layout);
        encode_sealed(layout, &header, &sent, &signing_key(key), seal).unwrap()
    }

    /// Trains on a miner's own data. Returns the parameters before less those after.
    async fn train(&self, network: &Network, window: Window, neuron: NeuronId) -> Vec<f32> {
        let blocks = self.run.manifest.training_blocks();
        let assignments = network.chain_reader.assignments(&self.run.spec, window, blocks).await.unwrap();
        let sequences: Vec<u64> = assignments.of(&neuron).unwrap().sequences().collect();
        let batch = self.run.spec.train.batch as usize;
        let batches: Vec<_> = sequences.chunks(batch).map(|part| self.run.training.batch(part)).collect();
        let first = window.0 * u64::from(self.run.spec.train.inner_steps);
        self.model.train(self.run.spec.train, first, batches, None).await.unwrap().pseudo_gradient
    }
}
