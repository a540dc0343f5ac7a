//! One window, as a validator sees it: the claims, the candidates' submissions, the bits of the vote, and the
//! findings about each miner.

use crate::gauntlet::TrialSteps;
use base::{Hotkey, NeuronId, Uid};
use bytes::Bytes;
use chain::Hyperparameters;
use codec::submission::Submission;
use exchange::{BlockState, FetchError};
use protocol::{
    acceptance::Candidate,
    announcement::{Bits, Claim, Vote},
    clock::Heights,
    downloads::{ClockReadings, PeerOutcome, faults, is_cut_off},
};
use scoring::{
    gauntlet::{Availability, Evaluation, Fault},
    score_log::{Findings, Registrations},
    uniqueness::Baselines,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The claims of a window, and the candidates' submissions that had arrived when `K_w` was final.
///
/// Submissions are memory-mapped files: they take no heap. Those of other claims are downloaded one by one
/// when they are evaluated, and are not kept.
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
    /// The valid submissions of candidates.
    pub submissions: BTreeMap<NeuronId, Submission<Bytes>>,
    /// The result of the downloads from each candidate.
    pub outcomes: BTreeMap<NeuronId, PeerOutcome>,
    /// The last error of each candidate that did not arrive, if there was one.
    pub errors: BTreeMap<NeuronId, FetchError>,
    /// The readings of this machine's clock at the beginning and at the end of the downloads.
    pub clock: [ClockReadings; 2],
    /// The trial steps along submissions of the window.
    pub steps: Arc<TrialSteps>,
    /// The time from the beginning of the downloads to `K_w`.
    pub seconds: f64,
}

/// The results of the Gauntlet.
#[derive(Debug)]
pub struct Measured {
    /// The chain at `S_w`.
    pub seeded: Arc<BlockState>,
    /// The subnet's rules after that block.
    pub rules: Hyperparameters,
    /// The mean loss of the common unassigned sequences before any update.
    pub unassigned_before: f64,
    /// The usual overlaps of updates.
    pub baselines: Baselines,
    /// The evaluated miners.
    pub evaluations: BTreeMap<NeuronId, Evaluation>,
    /// The faults of miners that are no candidates, as far as there was time to download from them.
    pub faults: BTreeMap<NeuronId, Fault>,
    /// The miners whose updates, as they were sent, change no parameter.
    pub empty: BTreeSet<NeuronId>,
    /// The time that it took.
    pub seconds: f64,
}

impl FetchedWindow {
    /// Returns the bits of a vote for these miners.
    #[must_use]
    pub fn bits(&self, good: &BTreeSet<NeuronId>) -> Bits {
        let places = self.candidates.iter().enumerate().filter(|(_, candidate)| good.contains(&candidate.id));
        Bits::of(places.map(|(place, _)| place))
    }

    /// Returns the miners that a vote on this window is for.
    #[must_use]
    pub fn voted(&self, vote: &Vote) -> BTreeSet<NeuronId> {
        let places = self.candidates.iter().enumerate().filter(|(place, _)| vote.good.has(*place));
        places.map(|(_, candidate)| candidate.id).collect()
    }

    /// Returns the candidates without a valid submission, each with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (NeuronId, String)> {
        let failed = self.outcomes.iter().filter(|(_, outcome)| **outcome != PeerOutcome::Arrived);
        failed.map(|(miner, outcome)| {
            let error = self.errors.get(miner).map(|error| format!(": {}", base::ErrorChain(error)));
            (*miner, format!("{outcome}{}", error.unwrap_or_default()))
        })
    }

    /// Returns the miners to evaluate: the candidates whose submissions have arrived or were cut off, and
    /// all other claimants.
    #[must_use]
    pub fn owed(&self) -> BTreeSet<NeuronId> {
        let faults = faults(&self.outcomes, self.clock);
        self.claims.keys().filter(|miner| !faults.contains_key(miner)).copied().collect()
    }

    /// Returns the findings about all claims.
    #[must_use]
    pub fn findings(&self, measured: &Measured, availability: Availability) -> Findings {
        Findings {
            claims: self.claims.iter().map(|(miner, claim)| (*miner, claim.object)).collect(),
            evaluations: measured.evaluations.clone(),
            faults: self.faults(measured),
            availability,
        }
    }

    /// Returns the miners at fault. Whether this validator was cut off follows from the candidates alone:
    /// claims without an object are cheap, and must not excuse others.
    fn faults(&self, measured: &Measured) -> BTreeMap<NeuronId, Fault> {
        let mut found = faults(&self.outcomes, self.clock);
        if !is_cut_off(self.outcomes.values().copied(), self.clock) {
            found.extend(&measured.faults);
        }
        found.extend(measured.empty.iter().map(|miner| (*miner, Fault::ChangesNothing)));
        found
    }
}

/// The registrations at `D_w` and at `S_w`.
#[derive(Debug)]
pub struct RegisteredAt<'a> {
    /// The chain at `D_w`.
    pub closed: &'a BlockState,
    /// The chain at `S_w`.
    pub seeded: &'a BlockState,
}

impl Registrations for RegisteredAt<'_> {
    fn seeded(&self, miner: &Hotkey) -> Option<(NeuronId, Uid)> {
        self.seeded.neuron(miner)
    }

    fn at_claims(&self, miner: &Hotkey) -> Option<(NeuronId, Uid)> {
        self.closed.neuron(miner)
    }
}
