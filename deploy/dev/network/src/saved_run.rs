//! What a run leaves behind for a replay: who took part, where the buckets were, and what it came to.

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
    /// What the keys are made from.
    pub(crate) seed: u64,
    /// Where the announced buckets are.
    pub(crate) buckets: SocketAddr,
    /// Windows of the run.
    pub(crate) count: u32,
    /// Everybody, in the order of uids.
    pub(crate) participants: Vec<SavedParticipant>,
    /// What each window came to.
    pub(crate) windows: Vec<SavedWindow>,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedParticipant {
    name: String,
    part: String,
    uid: u16,
    stake: u64,
}

/// What a window came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedWindow {
    window: Window,
    state: Option<State>,
    accepted: Option<BTreeSet<String>>,
}

impl SavedRun {
    /// Of a run that has ended.
    pub(crate) fn new(record: &RunRecord, seed: u64, buckets: SocketAddr) -> Self {
        let participants = record.participants.iter().map(|(participant, _)| SavedParticipant {
            name: participant.name.clone(),
            part: participant.part.to_string(),
            uid: participant.uid.0,
            stake: participant.stake,
        });
        let windows = record.run().filter_map(|window| {
            let seen = record.windows.get(&window)?;
            Some(SavedWindow { window, state: seen.state, accepted: seen.accepted.clone()? })
        });
        Self {
            seed,
            buckets,
            count: record.count,
            participants: participants.collect(),
            windows: windows.collect(),
        }
    }

    /// Writes it into the run folder.
    pub(crate) fn write(&self, folder: &Folder) -> anyhow::Result<()> {
        let path = folder.record();
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Reads it from a run folder.
    pub(crate) fn read(folder: &Folder) -> anyhow::Result<Self> {
        let path = folder.record();
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "{} cannot be read: name the folder of a run that has ended and was kept with --keep",
                path.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is no record of a run", path.display()))
    }

    /// Everybody.
    pub(crate) fn participants(&self) -> anyhow::Result<Vec<Participant>> {
        let participant = |recorded: &SavedParticipant| {
            let SavedParticipant { name, part, uid, stake } = recorded;
            let part: Role = part.parse().ok().with_context(|| format!("`{part}` is nobody's part"))?;
            Ok(Participant { name: name.clone(), part, uid: Uid(*uid), stake: *stake })
        };
        self.participants.iter().map(participant).collect()
    }

    /// What the run came to, as far as an auditor can tell.
    pub(crate) fn record(&self, members: &[Member]) -> RunRecord {
        let participants =
            members.iter().map(|member| (member.participant.clone(), member.keys.hotkey())).collect();
        let mut record = RunRecord { participants: participants, count: self.count, ..RunRecord::default() };
        for SavedWindow { window, state, accepted } in &self.windows {
            let seen = record.window(*window);
            (seen.state, seen.accepted) = (*state, Some(accepted.clone()));
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
            .map(|(name, part, uid)| Participant { name: name.into(), part, uid: Uid(uid), stake: 5 })
            .into();
        let members = members(participants.clone(), 9);
        let keyed = members.iter().map(|member| (member.participant.clone(), member.keys.hotkey())).collect();
        let mut record = RunRecord { participants: keyed, count: 2, ..RunRecord::default() };
        record.window(Window(0)).state = Some(State([1; 32]));
        record.window(Window(0)).accepted = Some(Some(["late-0".to_owned()].into()));
        record.window(Window(1)).accepted = Some(None);
        record
            .states
            .entry(Window(1))
            .or_default()
            .insert("validator-0".into(), (State([2; 32]), StateRoot([3; 32])));
        let saved = SavedRun::new(&record, 9, ([127, 0, 0, 1], 1234).into());
        saved.write(&folder).unwrap();
        let read = SavedRun::read(&folder).unwrap();
        assert_eq!(read, saved);
        assert_eq!(read.participants().unwrap(), participants);
        let again = read.record(&members);
        assert_eq!((again.participants, again.windows), (record.participants, record.windows));
    }
}
