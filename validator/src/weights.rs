//! Sets the weights of the newest score log, once in an epoch, and checks them on chain afterwards.
//!
//! On a subnet with commit-reveal the weights are committed, and revealed in a later epoch: timelocked
//! commits by the chain, hashes by this node. A uid pays the miner that a score log names there, not a
//! newcomer: its weight is 0 once another neuron has the uid. While the epoch of a commit lasts, weights can
//! be committed again; after it, the chain gives no way to change them.

use crate::commits::{Commits, Committed};
use base::{Height, Mechanism, Netuid, NeuronId, Uid, Window};
use chain::{
    CommitKind, Hyperparameters, Included, Metagraph, PendingCommit, Row, SentWeights, WeightsError,
    WeightsStanding, error::ReadError, wallet::KeyPair,
};
use exchange::ChainReader;
use node::FileError;
use protocol::machine::validator::SettledWeights;
use scoring::{
    score_log::ScoreLog,
    weights::{Subnet, Weights},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The result of an attempt to set weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightsOutcome {
    /// The weights are on chain, openly or as a commit.
    Set(OnTheirWay),
    /// The weights cannot be set now.
    NotYet {
        /// The block from which on they can.
        opens: Height,
        /// The reason.
        reason: String,
    },
    /// These weights can never be set.
    Refused(String),
}

/// Weights that are on chain, openly or as a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnTheirWay {
    /// The block that holds the transaction.
    pub block: Height,
    /// The block from which on weights may be set again.
    pub opens: Height,
    /// The block from which on all can see them.
    pub public: Height,
    /// The weights.
    pub row: Row,
    /// The commit, if they are hidden at first.
    pub committed: Option<Committed>,
}

/// The weights of a validator on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnChain {
    /// The facts that decide on its next weights.
    pub standing: WeightsStanding,
    /// The weights above 0.
    pub row: Row,
    /// The block that set or committed the last weights. `None` if there were none since the registration.
    pub set: Option<Height>,
    /// The commits that wait for their reveal.
    pub pending: Vec<PendingCommit>,
    /// The neuron at each uid.
    pub seats: Vec<NeuronId>,
}

/// Returns the facts about the subnet that a score log records.
#[must_use]
pub fn subnet(metagraph: &Metagraph, rules: &Hyperparameters) -> Subnet {
    Subnet {
        owner: metagraph.owner_uid(),
        uids: u16::try_from(metagraph.neurons.len()).unwrap_or(u16::MAX),
        min_allowed: rules.min_weights,
        max_limit: rules.max_weight,
    }
}

impl OnChain {
    /// Reads the weights of a hotkey. Returns `None` if it is not registered.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn read(reader: &ChainReader, hotkey: &KeyPair) -> Result<Option<Self>, ReadError> {
        let (netuid, mechanism) = (reader.netuid(), reader.mechanism());
        let hotkey = hotkey.hotkey();
        let standing = reader.client().weights_standing(netuid, mechanism, &hotkey).await?;
        let at = reader.snapshot(standing.head.hash);
        let metagraph = at.metagraph(netuid).await?;
        let Some(neuron) = metagraph.by_hotkey(&hotkey) else { return Ok(None) };
        let row = at.weights(netuid, &[neuron.uid]).await?.into_iter().next().unwrap_or_default();
        let set = (neuron.last_update > neuron.registered).then_some(neuron.last_update);
        let pending = at.pending_commits(netuid, &hotkey).await?;
        let seat = |neuron: &chain::Neuron| NeuronId { hotkey: neuron.hotkey, registered: neuron.registered };
        let seats = metagraph.neurons.iter().map(seat).collect();
        Ok(Some(Self { standing, row, set, pending, seats }))
    }

    /// Returns the height of the block after which this was read.
    #[must_use]
    pub fn height(&self) -> Height {
        self.standing.head.height
    }

    /// Checks whether these are the weights on chain.
    #[must_use]
    pub fn has(&self, weights: &Weights) -> bool {
        let ours = above_0(weights.iter().map(|(&uid, &weight)| (uid, weight)));
        self.set.is_some() && above_0(self.row.iter().copied()) == ours
    }

    /// Returns the block from which on weights may be set, as far as epochs matter. The rate limit is not
    /// included, since the chain's answer says when it is over.
    #[must_use]
    pub fn opens(&self) -> Height {
        let schedule = &self.standing.schedule;
        match (self.set, schedule.next()) {
            // Weights set in the block of an epoch count in the next epoch: the epoch comes first in its
            // block.
            (Some(set), Some(next)) if set >= schedule.last => next,
            _ => Height(0),
        }
    }

    /// Returns the weights that a log states, with 0 for each uid that another neuron has taken since.
    #[must_use]
    pub fn weights_of(&self, log: &ScoreLog) -> Weights {
        let seats: Vec<_> = self.seats.iter().map(|neuron| neuron.hotkey).collect();
        let lost = log.lost_seats(&seats);
        let weights = log.stated.weights.iter();
        weights.map(|(uid, &weight)| (*uid, if lost.contains(uid) { 0 } else { weight })).collect()
    }
}

fn above_0(row: impl Iterator<Item = (Uid, u16)>) -> Vec<(Uid, u16)> {
    let mut row: Vec<_> = row.filter(|(_, weight)| *weight > 0).collect();
    row.sort_unstable();
    row
}

/// Sets and reveals the weights of one validator. Clones share the list of commits.
#[derive(Clone, Debug)]
pub struct Weigher {
    reader: ChainReader,
    version_key: u64,
    hotkey: KeyPair,
    commits: Arc<Mutex<Commits>>,
}

impl Weigher {
    /// Creates the weigher of a hotkey. `version_key` is that of the run.
    #[must_use]
    pub fn new(reader: ChainReader, version_key: u64, hotkey: KeyPair, commits: Commits) -> Self {
        Self { reader, version_key, hotkey, commits: Arc::new(Mutex::new(commits)) }
    }

    /// Returns the place of the weights on chain.
    fn place(&self) -> (Netuid, Mechanism) {
        (self.reader.netuid(), self.reader.mechanism())
    }

    fn commits(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the weights on chain. Returns `None` if the hotkey is not registered.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn on_chain(&self) -> Result<Option<OnChain>, ReadError> {
        OnChain::read(&self.reader, &self.hotkey).await
    }

    /// Compares the stored commits with the chain. Returns those whose reveal is not over, the newest of each
    /// epoch.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn settle(&self, on_chain: &OnChain) -> Result<Vec<Committed>, FileError> {
        let schedule = &on_chain.standing.schedule;
        let mut commits = self.commits();
        commits.settle(&on_chain.pending, schedule.index)?;
        let reveals = |epoch: u64| epoch.saturating_add(on_chain.standing.reveal_period);
        let open =
            commits.list().iter().filter(|committed| reveals(committed.commit.epoch) >= schedule.index);
        let newest: BTreeMap<u64, &Committed> = open.map(|open| (open.commit.epoch, open)).collect();
        Ok(newest.into_values().filter(|committed| committed.block.is_some()).cloned().collect())
    }

    /// Returns the committed weights that are settled: on chain, or revealed.
    #[must_use]
    pub fn settled(&self) -> Vec<SettledWeights> {
        let settled = |committed: &Committed| {
            committed
                .block
                .map(|_| SettledWeights { window: committed.window, public: committed.commit.reveal })
        };
        self.commits().list().iter().filter_map(settled).collect()
    }

    /// Sets the weights of a window's log, unless this epoch has some already. `log` is the newest log with
    /// weights, which may be of an earlier window.
    pub async fn set(&self, window: Window, log: &ScoreLog) -> WeightsOutcome {
        let before = match self.on_chain().await {
            Ok(Some(before)) => before,
            Ok(None) => return WeightsOutcome::Refused("the hotkey is not registered any more".to_owned()),
            Err(error) => return later(Height(0), error.is_retryable(), &error),
        };
        if let Err(error) = self.settle(&before) {
            return later(before.height(), true, &error);
        }
        let (opens, weights) = (before.opens(), before.weights_of(log));
        if opens <= before.height() {
            let row = weights.into_iter().collect();
            let sent = self.send(window, row).await;
            return sent.map_or_else(|error| error.outcome(before.height()), WeightsOutcome::Set);
        }
        // Sent by a process that was killed before it got the answer.
        let sent = self.commits().list().iter().rev().find(|committed| committed.window == window).cloned();
        match (before.set, sent.and_then(|committed| Some((committed.block?, committed)))) {
            (_, Some((block, committed))) => {
                let (public, row) = (committed.commit.reveal, committed.commit.row.clone());
                WeightsOutcome::Set(OnTheirWay { block, opens, public, row, committed: Some(committed) })
            }
            (Some(block), None) if before.has(&weights) => {
                let row = weights.into_iter().collect();
                WeightsOutcome::Set(OnTheirWay { block, opens, public: block, row, committed: None })
            }
            _ => WeightsOutcome::NotYet { opens, reason: "this epoch has weights already".to_owned() },
        }
    }

    /// Sends weights in the form that the subnet takes. A commit is stored before it is sent.
    async fn send(&self, window: Window, row: Row) -> Result<OnTheirWay, SendError> {
        let client = self.reader.client();
        let prepared = client.prepare_weights(self.place(), &row, self.version_key, &self.hotkey).await?;
        if let Some(commit) = prepared.commit().cloned() {
            self.commits().keep(Committed { window, block: None, commit })?;
        }
        let SentWeights { included, commit } = client.send_weights(prepared, &self.hotkey).await?;
        let block = included.height;
        let committed = commit.map(|commit| Committed { window, block: Some(block), commit });
        if let Some(committed) = &committed {
            self.commits().keep(committed.clone())?;
        }
        let next = client.at(included.block).epochs(self.reader.netuid()).await.ok();
        let opens = next.and_then(|schedule| schedule.next()).unwrap_or(block);
        let public = committed.as_ref().map_or(block, |committed| committed.commit.reveal);
        Ok(OnTheirWay { block, opens, public, row, committed })
    }

    /// Returns whether weights that rest on the log of a window are committed and still hidden, although they
    /// were expected to be public by now: the subnet's epochs may have moved.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn is_hidden(&self, window: Window) -> Result<bool, ReadError> {
        let resting = |committed: &&Committed| committed.window >= window && committed.block.is_some();
        let first = {
            let commits = self.commits();
            commits.list().iter().filter(resting).min_by_key(|committed| committed.commit.reveal).cloned()
        };
        let Some(first) = first else { return Ok(false) };
        let head = self.reader.client().finalized_hash().await?;
        let (netuid, hotkey) = (self.reader.netuid(), self.hotkey.hotkey());
        let pending = self.reader.snapshot(head).pending_commits(netuid, &hotkey).await?;
        Ok(pending.iter().any(|pending| pending.hash == first.commit.hash))
    }

    /// Returns the block in which to look for uids that changed hands since a commit: shortly before its
    /// epoch ends. `None` if the subnet has no epochs, or the epoch is over.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn last_look(&self, committed: &Committed) -> Result<Option<Height>, ReadError> {
        let head = self.reader.client().finalized_hash().await?;
        let schedule = self.reader.snapshot(head).epochs(self.reader.netuid()).await?;
        let next = schedule.next().filter(|_| schedule.index == committed.commit.epoch);
        // Time for finality, for the transaction, and not so early that most changes come later.
        let lead = (schedule.tempo / 4).clamp(3, 10);
        Ok(next.map(|next| Height(next.0.saturating_sub(lead))))
    }

    /// Commits weights again if a uid with a weight has changed hands since the commit: it gets 0. Returns
    /// the new commit. `None` if nothing has changed, or the epoch of the commit is over.
    ///
    /// # Errors
    /// The chain cannot be read, or takes no other commit in this epoch.
    pub async fn take_back(&self, committed: &Committed) -> Result<Option<Committed>, SendError> {
        let Some(block) = committed.block else { return Ok(None) };
        let Some(now) = self.on_chain().await? else { return Ok(None) };
        let is_new = |uid: &Uid| now.seats.get(usize::from(uid.0)).is_none_or(|seat| seat.registered > block);
        let row = &committed.commit.row;
        let newcomers = row.iter().filter(|(uid, weight)| *weight > 0 && is_new(uid)).count();
        if newcomers == 0 || now.standing.schedule.index != committed.commit.epoch {
            return Ok(None);
        }
        let row = row.iter().map(|(uid, weight)| (*uid, if is_new(uid) { 0 } else { *weight })).collect();
        let sent = self.send(committed.window, row).await?;
        Ok(sent.committed)
    }

    /// Reveals a committed hash. Returns `None` if there is nothing to reveal: the chain reveals the commit
    /// by itself, or a later commit of the same epoch replaces it.
    ///
    /// # Errors
    /// It cannot be revealed now, or the chain refuses.
    pub async fn reveal(&self, committed: &Committed) -> Result<Option<Included>, WeightsError> {
        let commit = &committed.commit;
        let is_replaced = {
            let commits = self.commits();
            let mut later = commits.list().iter().rev().take_while(|known| known.commit.hash != commit.hash);
            later.any(|known| known.commit.epoch == commit.epoch && known.block.is_some())
        };
        if is_replaced || !matches!(commit.kind, CommitKind::Hash { .. }) {
            return Ok(None);
        }
        self.reader.client().reveal_weights(self.place(), commit, &self.hotkey).await
    }
}

/// An error of sending weights.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The chain does not take the weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The chain cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The commit cannot be stored. Nothing was sent.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SendError {
    /// Returns the outcome of an attempt that ended with this error. `height` is the block of the attempt.
    fn outcome(&self, height: Height) -> WeightsOutcome {
        match self {
            Self::Weights(WeightsError::TooSoon { next, .. }) => {
                let reason = format!("the chain takes weights from block {next} on");
                WeightsOutcome::NotYet { opens: Height(next.0.saturating_sub(1)), reason }
            }
            Self::Weights(error @ WeightsError::EpochEnds { next }) => {
                WeightsOutcome::NotYet { opens: *next, reason: error.to_string() }
            }
            Self::Weights(error) => later(height, error.is_retryable(), error),
            Self::Read(error) => later(height, error.is_retryable(), error),
            Self::File(error) => later(height, true, error),
        }
    }
}

/// Returns the outcome of an attempt that may be repeated in the next block, or never.
fn later(height: Height, is_retryable: bool, error: &dyn std::error::Error) -> WeightsOutcome {
    let reason = base::ErrorChain(error).to_string();
    if is_retryable {
        WeightsOutcome::NotYet { opens: height.next(), reason }
    } else {
        WeightsOutcome::Refused(reason)
    }
}

#[cfg(test)]
mod tests;
