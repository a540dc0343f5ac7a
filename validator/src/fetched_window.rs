//! One window, as a validator sees it: what was claimed, what of it is a submission, who is voted for, and what becomes of
//! each miner.

use crate::{ValidatorError, gauntlet::CandidateSet};
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

/// Submissions that are fetched at once.
const AT_ONCE: usize = 8;

/// What was claimed for a window, and what was found under it.
#[derive(Debug)]
pub struct FetchedWindow {
    /// The window's heights.
    pub heights: Heights,
    /// The chain at `D_w`.
    pub closed: Arc<BlockState>,
    /// Who may be accepted, in the order of a vote's bits.
    pub candidates: Vec<Candidate>,
    /// All claims.
    pub claims: BTreeMap<NeuronId, Claim>,
    /// The valid submissions.
    pub candidate_set: Arc<CandidateSet>,
    /// Why the others are none.
    pub failures: BTreeMap<NeuronId, FetchFailure>,
    /// How long fetching and checking took.
    pub seconds: f64,
}

/// Why a claim could not be followed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchFailure {
    /// What is wrong.
    pub why: String,
    /// The miner's fault; none, if it is this validator that could not do it.
    pub fault: Option<Fault>,
}

/// What the Gauntlet found.
#[derive(Debug)]
pub struct Measured {
    /// The chain at `S_w`.
    pub seeded: Arc<BlockState>,
    /// The subnet's rules then.
    pub rules: Hyperparameters,
    /// The loss on unassigned data before any update.
    pub unassigned_before: f64,
    /// Who was evaluated.
    pub evaluations: BTreeMap<NeuronId, Evaluation>,
    /// How long it took.
    pub seconds: f64,
}

/// Fetches and checks all that was claimed for the window that is next. What is sealed is opened with the keys that are
/// there before block `K_w` is final: a submission without one is missing.
///
/// # Errors
/// The chain does not tell, or the node is being stopped.
pub async fn fetch_window(node: &Node, window: Window) -> Result<FetchedWindow, ValidatorError> {
    let started = Instant::now();
    let run = &node.run;
    let heights = run.clock.heights(window)?;
    let incentives = node.ask(async || node.chain_reader.at(heights.incentives).await).await?;
    let closed = node.ask(async || node.chain_reader.at(heights.claims_close).await).await?;
    let candidates =
        candidates(run.id, &run.spec.acceptance, &heights, &incentives.snapshot, &closed.snapshot)?;
    let claims = closed.claims(run.id, window);

    // Candidates first: for them there is a deadline.
    let first: BTreeSet<_> = candidates.iter().map(|candidate| candidate.id).collect();
    let rest = claims.keys().filter(|id| !first.contains(*id)).copied();
    let order: Vec<NeuronId> = candidates.iter().map(|candidate| candidate.id).chain(rest).collect();
    let fetched = stream::iter(order).map(|miner| fetch(node, &closed, miner, &claims[&miner]));
    let fetched: Vec<_> = node.unless_stopped(fetched.buffer_unordered(AT_ONCE).collect()).await?;
    let opened = open(node, &heights, &closed, fetched).await?;
    let (submissions, failures) = sort_out(opened);

    let medians = node.progress.medians.clone();
    let candidate_set = tokio::task::spawn_blocking(move || CandidateSet::new(submissions, medians.as_ref()));
    let candidate_set = Arc::new(candidate_set.await.map_err(|_| ValidatorError::Stopped)??);
    let seconds = started.elapsed().as_secs_f64();
    Ok(FetchedWindow { heights, closed, candidates, claims, candidate_set, failures, seconds })
}

/// What came of following up the claim of a miner.
type FollowedUp<T> = (NeuronId, Result<T, FetchError>);

async fn fetch(node: &Node, closed: &BlockState, miner: NeuronId, claim: &Claim) -> FollowedUp<Claimed> {
    let expected = node.run.expected(miner, claim.window, node.state());
    (miner, node.fetcher.claimed(closed, claim, &expected, &node.run.layout).await)
}

/// Opens what is sealed: asks for the keys that are still missing with every block, for the last time when `K_w` is final.
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
        let asked_at = node.height();
        let asked = stream::iter(locked).map(|sealed| try_key(node, closed, sealed));
        let asked: Vec<_> = node.unless_stopped(asked.buffer_unordered(AT_ONCE).collect()).await?;
        locked = Vec::new();
        for tried in asked {
            match tried {
                Err((sealed, error)) if error.is_retryable() && asked_at < heights.keys_close => {
                    tracing::debug!(target: WINDOW, %error, "no key yet");
                    locked.push(sealed);
                }
                Err((sealed, error)) => opened.push((sealed.header().neuron, Err(error))),
                Ok(done) => opened.push(done),
            }
        }
        if !locked.is_empty() {
            node.wait_for(asked_at.next()).await?;
        }
    }
    Ok(opened)
}

/// Opens a submission with its key, if the key is there.
async fn try_key(
    node: &Node,
    closed: &BlockState,
    sealed: Box<Sealed>,
) -> Result<FollowedUp<Submission<Bytes>>, (Box<Sealed>, FetchError)> {
    match node.fetcher.key(closed, &sealed).await {
        Ok(key) => Ok((sealed.header().neuron, node.fetcher.unseal(*sealed, key).await)),
        Err(error) => Err((sealed, error)),
    }
}

/// Parts the submissions from the failures. Where no bucket answers at all, it is this validator that is cut off.
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
                drop(failures.insert(miner, FetchFailure { why: error.to_string(), fault }));
            }
        }
    }
    (submissions, failures)
}

impl FetchedWindow {
    /// The bits of a vote for these miners.
    #[must_use]
    pub fn bits(&self, good: &BTreeSet<NeuronId>) -> Bits {
        let places = self.candidates.iter().enumerate().filter(|(_, candidate)| good.contains(&candidate.id));
        Bits::of(places.map(|(place, _)| place))
    }

    /// That this validator holds the submissions of these miners.
    #[must_use]
    pub fn possession(&self, holder: base::Hotkey, good: &BTreeSet<NeuronId>) -> Possession {
        let voted = self.candidates.iter().filter(|candidate| good.contains(&candidate.id));
        Possession::of(holder, voted.filter_map(|c| self.candidate_set.get(&c.id)).map(Submission::bytes))
    }

    /// Those whose submissions this validator could not get, by no fault of theirs.
    pub fn cut_off(&self) -> impl Iterator<Item = NeuronId> {
        self.failures.iter().filter(|(_, failure)| failure.fault.is_none()).map(|(&miner, _)| miner)
    }

    /// What became of each claimant and of each rated miner; `last` is the log before.
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
