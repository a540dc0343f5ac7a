//! Checks votes.

use super::{
    objects::{Missing, Object, Objects},
    seen::{Chain, Seen},
    unknown::Unknown,
};
use crate::report::{Finding, Item, Subject, Verdict};
use base::{ErrorChain, NeuronId, digest::State};
use protocol::{
    acceptance::Candidate,
    announcement::{Bits, Possession, Vote},
};
use std::collections::BTreeMap;

/// The possession that each voter must prove, or the reason why it cannot be computed.
pub(super) type Possessions = Result<BTreeMap<NeuronId, Possession>, Unknown>;

/// Checks the majority's state, the miners' objects and all votes of a window.
pub(super) fn check(
    seen: &Seen,
    chain: &Chain,
    objects: &Objects,
    possessions: &Possessions,
) -> Vec<Finding> {
    let state = seen.state.as_ref().map(|(_, state)| *state);
    let mut findings = Vec::new();
    if let Some(majority) = chain.decision.state {
        let verdict = named(state, "the state at the window's start", majority);
        findings.push(Finding { subject: Subject::Network, item: Item::State, verdict });
    }
    for candidate in &chain.decision.candidates {
        if let Some(found) = objects.get(&candidate.object) {
            let subject = Subject::Miner(candidate.id, chain.uid(&candidate.id));
            findings.push(Finding { subject, item: Item::Object, verdict: found.verdict.clone() });
        }
    }
    for (voter, vote) in &chain.votes {
        let ballot = Ballot { voter, vote, candidates: &chain.decision.candidates, objects };
        let verdicts = [
            (Item::Vote, Verdict::Agree),
            (Item::VotedState, named(state, "the state that the vote names", vote.state)),
            (Item::Good, ballot.good()),
            (Item::Possession, ballot.possession(state, possessions)),
        ];
        let subject = Subject::Validator(*voter, chain.uid(voter));
        findings.extend(verdicts.map(|(item, verdict)| Finding { subject, item, verdict }));
    }
    findings
}

/// Creates the finding on a validator that did not vote although it should have.
pub(super) fn skipped(seen: &Seen, chain: &Chain, validator: NeuronId, why: &str) -> Finding {
    let due = format!(
        "a vote between blocks {} and {}: {why}",
        seen.heights.claims_close, seen.heights.votes_close
    );
    let verdict = Verdict::differ("the vote is missing", "no vote", due);
    Finding { subject: Subject::Validator(validator, chain.uid(&validator)), item: Item::Vote, verdict }
}

/// Compares a named state with the recomputed one.
fn named(ours: Result<State, &Unknown>, what: &str, named: State) -> Verdict {
    match ours {
        Ok(ours) => Verdict::same(what, named, ours),
        Err(why) => Verdict::unread(why),
    }
}

/// A vote, with the candidates and objects that it refers to.
struct Ballot<'a> {
    voter: &'a NeuronId,
    vote: &'a Vote,
    candidates: &'a [Candidate],
    objects: &'a Objects,
}

impl Ballot<'_> {
    /// Returns the candidates that the vote marks as good.
    fn voted(&self) -> impl Iterator<Item = &Candidate> {
        let marked = self.candidates.iter().enumerate().filter(|(place, _)| self.vote.good.has(*place));
        marked.map(|(_, candidate)| candidate)
    }

    fn found(&self, candidate: &Candidate) -> Result<&Object, Missing> {
        self.objects.get(&candidate.object).ok_or(Missing::Unsought)?.object.as_ref().map_err(Clone::clone)
    }

    /// Checks whether the vote marks only candidates with valid submissions as good. The auditor cannot
    /// check whether a submission lowers the loss.
    fn good(&self) -> Verdict {
        let Vote { good, .. } = self.vote;
        if !good.is_within(self.candidates.len()) {
            let most = Bits::of(0..self.candidates.len());
            return Verdict::differ(
                "the vote marks more candidates than there are",
                format!("{good:?}"),
                format!("{most:?}"),
            );
        }
        let missing = self.voted().filter_map(|candidate| Some((candidate, self.found(candidate).err()?)));
        let mut unread = None;
        for (candidate, missing) in missing {
            match missing {
                Missing::Invalid(error) => {
                    let what = format!("the vote marks the object of {} as good", candidate.id.hotkey);
                    return Verdict::differ(what, "a valid submission", ErrorChain(&error));
                }
                missing => drop(unread.get_or_insert(Verdict::unread(&missing))),
            }
        }
        unread.unwrap_or(Verdict::Agree)
    }

    /// Checks whether the voter held the parameters at the window's start. Those of a voter with another
    /// state are not known.
    fn possession(&self, state: Result<State, &Unknown>, possessions: &Possessions) -> Verdict {
        let computed = match possessions {
            Ok(possessions) => possessions.get(self.voter).copied().unwrap_or_default(),
            Err(why) => return Verdict::unread(why),
        };
        if computed != self.vote.possession && state.is_ok_and(|state| state != self.vote.state) {
            return Verdict::unknown("the vote names another state, whose parameters are not known");
        }
        let hex = |possession: Possession| format!("{possession:?}");
        Verdict::same("the possession of the parameters", hex(self.vote.possession), hex(computed))
    }
}
