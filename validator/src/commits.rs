//! The validator's commits of weights, on its disk: on a subnet with commit-reveal, weights wait there for
//! their reveal.
//!
//! A commit is written before it is sent. After a restart, a hash can be revealed only with the salt that is
//! in this file, and only this file tells which window's weights are hidden in a commit.

use base::{Height, Hotkey, NeuronId, Window, digest::RunHash};
use chain::{Commit, PendingCommit};
use node::{FileError, replace};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file's name in the folder of the score logs.
const FILE: &str = "commits";

/// The most commits that are kept. At most ten of a hotkey wait for their reveal in one epoch, and most
/// subnets reveal in the next one.
const KEPT: usize = 128;

/// Weights of a window that are committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The window whose score log states the weights.
    pub window: Window,
    /// The block of the commit. `None` if it is not known whether the chain has it.
    pub block: Option<Height>,
    /// The commit.
    pub commit: Commit,
}

/// The contents of the file.
#[derive(Serialize, Deserialize)]
struct Contents {
    run: RunHash,
    hotkey: Hotkey,
    registered: Height,
    commits: Vec<Committed>,
}

/// The commits of a validator, oldest first.
#[derive(Debug)]
pub struct Commits {
    path: PathBuf,
    run: RunHash,
    validator: NeuronId,
    list: Vec<Committed>,
}

impl Commits {
    /// Reads the commits of a validator in a run. Skips a file of another run or registration, and a damaged
    /// one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(folder: &Path, run: RunHash, validator: NeuronId) -> Result<Self, FileError> {
        let path = folder.join(crate::logs::FOLDER).join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(FileError { path, source }),
        };
        let is_own = |contents: &Contents| {
            let Contents { hotkey, registered, .. } = *contents;
            contents.run == run && NeuronId { hotkey, registered } == validator
        };
        let contents = serde_json::from_slice::<Contents>(&bytes).ok().filter(is_own);
        if contents.is_none() && !bytes.is_empty() {
            tracing::warn!(target: telemetry::target::SCORE, path = %path.display(), "skipped a file that does not hold commits of this validator");
        }
        let list = contents.map(|contents| contents.commits).unwrap_or_default();
        Ok(Self { path, run, validator, list })
    }

    /// Returns all commits, oldest first.
    #[must_use]
    pub fn list(&self) -> &[Committed] {
        &self.list
    }

    /// Stores a commit. One with the same hash is replaced.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, committed: Committed) -> Result<(), FileError> {
        match self.list.iter_mut().find(|known| known.commit.hash == committed.commit.hash) {
            Some(known) => *known = committed,
            None => self.list.push(committed),
        }
        while self.list.len() > KEPT {
            // One that the chain has may be needed for its reveal.
            let unsent = self.list.iter().position(|committed| committed.block.is_none());
            self.list.remove(unsent.unwrap_or(0));
        }
        self.write()
    }

    /// Takes out the commits that never reached the chain: those without a block, of an epoch that is over,
    /// which do not wait for their reveal.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn settle(&mut self, pending: &[PendingCommit], epoch: u64) -> Result<(), FileError> {
        let before = self.list.clone();
        for committed in &mut self.list {
            let found = pending.iter().find(|pending| pending.hash == committed.commit.hash);
            committed.block = committed.block.or(found.map(|pending| pending.block));
        }
        self.list.retain(|committed| committed.block.is_some() || committed.commit.epoch >= epoch);
        if self.list == before { Ok(()) } else { self.write() }
    }

    fn write(&self) -> Result<(), FileError> {
        let NeuronId { hotkey, registered } = self.validator;
        let contents = Contents { run: self.run, hotkey, registered, commits: self.list.clone() };
        let bytes = serde_json::to_vec(&contents).map_err(io::Error::from);
        let bytes = bytes.map_err(|source| FileError { path: self.path.clone(), source })?;
        replace(&self.path, |file| file.write_all(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Uid;
    use chain::CommitKind;

    const RUN: RunHash = RunHash([7; 32]);

    fn validator() -> NeuronId {
        NeuronId { hotkey: Hotkey([1; 32]), registered: Height(4) }
    }

    fn committed(window: u64, epoch: u64) -> Committed {
        let commit = Commit {
            kind: CommitKind::Hash { salt: vec![3, 4] },
            hash: [u8::try_from(window).unwrap(); 32],
            row: vec![(Uid(2), 65535)],
            version_key: 0,
            epoch,
            reveal: Height(100 * (epoch + 1)),
        };
        Committed { window: Window(window), block: None, commit }
    }

    #[test]
    fn commits_outlive_a_restart_with_their_salt() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(crate::logs::FOLDER)).unwrap();
        let open = || Commits::open(folder.path(), RUN, validator()).unwrap();
        let mut commits = open();
        assert_eq!(commits.list(), []);
        commits.keep(committed(1, 5)).unwrap();
        commits.keep(committed(2, 6)).unwrap();
        let sent = Committed { block: Some(Height(620)), ..committed(2, 6) };
        commits.keep(sent.clone()).unwrap();
        assert_eq!(open().list(), [committed(1, 5), sent]);
        let again = NeuronId { registered: Height(5), ..validator() };
        assert_eq!(Commits::open(folder.path(), RUN, again).unwrap().list(), []);
        assert_eq!(Commits::open(folder.path(), RunHash([8; 32]), validator()).unwrap().list(), []);
        fs::write(folder.path().join("scores/commits"), b"junk").unwrap();
        assert_eq!(open().list(), []);
    }

    #[test]
    fn the_chain_says_which_commits_it_has() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(crate::logs::FOLDER)).unwrap();
        let mut commits = Commits::open(folder.path(), RUN, validator()).unwrap();
        for (window, epoch) in [(1, 5), (2, 5), (3, 6)] {
            commits.keep(committed(window, epoch)).unwrap();
        }
        let pending = PendingCommit { hash: [2; 32], epoch: 5, block: Height(540), round: None };
        commits.settle(&[pending], 6).unwrap();
        let found = Committed { block: Some(Height(540)), ..committed(2, 5) };
        assert_eq!(commits.list(), [found, committed(3, 6)], "the first never reached the chain");
        assert_eq!(Commits::open(folder.path(), RUN, validator()).unwrap().list(), commits.list());
    }

    #[test]
    fn old_commits_make_room() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(crate::logs::FOLDER)).unwrap();
        let mut commits = Commits::open(folder.path(), RUN, validator()).unwrap();
        let sent = |window| Committed { block: Some(Height(window)), ..committed(window, window) };
        commits.keep(sent(0)).unwrap();
        for window in 1..=KEPT as u64 {
            commits.keep(committed(window, window)).unwrap();
        }
        assert_eq!(commits.list().len(), KEPT);
        assert_eq!(commits.list()[..2], [sent(0), committed(2, 2)], "the oldest that was never sent is gone");
    }
}
