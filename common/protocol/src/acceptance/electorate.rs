//! Computes the electorate: the hotkeys whose stake a quorum is measured by.
//!
//! It follows from one state of the chain alone, so a node that joins needs no history for it. A
//! hotkey that stops voting loses its weight slowly: a minority cannot decide soon after the others
//! fall silent, and a run does not stop for ever when they do not come back.

use super::{AcceptanceSpec, Participant, Snapshot};
use crate::{announcement::Record, clock::Heights};
use base::{Height, NeuronId, Window, digest::RunId};
use std::collections::BTreeMap;

/// The number of days in [`AcceptanceSpec::electorate_blocks`], which is a week in the shipped runs.
const DAYS: u64 = 7;
/// A window needs two voters if the members that voted in the last of these days, without the largest
/// of them, have one of this many parts of all weight.
const OTHERS: u128 = 10;

/// The hotkeys that count in a run, with their weights, at one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Electorate {
    /// The age at which a vote has no weight any more, in blocks.
    period: u64,
    members: BTreeMap<NeuronId, Member>,
}

/// A member of an electorate: a hotkey with stake and permit that voted in the last
/// [`AcceptanceSpec::electorate_blocks`], or a founder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its stake (`StakeWeight`), 1 to 65535.
    pub stake: u16,
    /// The window of its standing vote. `None` for a founder without one.
    pub voted: Option<Window>,
    /// The number of blocks since the votes on that window closed.
    pub age: u64,
    /// The stake times the blocks that are left until the age is [`AcceptanceSpec::electorate_blocks`].
    /// In this unit nothing is rounded.
    pub weight: u64,
}

impl Electorate {
    /// Computes the electorate for a window: with the state at `M_w` for its decision, with the state
    /// at `D_w` for its custodians. Ages are those at `M_w` in both cases.
    #[must_use]
    pub fn new(run: RunId, spec: &AcceptanceSpec, heights: &Heights, state: &Snapshot) -> Self {
        let period = u64::from(spec.electorate_blocks);
        let member = |participant: &Participant| {
            let id = participant.neuron.id;
            let voted = standing_vote(run, heights, participant);
            // A founder counts as if it had voted on the window before the first one.
            let windows = match voted {
                Some(window) => heights.window.0 - window.0,
                None if spec.founders.binary_search(&id.hotkey).is_ok() => heights.window.0.checked_add(1)?,
                None => return None,
            };
            let age = windows.checked_mul(heights.blocks()).filter(|age| *age < period)?;
            let stake = participant.voice();
            let weight = u64::from(stake) * (period - age);
            (weight > 0).then_some((id, Member { stake, voted, age, weight }))
        };
        Self { period, members: state.participants().filter_map(member).collect() }
    }

    /// Returns the members, in the order of hotkeys.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&NeuronId, &Member)> {
        self.members.iter()
    }

    /// Returns a member.
    #[must_use]
    pub fn get(&self, id: &NeuronId) -> Option<&Member> {
        self.members.get(id)
    }

    /// Returns the weight of all members, in stake times blocks.
    #[must_use]
    pub fn weight(&self) -> u128 {
        self.members.values().map(|member| u128::from(member.weight)).sum()
    }

    /// Returns the weight of some hotkeys, in stake times blocks. Those that are not members have none.
    #[must_use]
    pub fn weight_of<'a>(&self, ids: impl IntoIterator<Item = &'a NeuronId>) -> u128 {
        ids.into_iter().filter_map(|id| self.get(id)).map(|member| u128::from(member.weight)).sum()
    }

    /// Returns the weight of a stake that votes now, in stake times blocks.
    #[must_use]
    pub fn full_weight(&self, stake: u64) -> u128 {
        u128::from(stake) * u128::from(self.period)
    }

    /// Returns a weight as the stake that would have it if it voted now, rounded down.
    #[must_use]
    pub fn as_stake(&self, weight: u128) -> u64 {
        let stake = weight.checked_div(u128::from(self.period)).unwrap_or_default();
        u64::try_from(stake).unwrap_or(u64::MAX)
    }

    /// Returns the weight of the members that voted in the last day, without the one of them that has the
    /// most.
    #[must_use]
    pub fn others(&self) -> u128 {
        let recent = self.members.values().filter(|member| self.is_recent(member));
        let weights = || recent.clone().map(|member| u128::from(member.weight));
        weights().sum::<u128>() - weights().max().unwrap_or_default()
    }

    /// Checks whether a window needs two voters: one hotkey must not decide alone where others take part. The
    /// others need a tenth of all weight, since they make windows null at no cost if they vote on one of
    /// them in a day.
    #[must_use]
    pub fn needs_two_voters(&self) -> bool {
        self.others() * OTHERS >= self.weight()
    }

    /// Checks whether a member voted in the last day, a seventh of [`AcceptanceSpec::electorate_blocks`].
    #[must_use]
    pub fn is_recent(&self, member: &Member) -> bool {
        member.age <= self.period / DAYS
    }

    /// Creates an electorate of members with these weights.
    #[cfg(test)]
    pub(crate) fn of_weights(weights: impl IntoIterator<Item = (NeuronId, u64)>) -> Self {
        let member = |weight| Member { stake: 1, voted: None, age: 0, weight };
        let members = weights.into_iter().map(|(id, weight)| (id, member(weight))).collect();
        Self { period: 1, members }
    }
}

/// Returns the window of the vote that a participant's commitment holds: of this run, for this window
/// or an earlier one, set after the claims of that window were closed.
fn standing_vote(run: RunId, heights: &Heights, participant: &Participant) -> Option<Window> {
    let (set, Record::Vote(vote)) = participant.record? else { return None };
    let windows = heights.window.0.checked_sub(vote.window.0).filter(|_| vote.run == run)?;
    let closed = heights.claims_close.0.checked_sub(windows.checked_mul(heights.blocks())?)?;
    (set > Height(closed)).then_some(vote.window)
}
