//! One window, as a validator sees it: the claims, the valid submissions, the vote, and the outcome of
//! each miner.

use crate::{
    ValidatorError,
    gauntlet::{CandidateSet, TrialStep},
};
use base::{NeuronId, Uid, Window, digest::ObjectHash};
use bytes::Bytes;
use chain::Hyperparameters;
use codec::submission::{Sealed, Submission};
use exchange::{BlockState, Claimed, FetchError};
use futures::{StreamExt as _, stream};
use node::Node;
use protocol::{
    acceptance::{Candidate, candidates},
    announcement::{Bits, Claim, Possession},
    clock::Heights,
};
use scoring::{
    gauntlet::{Evaluation, Fault, Outcome},
    score_log::{MinerLine, ScoreLog},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};
use telemetry::target::WINDOW;

/// The most submissions that are downloaded at once.
const AT_ONCE: usize = 8;

/// The claims of a window, and the submissions or failures behind them.
#[derive(Debug)]
pub struct FetchedWindow {
    /// The window's heights.
    pub heights: Heights,
    /// The chain at `D_w`.
    pub closed: Arc<BlockState>,
    /// The miners that may be accepted, in the order of a vote's bits.
    pub candidates: Vec<Candidate>,
    /// All claims.
    pub claims: BTreeMap<NeuronId, Claim>,
    /// The valid submissions.
    pub candidate_set: Arc<CandidateSet>,
    /// The other claims, each with the reason why it has no valid submission.
    pub failures: BTreeMap<NeuronId, FetchFailure>,
    /// The time that downloads and checks took.
    pub seconds: f64,
}

/// The reason why a claim has no valid submission.
#[derive(Debug)]
pub struct FetchFailure {
    /// The error.
    pub error: FetchError,
    /// The miner's fault, or `None` if this validator could not download it.
    pub fault: Option<Fault>,
}

/// The results of the Gauntlet.
#[derive(Debug)]
pub struct Measured {
    /// The chain at `S_w`.
    pub seeded: Arc<BlockState>,
    /// The subnet's rules after that block.
    pub rules: Hyperparameters,
    /// The loss on unassigned data before any update.
    pub unassigned_before: f64,
    /// The evaluated miners.
    pub evaluations: BTreeMap<NeuronId, Evaluation>,
    /// The time that it took.
    pub seconds: f64,
}

/// Downloads and checks all claimed submissions of the next window. Opens sealed ones with the keys that are
/// published before block `K_w` is final. A sealed submission without a key counts as missing.
///
/// # Errors
/// The chain cannot be read, or the node is being stopped.
pub async fn fetch_window(node: &Node, window: Window) -> Result<FetchedWindow, ValidatorError> {
    let started = Instant::now();
    let (run, network) = (node.shared.run(), &node.network);
    let heights = run.clock.heights(window)?;
    let incentives = network.at(heights.incentives).await?;
    let closed = network.at(heights.claims_close).await?;
    let candidates =
        candidates(run.id, &run.spec.acceptance, &heights, &incentives.snapshot, &closed.snapshot)?;
    let claims = closed.claims(run.id, window);

    // Candidates come first, since their votes have a deadline.
    let first: BTreeSet<_> = candidates.iter().map(|candidate| candidate.id).collect();
    let rest = claims.keys().filter(|id| !first.contains(*id)).copied();
    let order: Vec<NeuronId> = candidates.iter().map(|candidate| candidate.id).chain(rest).collect();
    let fetched = stream::iter(order).map(|miner| fetch(node, &closed, miner, &claims[&miner]));
    let fetched: Vec<_> = network.unless_stopped(fetched.buffer_unordered(AT_ONCE).collect()).await?;
    let opened = open(node, &heights, &closed, fetched).await?;
    let (submissions, failures) = sort_out(opened);

    let medians = node.shared.progress().medians.clone();
    let step = TrialStep::new(&run.spec.sparse, &run.spec.scoring);
    let candidate_set = Arc::new(CandidateSet::new(submissions, medians.as_ref(), step)?);
    let seconds = started.elapsed().as_secs_f64();
    Ok(FetchedWindow { heights, closed, candidates, claims, candidate_set, failures, seconds })
}

/// A miner, and the result of following up its claim.
type FollowedUp<T> = (NeuronId, Result<T, FetchError>);

async fn fetch(node: &Node, closed: &BlockState, miner: NeuronId, claim: &Claim) -> FollowedUp<Claimed> {
    let run = node.shared.run();
    let expected = run.expected(miner, claim.window, node.shared.state());
    (miner, node.network.fetcher.claimed(closed, claim, &expected, &run.layout).await)
}

/// Opens the sealed submissions. Asks for the missing keys with every block, for the last time when `K_w` is
/// final.
async fn open(
    node: &Node,
    heights: &Heights,
    closed: &BlockState,
    fetched: Vec<FollowedUp<Claimed>>,
) -> Result<Vec<FollowedUp<Submission<Bytes>>>, ValidatorError> {
    let (mut opened, mut locked) = (Vec::new(), Vec::new());
    for (miner, claimed) in fetched {
        match claimed {
            Ok(Claimed::Open(submission)) => opened.push((miner, Ok(submission))),
            Ok(Claimed::Sealed(sealed)) => locked.push(Box::new(sealed)),
            Err(error) => opened.push((miner, Err(error))),
        }
    }
    while !locked.is_empty() {
        let asked_at = node.network.height();
        let asked = stream::iter(locked).map(|sealed| try_key(node, closed, sealed));
        let asked: Vec<_> = node.network.unless_stopped(asked.buffer_unordered(AT_ONCE).collect()).await?;
        locked = Vec::new();
        for tried in asked {
            match tried {
                Err((sealed, error)) if error.is_retryable() && asked_at < heights.keys_close => {
                    tracing::debug!(target: WINDOW, error = %base::ErrorChain(&error), "no key yet");
                    locked.push(sealed);
                }
                Err((sealed, error)) => opened.push((sealed.header().neuron, Err(error))),
                Ok(done) => opened.push(done),
            }
        }
        if !locked.is_empty() {
            node.network.wait_for(asked_at.next()).await?;
        }
    }
    Ok(opened)
}

/// Opens a submission with its key, if the key is published.
async fn try_key(
    node: &Node,
    closed: &BlockState,
    sealed: Box<Sealed>,
) -> Result<FollowedUp<Submission<Bytes>>, (Box<Sealed>, FetchError)> {
    let fetcher = &node.network.fetcher;
    match fetcher.key(closed, &sealed).await {
        Ok(key) => Ok((sealed.header().neuron, fetcher.unseal(*sealed, key).await)),
        Err(error) => Err((sealed, error)),
    }
}

/// Separates the submissions from the failures. If no bucket answers at all, this validator is cut off,
/// and no miner is at fault.
fn sort_out(
    fetched: Vec<FollowedUp<Submission<Bytes>>>,
) -> (BTreeMap<NeuronId, Submission<Bytes>>, BTreeMap<NeuronId, FetchFailure>) {
    let cut_off = fetched.iter().all(|(_, got)| got.as_ref().is_err_and(FetchError::is_unreachable));
    let (mut submissions, mut failures) = (BTreeMap::new(), BTreeMap::new());
    for (miner, got) in fetched {
        match got {
            Ok(submission) => drop(submissions.insert(miner, submission)),
            Err(error) => {
                let fault = error.fault().filter(|_| !cut_off);
                drop(failures.insert(miner, FetchFailure { error, fault }));
            }
        }
    }
    (submissions, failures)
}

impl FetchedWindow {
    /// Returns the bits of a vote for these miners.
    #[must_use]
    pub fn bits(&self, good: &BTreeSet<NeuronId>) -> Bits {
        let places = self.candidates.iter().enumerate().filter(|(_, candidate)| good.contains(&candidate.id));
        Bits::of(places.map(|(place, _)| place))
    }

    /// Returns the proof that this validator holds the submissions of these miners.
    #[must_use]
    pub fn possession(&self, holder: base::Hotkey, good: &BTreeSet<NeuronId>) -> Possession {
        let voted = self.candidates.iter().filter(|candidate| good.contains(&candidate.id));
        Possession::of(holder, voted.filter_map(|c| self.candidate_set.get(&c.id)).map(Submission::bytes))
    }

    /// Returns the miners whose submissions this validator could not download, by no fault of theirs.
    pub fn cut_off(&self) -> impl Iterator<Item = NeuronId> {
        self.failures.iter().filter(|(_, failure)| failure.fault.is_none()).map(|(&miner, _)| miner)
    }

    /// Returns the outcome of each miner with a claim, and of each rated miner. `last` is the previous log.
    #[must_use]
    pub fn lines(&self, measured: &Measured, last: Option<&ScoreLog>) -> BTreeMap<NeuronId, MinerLine> {
        let claimed = self.claims.iter().map(|(&miner, claim)| {
            let uid = self.closed.neuron(&miner.hotkey).map(|(_, uid)| uid);
            (miner, claim.object, uid, self.outcome(miner, measured))
        });
        let rated = last.into_iter().flat_map(|last| last.stated.standings.iter());
        let absent = rated.filter(|(miner, _)| !self.claims.contains_key(miner)).map(|(&miner, _)| {
            let uid = last.and_then(|last| last.miners.get(&miner)).map(|line| line.uid);
            (miner, ObjectHash::default(), uid, Outcome::Failed(Fault::Absent))
        });
        let line = |(miner, object, known, outcome): (NeuronId, ObjectHash, Option<Uid>, Outcome)| {
            let now = measured.seeded.neuron(&miner.hotkey).filter(|(id, _)| *id == miner);
            let line = match now {
                Some((_, uid)) => MinerLine { uid, object, outcome },
                None => MinerLine { uid: known.unwrap_or_default(), object, outcome: Outcome::Gone },
            };
            (miner, line)
        };
        claimed.chain(absent).map(line).collect()
    }

    fn outcome(&self, miner: NeuronId, measured: &Measured) -> Outcome {
        let fault = self.failures.get(&miner).and_then(|failure| failure.fault);
        match (measured.evaluations.get(&miner), fault) {
            (Some(evaluation), _) => Outcome::Evaluated(*evaluation),
            (None, Some(fault)) => Outcome::Failed(fault),
            (None, None) => Outcome::Skipped,
        }
    }
}
