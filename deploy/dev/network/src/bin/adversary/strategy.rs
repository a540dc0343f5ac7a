//! The dishonest strategies: the updates that adversaries make.

use crate::copy;
use base::{Height, Window, digest::State};
use bytes::Bytes;
use codec::{sparse::Source, submission::Submission};
use devnet::roster::Kind;
use miner::{
    MinerError, PreparedUpdate, SparseLoCo, StepTime, Strategy, TrainedWindow, Upload,
    work::{compress_all, train, write},
};
use node::{Background, Node};
use protocol::machine::miner::ClaimTime;
use std::{path::PathBuf, time::Instant};

/// The largest value of a noisy update: about the change of a parameter in a window of training.
const NOISE: f32 = 5e-3;
/// The size of a huge object in bytes beyond the largest submission that the run allows.
const EXCESS: u64 = 1 << 20;

/// The strategy of a dishonest miner.
pub(crate) struct Adversary {
    kind: Kind,
    /// The honest strategy, for kinds that do honest work but claim late or hide the key.
    sparse_loco: SparseLoCo,
    /// The state from which the previous window was trained.
    last: State,
}

impl Adversary {
    pub(crate) async fn resume(
        kind: Kind,
        node: &Node,
        folder: PathBuf,
        kept: Vec<Submission<Bytes>>,
    ) -> Result<Self, MinerError> {
        let sparse_loco = SparseLoCo::resume(node, folder, kept).await?;
        Ok(Self { kind, sparse_loco, last: State([0; 32]) })
    }

    /// Prepares a well-formed update of random values.
    fn noise(&self, node: &Node, window: Window) -> Result<PreparedUpdate, MinerError> {
        let mut bytes = vec![0; 4 * node.shared.run().flat.len()];
        random_stream(node, window).fill(&mut bytes);
        let value = |four: &[u8; 4]| (u32::from_le_bytes(*four) as f32 / u32::MAX as f32 - 0.5) * 2.0 * NOISE;
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(value).collect();
        encode_update(node, window, node.shared.base(), &values)
    }

    /// Prepares an update of an old state: it names the base of the previous window. In the first
    /// window it names a state that never existed.
    fn stale(
        &self,
        node: &Node,
        window: Window,
        trained: &TrainedWindow,
    ) -> Result<PreparedUpdate, MinerError> {
        let update = encode_update(node, window, self.last, &trained.pseudo_gradient)?;
        Ok(PreparedUpdate { trained: Some(trained.figures), ..update })
    }
}

impl Strategy for Adversary {
    /// `None` of the kinds that do no work.
    type Trained = Option<TrainedWindow>;

    fn train(
        &mut self,
        node: &Node,
        window: Window,
        from: Height,
    ) -> Background<Result<Self::Trained, MinerError>> {
        let mut honest = match self.kind {
            Kind::Late | Kind::Keyless => Some(self.sparse_loco.train(node, window, from)),
            Kind::Stale => Some(train(node, window, from, None, &StepTime::default())),
            _ => None,
        };
        let network = node.network.clone();
        Background::start(move || async move {
            network.wait_for(from).await?;
            let Some(training) = &mut honest else { return Ok(None) };
            training.finish().await.transpose()
        })
    }

    async fn make(
        &mut self,
        node: &Node,
        window: Window,
        trained: Self::Trained,
    ) -> Result<PreparedUpdate, MinerError> {
        let most = node.shared.run().layout.most_bytes();
        let base = node.shared.base();
        let update = match (self.kind, trained) {
            (Kind::Noise, _) => self.noise(node, window),
            (Kind::Lazy, _) => encode_update(node, window, base, &vec![0.0; node.shared.run().flat.len()]),
            (Kind::Late | Kind::Keyless, Some(trained)) => self.sparse_loco.make(node, window, trained).await,
            (Kind::Stale, Some(trained)) => self.stale(node, window, &trained),
            (Kind::Late | Kind::Keyless | Kind::Stale, None) => Err(MinerError::NothingToSend(window)),
            (Kind::Copycat, _) => copy::one(node, window).await,
            (Kind::Mixcopy, _) => copy::mixture(node, window).await,
            (Kind::Huge, _) => Ok(random(node, window, most + EXCESS)),
            (Kind::Garbage, _) => Ok(random(node, window, most / 2)),
        };
        self.last = base;
        update
    }

    async fn settle(&mut self, node: &Node) -> Result<usize, MinerError> {
        self.sparse_loco.settle(node).await
    }

    fn reveals(&self) -> bool {
        self.kind != Kind::Keyless
    }

    fn claim_time(&self) -> ClaimTime {
        match self.kind {
            Kind::Late => ClaimTime::Late,
            _ => ClaimTime::InTime,
        }
    }
}

/// Encodes these values as an update of the state `base`.
pub(crate) fn encode_update(
    node: &Node,
    window: Window,
    base: State,
    values: &[f32],
) -> Result<PreparedUpdate, MinerError> {
    let started = Instant::now();
    let tensors = compress_all(Source::Values(values), &node.shared.run().layout, 1)?;
    let samples = node.shared.run().spec.train.samples();
    let upload = write(node, window, (base, samples), &tensors)?;
    Ok(PreparedUpdate { upload, trained: None, compress_seconds: started.elapsed().as_secs_f64() })
}

/// Prepares an object of `length` random bytes.
fn random(node: &Node, window: Window, length: u64) -> PreparedUpdate {
    let started = Instant::now();
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    random_stream(node, window).fill(&mut bytes);
    let upload = Upload::of_bytes(bytes);
    PreparedUpdate { upload, trained: None, compress_seconds: started.elapsed().as_secs_f64() }
}

/// Returns a random stream for this miner in this window. It is the same after a restart.
fn random_stream(node: &Node, window: Window) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key("muster v1 adversary");
    hasher
        .update(&node.shared.run().hash.0)
        .update(node.identity.neuron.hotkey.as_bytes())
        .update(&window.0.to_le_bytes());
    hasher.finalize_xof()
}
