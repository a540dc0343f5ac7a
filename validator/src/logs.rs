//! The validator's own score logs, on its disk. A restart continues from them.
//!
//! A log is written here before any other node can see it, so there is never a second one of a window.
//! The last few logs are kept, since the evaluation priority follows from several, and all that are not
//! published yet. The validator's bucket has the others.

use crate::weights::OnChain;
use base::{
    NeuronId, Window,
    digest::{RunHash, ScoreLogHead},
};
use bytes::Bytes;
use node::{FileError, replace};
use protocol::machine::validator::SettledWeights;
use scoring::{
    gauntlet::{Availability, EvaluationPriority, Standings},
    score_log::{Adopted, Expected, ScoreLog},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// The number of logs that stay when they are published. A miner that was skipped in more windows in a row
/// has the same priority as one that was skipped in all of these.
pub const KEPT: usize = 8;

/// The folder's name in the node's folder.
pub(crate) const FOLDER: &str = "scores";

/// The name of the file with the number of the excused window.
const EXCUSED: &str = "excused";

/// A log, and its bytes as they are published.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The log.
    pub log: ScoreLog,
    /// The bytes with the validator's signature.
    pub bytes: Bytes,
}

/// The newest logs of a validator, by window.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    logs: BTreeMap<Window, Closed>,
    /// The windows whose logs this process has published.
    published: BTreeSet<Window>,
    /// Another validator's log, from whose standings the first log begins.
    adopted: Option<ScoreLog>,
    /// The window in which failures of availability are excused.
    excused: Option<Window>,
}

impl Logs {
    /// Reads the logs of a validator in a run. Skips files of another run or registration, and damaged files.
    ///
    /// # Errors
    /// The folder cannot be created or read.
    pub fn open(folder: &Path, run: RunHash, validator: NeuronId) -> Result<Self, FileError> {
        let folder = folder.join(FOLDER);
        fs::create_dir_all(&folder).map_err(file(&folder))?;
        let mut logs = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(file(&folder))? {
            let path = entry.map_err(file(&folder))?.path();
            let Some(window) = window(&path) else { continue };
            let bytes = fs::read(&path).map_err(file(&path))?;
            match ScoreLog::open(&bytes, &Expected { run, validator, window }) {
                Ok(log) => drop(logs.insert(window, Closed { log, bytes: bytes.into() })),
                Err(error) => {
                    tracing::warn!(target: telemetry::target::SCORE, path = %path.display(), error = %base::ErrorChain(&error), "skipped a file that is not a log of this validator");
                }
            }
        }
        let excused = read_window(&folder.join(EXCUSED))?;
        Ok(Self { folder, logs, published: BTreeSet::new(), adopted: None, excused })
    }

    /// Notes that failures of availability do not count in a window.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn excuse(&mut self, window: Window) -> Result<(), FileError> {
        replace(&self.folder.join(EXCUSED), |file| file.write_all(window.to_string().as_bytes()))?;
        self.excused = Some(window);
        Ok(())
    }

    /// Returns whether failures of availability count in a window.
    #[must_use]
    pub fn availability(&self, window: Window) -> Availability {
        if self.excused == Some(window) { Availability::Excused } else { Availability::Counts }
    }

    /// Returns the newest log.
    #[must_use]
    pub fn newest(&self) -> Option<&Closed> {
        self.logs.values().next_back()
    }

    /// Returns the log of a window.
    #[must_use]
    pub fn get(&self, window: Window) -> Option<&Closed> {
        self.logs.get(&window)
    }

    /// Returns all stored logs, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Closed> {
        self.logs.values()
    }

    /// Returns the head that the next log continues and that votes name; zeros before the first log.
    #[must_use]
    pub fn head(&self) -> ScoreLogHead {
        self.newest().map_or_else(ScoreLogHead::default, |closed| closed.log.head())
    }

    /// Begins from the standings after another validator's log. Has no effect if there is an own log.
    pub fn adopt(&mut self, log: ScoreLog) {
        self.adopted = Some(log);
    }

    /// Returns the name of the log from whose standings the next log begins, if it is the first one and does
    /// not begin without standings.
    #[must_use]
    pub fn adopted(&self) -> Option<Adopted> {
        self.adopted.as_ref().filter(|_| self.newest().is_none()).map(ScoreLog::name)
    }

    /// Returns the log with whose standings the next log begins: the newest one, or the adopted one before
    /// the first.
    #[must_use]
    pub fn last(&self) -> Option<&ScoreLog> {
        self.newest().map(|closed| &closed.log).or(self.adopted.as_ref())
    }

    /// Returns the standings of all miners.
    #[must_use]
    pub fn standings(&self) -> Standings {
        self.last().map_or_else(Standings::default, |log| log.stated.standings.clone())
    }

    /// Returns the evaluation priority of the miners: it follows from the last [`KEPT`] logs.
    #[must_use]
    pub fn priority(&self) -> EvaluationPriority {
        let newest = self.iter().skip(self.logs.len().saturating_sub(KEPT));
        newest.fold(EvaluationPriority::default(), |priority, closed| priority.after(&closed.log.cut()))
    }

    /// Returns the log with the weights to set: the newest one that has any. If no miner has a score in a
    /// window, the last good weights are set again, so that they stay valid.
    #[must_use]
    pub fn last_weights(&self) -> Option<&ScoreLog> {
        self.logs.values().rev().map(|closed| &closed.log).find(|log| !log.stated.weights.is_empty())
    }

    /// Returns the newest stored log whose weights are on chain, as settled weights.
    #[must_use]
    pub fn weighed(&self, on_chain: &OnChain) -> Option<SettledWeights> {
        let is_set =
            |log: &ScoreLog| on_chain.has(&log.stated.weights) || on_chain.has(&on_chain.weights_of(log));
        let (&window, _) = self.logs.iter().rev().find(|(_, closed)| is_set(&closed.log))?;
        Some(SettledWeights { window, public: on_chain.set? })
    }

    /// Stores a log.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, closed: Closed) -> Result<(), FileError> {
        let window = closed.log.header.window;
        replace(&self.path(window), |file| file.write_all(&closed.bytes))?;
        self.logs.insert(window, closed);
        Ok(())
    }

    /// Notes that the log of a window is in the bucket. Deletes the oldest published logs beyond [`KEPT`].
    ///
    /// # Errors
    /// A file cannot be deleted.
    pub fn published(&mut self, window: Window) -> Result<(), FileError> {
        self.published.insert(window);
        while self.logs.len() > KEPT {
            let Some((&oldest, _)) = self.logs.first_key_value() else { break };
            if !self.published.remove(&oldest) {
                break;
            }
            self.logs.remove(&oldest);
            let path = self.path(oldest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self, window: Window) -> PathBuf {
        self.folder.join(format!("{window:010}"))
    }
}

/// Reads a file with the number of a window. Returns `None` if there is no such file, or it is damaged.
fn read_window(path: &Path) -> Result<Option<Window>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.parse().ok()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(None)
        }
        Err(error) => Err(file(path)(error)),
    }
}

/// Returns the window that a file is named after.
fn window(path: &Path) -> Option<Window> {
    path.file_name()?.to_str()?.parse().ok()
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    |source| FileError { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{
        BlockHash, Height, Uid,
        digest::{ObjectHash, State},
        signature::SigningKey,
    };
    use scoring::{
        gauntlet::{Outcome, ScoringSpec},
        score_log::{Header, MinerLine},
        weights::{Subnet, Weights},
    };

    const RUN: RunHash = RunHash([7; 32]);

    fn key() -> SigningKey {
        let mut secret = [0; 64];
        secret[0] = 9; // A small scalar, and any nonce.
        SigningKey::from_bytes(&secret).unwrap()
    }

    fn validator() -> NeuronId {
        NeuronId { hotkey: key().hotkey(), registered: Height(4) }
    }

    /// Returns a log of a window in which some miners were skipped.
    fn log(logs: &Logs, window: u64, cut: &[u8]) -> Closed {
        let header = Header {
            run: RUN,
            validator: validator(),
            window: Window(window),
            state: State([2; 32]),
            seed: BlockHash([3; 32]),
            previous: logs.head(),
            standings: logs.standings().hash(),
            adopted: None,
            unassigned_before: 4.0,
            baselines: Default::default(),
            subnet: Subnet { owner: Some(Uid(0)), uids: 9, min_allowed: 1, max_limit: 65535 },
        };
        let line = |&name: &u8| {
            let line = MinerLine {
                uid: Uid(name.into()),
                registered: Height(1),
                object: ObjectHash([name; 32]),
                outcome: Outcome::Skipped,
            };
            (base::Hotkey([name; 32]), line)
        };
        let spec = ScoringSpec::default();
        let miners = cut.iter().map(line).collect();
        let (log, _) = ScoreLog::close(&spec, &logs.standings(), header, miners).unwrap();
        let bytes = log.sign(&key()).unwrap().into();
        Closed { log, bytes }
    }

    #[test]
    fn the_last_logs_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Logs::open(folder.path(), RUN, validator()).unwrap();
        let mut logs = open();
        assert_eq!(logs.head(), ScoreLogHead::default());
        for window in 0..12 {
            let cut: &[u8] = if window < 10 { &[1, 2] } else { &[2] };
            let closed = log(&logs, window, cut);
            logs.keep(closed).unwrap();
            logs.published(Window(window)).unwrap();
        }
        let again = open();
        assert_eq!(
            again.iter().map(|closed| closed.log.header.window.0).collect::<Vec<_>>(),
            [4, 5, 6, 7, 8, 9, 10, 11]
        );
        assert_eq!(again.head(), logs.head());
        assert_eq!(again.newest().unwrap().bytes, logs.newest().unwrap().bytes, "the same signature");
        assert_eq!(again.priority(), logs.priority());
        assert_ne!(again.priority(), EvaluationPriority::default());
    }

    #[test]
    fn a8_logs_that_are_not_published_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Logs::open(folder.path(), RUN, validator()).unwrap();
        let windows = |logs: &Logs| logs.iter().map(|closed| closed.log.header.window.0).collect::<Vec<_>>();
        let mut logs = open();
        for window in 0..12 {
            let closed = log(&logs, window, &[1]);
            logs.keep(closed).unwrap();
        }
        assert_eq!(windows(&open()), (0..12).collect::<Vec<_>>());
        assert_eq!(open().priority(), logs.priority());
        logs.published(Window(1)).unwrap();
        assert_eq!(windows(&logs).len(), 12, "an older one is not published");
        logs.published(Window(0)).unwrap();
        assert_eq!(windows(&logs), (2..12).collect::<Vec<_>>());
        (2..12).for_each(|window| logs.published(Window(window)).unwrap());
        assert_eq!(windows(&logs), (4..12).collect::<Vec<_>>());
        assert_eq!(windows(&open()), windows(&logs));
    }

    #[test]
    fn without_a_score_the_last_good_weights_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::open(folder.path(), RUN, validator()).unwrap();
        assert_eq!(logs.last_weights(), None);
        let good = |weight| Weights::from([(Uid(1), weight), (Uid(2), 65535)]);
        for (window, weights) in [(0, good(7)), (1, good(8)), (2, Weights::new()), (3, Weights::new())] {
            let mut closed = log(&logs, window, &[1]);
            assert_eq!(closed.log.stated.weights, Weights::new(), "no miner of these logs has a score");
            closed.log.stated.weights = weights;
            logs.keep(closed).unwrap();
        }
        assert_eq!(logs.last_weights().map(|log| &log.stated.weights), Some(&good(8)));
    }

    #[test]
    fn a4_an_excuse_outlives_a_restart_and_covers_one_window() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Logs::open(folder.path(), RUN, validator()).unwrap();
        let mut logs = open();
        assert_eq!(logs.availability(Window(3)), Availability::Counts);
        logs.excuse(Window(3)).unwrap();
        for logs in [logs, open()] {
            assert_eq!(logs.availability(Window(2)), Availability::Counts);
            assert_eq!(logs.availability(Window(3)), Availability::Excused);
            assert_eq!(logs.availability(Window(4)), Availability::Counts);
        }
        fs::write(folder.path().join("scores/excused"), b"junk").unwrap();
        assert_eq!(open().availability(Window(3)), Availability::Counts, "a damaged file");
    }

    #[test]
    fn what_is_not_ours_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::open(folder.path(), RUN, validator()).unwrap();
        for window in 0..2 {
            let closed = log(&logs, window, &[1]);
            logs.keep(closed).unwrap();
        }
        let path = folder.path().join("scores/0000000001");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        fs::write(folder.path().join("scores/0000000007"), b"junk").unwrap();
        fs::write(folder.path().join("scores/0000000002.partial"), b"cut").unwrap();
        let again = Logs::open(folder.path(), RUN, validator()).unwrap();
        assert_eq!(again.newest().map(|closed| closed.log.header.window), Some(Window(0)));

        let registered_again = NeuronId { registered: Height(5), ..validator() };
        assert!(Logs::open(folder.path(), RUN, registered_again).unwrap().newest().is_none());
        assert!(Logs::open(folder.path(), RunHash([8; 32]), validator()).unwrap().newest().is_none());
    }
}
