//! Finds the standings that a validator begins from if it has no score log of its own.
//!
//! They are those after one log of another validator, so any reader can check where they come from. Of the
//! validators whose vote on the run stands, the one with the most stake is asked first.

use crate::published::standing_vote;
use base::{ErrorChain, Hotkey, NeuronId, Window};
use exchange::{BlockState, FetchError};
use node::{Network, NodeError, Run};
use protocol::announcement::Vote;
use scoring::score_log::{NotAdoptable, ScoreLog, Voted, adoptable};
use std::{cmp::Reverse, sync::Arc};
use telemetry::target::SCORE;

/// The number of consecutive windows without a log after which the search for older ones ends. So the newest
/// log of a validator that has stopped to publish is not taken.
const SEARCH: u64 = 16;

/// A search for standings.
pub(crate) struct Joining<'a> {
    pub(crate) network: &'a Network,
    pub(crate) run: &'a Run,
    /// The validator that joins.
    pub(crate) own: NeuronId,
    /// The window that it begins with.
    pub(crate) next: Window,
}

/// The reason why the standings of a validator are not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// A log cannot be downloaded, or is not valid.
    #[error("cannot read its score log of window {window}")]
    Log {
        /// The window.
        window: Window,
        /// The cause.
        source: Box<FetchError>,
    },
    /// The logs do not support the standings.
    #[error(transparent)]
    Logs(#[from] NotAdoptable),
    /// The chain cannot be read, or the node is being stopped.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl Joining<'_> {
    /// Returns the newest log of the validator with the most stake whose logs download, verify and replay.
    /// Returns `None` if there is no such validator. `state` is the newest state.
    ///
    /// # Errors
    /// The chain cannot be read, or the node is being stopped.
    pub(crate) async fn find(&self, state: &Arc<BlockState>) -> Result<Option<ScoreLog>, NodeError> {
        for (validator, vote) in sources(state, self.run, &self.own.hotkey) {
            match self.network.unless_stopped(self.newest_log(state, &validator, &vote)).await? {
                Ok(log) => return Ok(Some(log)),
                Err(Refused::Node(error)) => return Err(error),
                Err(error) => {
                    tracing::info!(target: SCORE, validator = %validator.hotkey, why = %ErrorChain(&error), "its standings are not taken");
                }
            }
        }
        Ok(None)
    }

    /// Returns the newest log of a validator, if its logs since the last snapshot replay and its votes name
    /// them.
    async fn newest_log(
        &self,
        state: &BlockState,
        validator: &NeuronId,
        vote: &Vote,
    ) -> Result<ScoreLog, Refused> {
        let mut logs = self.logs(state, validator).await?;
        let newest = logs.last().ok_or(NotAdoptable::NoLog)?.header.window;
        let earlier = self.vote_after(state, validator, newest).await?;
        let votes = [Some(*vote), earlier].into_iter().flatten();
        let votes = votes.map(|vote| Voted { window: vote.window, head: vote.score_log });
        adoptable(&self.run.spec.scoring, &logs, votes)?;
        logs.pop().ok_or_else(|| NotAdoptable::NoLog.into())
    }

    /// Downloads the logs of a validator before the next window, from the newest one back to the last
    /// snapshot. Returns them oldest first.
    async fn logs(&self, state: &BlockState, validator: &NeuronId) -> Result<Vec<ScoreLog>, Refused> {
        // A window without a log may be one that asks for a snapshot, so there is room for a second one.
        let most = SEARCH + 2 * u64::from(self.run.spec.scoring.snapshot_every);
        let (mut logs, mut without) = (Vec::new(), 0);
        for window in (self.next.0.saturating_sub(most)..self.next.0).rev().map(Window) {
            match self.network.fetcher.score_log(state, validator, &self.run.hash, window).await {
                Ok(log) => {
                    without = 0;
                    let is_last = log.snapshot.is_some();
                    logs.push(log);
                    if is_last {
                        break;
                    }
                }
                Err(error) if is_absent(&error) => without += 1,
                Err(source) => return Err(Refused::Log { window, source: Box::new(source) }),
            }
            if without == SEARCH {
                break;
            }
        }
        logs.reverse();
        Ok(logs)
    }

    /// Returns the vote on the window after a log, which names the log, if the chain still has it. The
    /// standing vote may be on a later window, whose log is not published yet.
    async fn vote_after(
        &self,
        state: &BlockState,
        validator: &NeuronId,
        window: Window,
    ) -> Result<Option<Vote>, NodeError> {
        let Ok(heights) = self.run.clock.heights(Window(window.0.saturating_add(1))) else { return Ok(None) };
        if heights.votes_close > state.height {
            return Ok(None);
        }
        match self.network.at(heights.votes_close).await {
            Ok(then) => Ok(then.votes(self.run.id, &heights).get(validator).copied()),
            Err(error) if error.is_pruned() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the other validators whose vote on the run stands, the one with the most stake first.
fn sources(state: &BlockState, run: &Run, own: &Hotkey) -> Vec<(NeuronId, Vote)> {
    let mut permitted = state.permitted();
    permitted.sort_by_key(|&(id, stake)| (Reverse(stake), id));
    let others = permitted.into_iter().filter(|(id, _)| id.hotkey != *own);
    others.filter_map(|(id, _)| Some((id, standing_vote(state, &id.hotkey, run.id)?))).collect()
}

/// Checks whether a bucket has answered that there is no such object, or 403 as S3 does for absent objects of
/// a bucket that the reader may not list.
fn is_absent(error: &FetchError) -> bool {
    matches!(error, FetchError::Storage { source, .. } if source.may_be_absent())
}
