//! The objects of a window, and in which bucket they are what they should be.

use super::{Run, sources::Sources};
use crate::report::Verdict;
use base::{
    NeuronId, Window,
    digest::{ObjectHash, State},
};
use codec::submission::{Expected, Submission, SubmissionError};
use exchange::{BlockState, FetchError};
use futures::future::join_all;
use protocol::{
    acceptance::{Accepted, Candidate, Decision},
    announcement::{Claim, Vote},
    clock::Heights,
};
use std::collections::BTreeMap;

/// A submission in memory, checked.
pub(super) type Object = Submission<bytes::Bytes>;

/// What was found of a candidate's object.
#[derive(Debug)]
pub(super) struct Found {
    /// What was found: in its miner's bucket, or else with somebody who keeps it.
    pub(super) object: Result<Object, Missing>,
    /// Whether the miner keeps its word.
    pub(super) verdict: Verdict,
}

/// Why there is no object to go on with.
#[derive(Clone, Debug)]
pub(super) enum Missing {
    /// What was claimed is at hand, and is no submission that counts.
    Invalid(String),
    /// It cannot be read anywhere.
    Unread(String),
}

/// The objects of a window, found or not, by their hashes.
pub(super) type Objects = BTreeMap<ObjectHash, Found>;

/// What to look for, and where.
pub(super) struct Search<'a> {
    pub(super) run: &'a Run,
    pub(super) sources: &'a Sources,
    pub(super) heights: &'a Heights,
    pub(super) decision: &'a Decision,
    /// The states at `D_w` and at `M_w`.
    pub(super) claims: &'a BlockState,
    pub(super) votes: &'a BlockState,
    /// What submissions of the window must have been trained from.
    pub(super) state: State,
}

impl Search<'_> {
    /// Looks for the objects of those candidates that are accepted, and of those that one of these votes finds good.
    pub(super) async fn find(&self, votes: &BTreeMap<NeuronId, Vote>) -> Objects {
        let is_needed = |(place, candidate): (usize, &Candidate)| {
            self.accepted(candidate).is_some() || votes.values().any(|vote| vote.good.has(place))
        };
        let needed = self.decision.candidates.iter().enumerate().filter(|(at, c)| is_needed((*at, c)));
        let searches = needed.map(|(_, candidate)| async move {
            (candidate.object, self.one(candidate, self.accepted(candidate)).await)
        });
        join_all(searches).await.into_iter().collect()
    }

    fn accepted(&self, candidate: &Candidate) -> Option<&Accepted> {
        self.decision.applied().iter().find(|accepted| accepted.id == candidate.id)
    }

    /// The miner's copy; if that is not whole, others keep accepted objects.
    async fn one(&self, candidate: &Candidate, accepted: Option<&Accepted>) -> Found {
        let expected = self.expected(candidate);
        let claim = Claim { run: self.run.id, window: self.window(), object: candidate.object };
        let own = self.sources.of(&candidate.id, self.votes);
        let error = match self.sources.fetcher.submission(own, &claim, &expected, &self.run.layout).await {
            Ok(object) => return Found { object: Ok(object), verdict: Verdict::Agree },
            Err(error) => error,
        };
        let copy = Copy::of(&error);
        if let Copy::Invalid(error) = copy {
            let what = "the claimed object is no submission that counts";
            let verdict = Verdict::differ(what, format!("object {}", candidate.object), &error);
            return Found { object: Err(Missing::Invalid(error)), verdict };
        }
        let kept = self.kept(accepted, &expected).await;
        let verdict = match copy {
            Copy::Other(error) => {
                let what = "its bucket has something else under the name of the claimed object";
                Verdict::differ(what, format!("object {}", candidate.object), error)
            }
            _ if kept.is_some() => Verdict::Agree,
            _ => Verdict::unknown(&error),
        };
        Found { object: kept.ok_or_else(|| Missing::Unread(error.to_string())), verdict }
    }

    /// An accepted object from whoever keeps it.
    async fn kept(&self, accepted: Option<&Accepted>, expected: &Expected) -> Option<Object> {
        let (accepted, seed) = (accepted?, self.claims.hash);
        let voters = self.votes.voters_for(self.run.id, self.heights, self.decision, accepted);
        for state in self.sources.states(self.votes) {
            let layout = &self.run.layout;
            let kept = self.sources.fetcher.accepted(state, seed, accepted, expected, layout, &voters).await;
            if let Ok(object) = kept {
                return Some(object);
            }
        }
        None
    }

    fn window(&self) -> Window {
        self.decision.window
    }

    fn expected(&self, candidate: &Candidate) -> Expected {
        Expected {
            run: self.run.hash,
            spec: self.run.hash,
            neuron: candidate.id,
            window: self.window(),
            base: self.state,
            least_samples: self.run.spec.train.samples(),
            sealed: self.run.spec.acceptance.sealing,
        }
    }
}

/// What a miner's bucket has in the place of a whole object.
enum Copy {
    /// What was claimed, which is no submission that counts.
    Invalid(String),
    /// Something else.
    Other(String),
    /// Nothing that could be read.
    None,
}

impl Copy {
    fn of(error: &FetchError) -> Self {
        match error {
            FetchError::Mismatch { .. } => Self::Other(error.to_string()),
            // Digest, signature and key are not in what the hash names: another copy may have the right ones.
            FetchError::Submission {
                source:
                    SubmissionError::Digest { .. } | SubmissionError::Signature(_) | SubmissionError::Key(_),
                ..
            } => Self::Other(error.to_string()),
            FetchError::Submission { source, .. } => Self::Invalid(source.to_string()),
            FetchError::Storage { source: storage::StorageError::TooLarge { .. }, .. } => {
                Self::Other(error.to_string())
            }
            _ => Self::None,
        }
    }
}
