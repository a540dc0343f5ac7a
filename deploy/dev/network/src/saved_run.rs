//! The saved run, for a replay: the participants, the address of the buckets, and the outcome of each
//! window.

use crate::{
    folder::Folder,
    network::Member,
    roster::{Participant, Role},
    run_record::RunRecord,
};
use anyhow::Context;
use base::{Uid, Window, digest::State};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, net::SocketAddr};

/// The file `devnet.json` of a run folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedRun {
    /// The seed of all keys.
    pub(crate) seed: u64,
    /// The address of the bucket server, as announced with the buckets.
    pub(crate) buckets: SocketAddr,
    /// The number of windows of the run.
    pub(crate) count: u32,
    /// All participants, in the order of uids.
    #[serde(rename = "players")]
    pub(crate) participants: Vec<SavedParticipant>,
    /// The outcome of each window.
    pub(crate) windows: Vec<SavedWindow>,
}

/// A participant, as saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedParticipant {
    name: String,
    #[serde(rename = "part")]
    role: String,
    uid: u16,
    stake: u64,
}

/// The outcome of a window, as saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedWindow {
    window: Window,
    state: Option<State>,
    accepted: Option<BTreeSet<String>>,
    /// Whether a missing vote does not mean a dishonest validator.
    excused: bool,
    /// The nodes whose vote a kill may have cost.
    lost_votes: BTreeSet<String>,
    /// The validators that a fault ended before they published their score logs.
    kept_logs: BTreeSet<String>,
}

impl SavedRun {
    /// Creates the saved form of a run that has ended.
    pub(crate) fn new(record: &RunRecord, seed: u64, buckets: SocketAddr) -> Self {
        let participants = record.participants.iter().map(|(participant, _)| SavedParticipant {
            name: participant.name.clone(),
            role: participant.role.to_string(),
            uid: participant.uid.0,
            stake: participant.stake,
        });
        let windows = record.run().filter_map(|window| {
            let outcome = record.windows.get(&window)?;
            let (state, accepted) = (outcome.state, outcome.accepted.clone()?);
            let excused = record.excused.contains(&window);
            let of_window = |all: &BTreeSet<(String, Window)>| {
                all.iter().filter(|(_, of)| *of == window).map(|(name, _)| name.clone()).collect()
            };
            let (lost_votes, kept_logs) = (of_window(&record.lost_votes), of_window(&record.kept_logs));
            Some(SavedWindow { window, state, accepted, excused, lost_votes, kept_logs })
        });
        Self {
            seed,
            buckets,
            count: record.count,
            participants: participants.collect(),
            windows: windows.collect(),
        }
    }

    /// Writes `devnet.json` to the run folder.
    pub(crate) fn write(&self, folder: &Folder) -> anyhow::Result<()> {
        let path = folder.saved_run();
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads `devnet.json` from a run folder.
    pub(crate) fn read(folder: &Folder) -> anyhow::Result<Self> {
        let path = folder.saved_run();
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}: name the folder of a run that has ended and was kept with --keep",
                path.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is not the record of a run", path.display()))
    }

    /// Returns all participants, in the order of uids.
    ///
    /// # Errors
    /// A saved role is unknown.
    pub(crate) fn participants(&self) -> anyhow::Result<Vec<Participant>> {
        let participant = |saved: &SavedParticipant| {
            let SavedParticipant { name, role, uid, stake } = saved;
            let role: Role = role.parse().ok().with_context(|| format!("`{role}` is not a role"))?;
            Ok(Participant { name: name.clone(), role, uid: Uid(*uid), stake: *stake })
        };
        self.participants.iter().map(participant).collect()
    }

    /// Returns the record of the run, as far as an auditor can compare it: participants, states,
    /// accepted sets.
    pub(crate) fn record(&self, members: &[Member]) -> RunRecord {
        let participants =
            members.iter().map(|member| (member.participant.clone(), member.keys.hotkey())).collect();
        let mut record = RunRecord { participants, count: self.count, ..RunRecord::default() };
        for SavedWindow { window, state, accepted, excused, lost_votes, kept_logs } in &self.windows {
            record.excused.extend(excused.then_some(*window));
            record.lost_votes.extend(lost_votes.iter().map(|name| (name.clone(), *window)));
            record.kept_logs.extend(kept_logs.iter().map(|name| (name.clone(), *window)));
            let outcome = record.window(*window);
            (outcome.state, outcome.accepted) = (*state, Some(accepted.clone()));
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::members;
    use base::digest::StateRoot;

    #[test]
    fn a_saved_run_brings_the_record_back() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        let participants =
            [("validator-0", Role::Validator, 1), ("late-0", Role::Adversary(crate::roster::Kind::Late), 2)];
        let participants: Vec<Participant> = participants
            .map(|(name, role, uid)| Participant { name: name.into(), role, uid: Uid(uid), stake: 5 })
            .into();
        let members = members(participants.clone(), 9);
        let keyed = members.iter().map(|member| (member.participant.clone(), member.keys.hotkey())).collect();
        let mut record = RunRecord { participants: keyed, count: 2, ..RunRecord::default() };
        record.window(Window(0)).state = Some(State([1; 32]));
        record.window(Window(0)).accepted = Some(Some(["late-0".to_owned()].into()));
        record.window(Window(1)).accepted = Some(None);
        record.excused.insert(Window(1));
        record.lost_votes.insert(("validator-0".into(), Window(0)));
        record.kept_logs.insert(("validator-0".into(), Window(1)));
        record
            .states
            .entry(Window(1))
            .or_default()
            .insert("validator-0".into(), (State([2; 32]), StateRoot([3; 32])));
        let saved = SavedRun::new(&record, 9, ([127, 0, 0, 1], 1234).into());
        saved.write(&folder).unwrap();
        let json = serde_json::to_value(&saved).unwrap();
        assert_eq!(json["players"][1]["part"], "late");
        let read = SavedRun::read(&folder).unwrap();
        assert_eq!(read, saved);
        assert_eq!(read.participants().unwrap(), participants);
        let again = read.record(&members);
        assert_eq!((again.participants, again.windows), (record.participants, record.windows));
        assert_eq!((again.excused, again.lost_votes), (record.excused, record.lost_votes));
        assert_eq!(again.kept_logs, record.kept_logs);
    }
}
