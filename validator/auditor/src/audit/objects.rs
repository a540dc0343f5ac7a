//! Downloads and checks the objects of a window.

use super::{Run, sources::Sources};
use crate::report::Verdict;
use base::{
    ErrorChain, NeuronId, Window,
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
use std::{collections::BTreeMap, sync::Arc};

/// A checked submission in memory.
pub(super) type Object = Submission<bytes::Bytes>;

/// The result of the search for a candidate's object.
#[derive(Debug)]
pub(super) struct Found {
    /// The object, from its miner's bucket or else from another node that stores it.
    pub(super) object: Result<Object, Missing>,
    /// The verdict on the miner's claim.
    pub(super) verdict: Verdict,
}

/// The reason why an object is missing.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Missing {
    /// The claimed object was downloaded, but is not a valid submission.
    #[error(transparent)]
    Invalid(SubmissionError),
    /// The object cannot be downloaded from any bucket.
    #[error(transparent)]
    Unread(Arc<FetchError>),
    /// The search did not include the object.
    #[error("the object was not downloaded")]
    Unsought,
}

/// The objects of a window, found or missing, by their hashes.
pub(super) type Objects = BTreeMap<ObjectHash, Found>;

/// The inputs of a search for the objects of a window.
pub(super) struct Search<'a> {
    pub(super) run: &'a Run,
    pub(super) sources: &'a Sources,
    pub(super) heights: &'a Heights,
    pub(super) decision: &'a Decision,
    /// The chain's state at `D_w`.
    pub(super) claims: &'a BlockState,
    /// The chain's state at `M_w`.
    pub(super) votes: &'a BlockState,
    /// The state that submissions of the window must have been trained from.
    pub(super) base: State,
}

impl Search<'_> {
    /// Searches for the objects of all candidates that are accepted, or that any of these votes marks
    /// as good.
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

    /// Searches for one object: in the miner's bucket, and then, if it is accepted, in the buckets of
    /// other nodes.
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
            let what = "the claimed object is not a valid submission";
            let verdict = Verdict::differ(what, format!("object {}", candidate.object), ErrorChain(error));
            return Found { object: Err(Missing::Invalid(error.clone())), verdict };
        }
        let replica = self.replica(accepted, &expected).await;
        let verdict = match copy {
            Copy::Other => {
                let what = "the bucket has a different object under the key of the claimed object";
                Verdict::differ(what, format!("object {}", candidate.object), ErrorChain(&error))
            }
            _ if replica.is_some() => Verdict::Agree,
            _ => Verdict::unread(&error),
        };
        Found { object: replica.ok_or_else(|| Missing::Unread(Arc::new(error))), verdict }
    }

    /// Downloads an accepted object from any node that stores it.
    async fn replica(&self, accepted: Option<&Accepted>, expected: &Expected) -> Option<Object> {
        let accepted = accepted?;
        let (run, spec) = (self.run.id, &self.run.spec.acceptance);
        let voters = self.votes.voters_for(run, self.heights, self.decision, accepted);
        let keepers = self.claims.keepers(run, spec, self.heights, &accepted.object, &voters);
        for state in self.sources.states(self.votes) {
            let layout = &self.run.layout;
            let fetcher = &self.sources.fetcher;
            let replica = fetcher.accepted(state, accepted, expected, layout, &keepers, &voters).await;
            if let Ok(object) = replica {
                return Some(object.submission);
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
            base: self.base,
            least_samples: self.run.spec.train.least_samples(),
            sealed: self.run.spec.acceptance.sealing,
        }
    }
}

/// The contents of a miner's bucket, if they are not the valid object.
enum Copy<'a> {
    /// The claimed object, which is not a valid submission.
    Invalid(&'a SubmissionError),
    /// A different object.
    Other,
    /// No readable object.
    None,
}

impl<'a> Copy<'a> {
    fn of(error: &'a FetchError) -> Self {
        match error {
            FetchError::Mismatch { .. } => Self::Other,
            // The object hash covers neither digest, signature nor key: another copy may have the right ones.
            FetchError::Submission {
                source:
                    SubmissionError::Digest { .. } | SubmissionError::Signature(_) | SubmissionError::Key(_),
                ..
            } => Self::Other,
            FetchError::Submission { source, .. } => Self::Invalid(source),
            FetchError::Storage { source: storage::StorageError::TooLarge { .. }, .. } => Self::Other,
            _ => Self::None,
        }
    }
}
