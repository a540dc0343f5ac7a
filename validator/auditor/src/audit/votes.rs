//! Whether votes are what they must be.

use super::{
    objects::{Missing, Object, Objects},
    seen::{Chain, Seen},
};
use crate::report::{Finding, Item, Subject, Verdict};
use base::{NeuronId, digest::State};
use protocol::{
    acceptance::Candidate,
    announcement::{Bits, Possession, Vote},
};

/// What is found of the majority's state, of the miners' objects and of all votes.
pub(super) fn check(seen: &Seen, chain: &Chain, objects: &Objects) -> Vec<Finding> {
    let state = seen.state.as_ref().map(|(_, state)| *state).map_err(String::as_str);
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
            (Item::Possession, ballot.possession()),
        ];
        let subject = Subject::Validator(*voter, chain.uid(voter));
        findings.extend(verdicts.map(|(item, verdict)| Finding { subject, item, verdict }));
    }
    findings
}

/// Of a validator that should have voted and did not.
pub(super) fn skipped(seen: &Seen, chain: &Chain, validator: NeuronId, why: &str) -> Finding {
    let due = format!(
        "a vote between blocks {} and {}: {why}",
        seen.heights.claims_close, seen.heights.votes_close
    );
    let verdict = Verdict::differ("the vote is missing", "no vote", due);
    Finding { subject: Subject::Validator(validator, chain.uid(&validator)), item: Item::Vote, verdict }
}

/// Compares a state that somebody names.
fn named(ours: Result<State, &str>, what: &str, named: State) -> Verdict {
    match ours {
        Ok(ours) => Verdict::same(what, named, ours),
        Err(why) => Verdict::unknown(why),
    }
}

/// A vote, with all that it is about.
struct Ballot<'a> {
    voter: &'a NeuronId,
    vote: &'a Vote,
    candidates: &'a [Candidate],
    objects: &'a Objects,
}

impl Ballot<'_> {
    /// The candidates that it finds good.
    fn voted(&self) -> impl Iterator<Item = &Candidate> {
        let marked = self.candidates.iter().enumerate().filter(|(place, _)| self.vote.good.has(*place));
        marked.map(|(_, candidate)| candidate)
    }

    fn found(&self, candidate: &Candidate) -> Result<&Object, Missing> {
        let nowhere = || Missing::Unread("it was not looked for".to_owned());
        self.objects.get(&candidate.object).ok_or_else(nowhere)?.object.as_ref().map_err(Clone::clone)
    }

    /// Whether it finds only good what is a candidate, and a submission that counts. That a loss was not lowered cannot be
    /// seen from here.
    fn good(&self) -> Verdict {
        let Vote { good, .. } = self.vote;
        if !good.is_within(self.candidates.len()) {
            let most = Bits::of(0..self.candidates.len());
            return Verdict::differ(
                "there are not so many candidates",
                format!("{good:?}"),
                format!("{most:?}"),
            );
        }
        let missing = self.voted().filter_map(|candidate| Some((candidate, self.found(candidate).err()?)));
        let mut unread = None;
        for (candidate, missing) in missing {
            match missing {
                Missing::Invalid(error) => {
                    let what = format!("it finds the object of {} good", candidate.id.hotkey);
                    return Verdict::differ(what, "a submission that counts", error);
                }
                Missing::Unread(why) => drop(unread.get_or_insert(Verdict::unknown(why))),
            }
        }
        unread.unwrap_or(Verdict::Agree)
    }

    /// Whether its maker held what it finds good.
    fn possession(&self) -> Verdict {
        let voted: Result<Vec<&[u8]>, Missing> =
            self.voted().map(|candidate| Ok(self.found(candidate)?.bytes())).collect();
        let computed = match voted {
            Ok(voted) => Possession::of(self.voter.hotkey, voted),
            Err(Missing::Invalid(error)) => return Verdict::unknown(error),
            Err(Missing::Unread(why)) => return Verdict::unknown(why),
        };
        let hex = |possession: Possession| format!("{possession:?}");
        Verdict::same("the possession of the voted objects", hex(self.vote.possession), hex(computed))
    }
}
