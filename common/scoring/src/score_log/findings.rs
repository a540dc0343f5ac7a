//! The findings of a validator about the claims of a window, and the lines that follow from them.

use super::{MinerLine, ScoreLog};
use crate::gauntlet::{Availability, Evaluation, Fault, Outcome, Standings};
use base::{Hotkey, NeuronId, Uid, digest::ObjectHash};
use std::collections::{BTreeMap, BTreeSet};

/// The findings of a validator about the claims of a window.
///
/// A miner without an evaluation and without a fault was skipped: this validator had no time for it, or
/// could not download its submission, by no fault of the miner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The claimed objects.
    pub claims: BTreeMap<NeuronId, ObjectHash>,
    /// The evaluated miners.
    pub evaluations: BTreeMap<NeuronId, Evaluation>,
    /// The miners whose submissions failed by their own fault.
    pub faults: BTreeMap<NeuronId, Fault>,
    /// Whether failures of availability count.
    pub availability: Availability,
}

/// The registrations of the subnet as a line needs them.
pub trait Registrations {
    /// Returns the neuron and uid of a hotkey after the block that seeded the evaluations.
    fn seeded(&self, miner: &Hotkey) -> Option<(NeuronId, Uid)>;

    /// Returns the neuron and uid of a hotkey after the block with which the claims closed.
    fn at_claims(&self, miner: &Hotkey) -> Option<(NeuronId, Uid)>;
}

impl Findings {
    /// Returns the line of each miner with a claim, and of each miner with a standing. `last` is the previous
    /// log.
    #[must_use]
    pub fn lines(
        &self,
        standings: &Standings,
        last: Option<&ScoreLog>,
        registrations: &impl Registrations,
    ) -> BTreeMap<Hotkey, MinerLine> {
        let claimed = self.claims.iter().map(|(miner, &object)| {
            let uid = registrations.at_claims(&miner.hotkey).map(|(_, uid)| uid).unwrap_or_default();
            let evaluation = self.evaluations.get(miner).copied();
            let outcome = Outcome::of(evaluation, self.faults.get(miner).copied(), self.availability);
            let line = MinerLine { uid, registered: miner.registered, object, outcome };
            (miner.hotkey, line)
        });
        let claimants: BTreeSet<_> = self.claims.keys().map(|miner| miner.hotkey).collect();
        let absent = standings.iter().map(|(miner, _)| *miner).filter(|miner| !claimants.contains(miner));
        let absent = absent.map(|miner| {
            let known = last.and_then(|last| last.miners.get(&miner));
            let registered = registrations.seeded(&miner).map(|(neuron, _)| neuron.registered);
            let line = MinerLine {
                uid: known.map(|line| line.uid).unwrap_or_default(),
                registered: registered.or(known.map(|line| line.registered)).unwrap_or_default(),
                object: ObjectHash::default(),
                outcome: Outcome::of(None, Some(Fault::Absent), self.availability),
            };
            (miner, line)
        });
        let with_uid = |(miner, line): (Hotkey, MinerLine)| {
            let line = match registrations.seeded(&miner) {
                Some((_, uid)) => MinerLine { uid, ..line },
                None => MinerLine { outcome: Outcome::Gone, ..line },
            };
            (miner, line)
        };
        claimed.chain(absent).map(with_uid).collect()
    }
}

#[cfg(test)]
mod tests;
