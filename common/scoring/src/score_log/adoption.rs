//! Decides whether a validator that joins a run may begin from the standings of another validator.

use super::{Adopted, Replay, ReplayError, ScoreLog};
use crate::gauntlet::ScoringSpec;
use base::{Window, digest::ScoreLogHead};

/// The score log that a validator names in a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voted {
    /// The window of the vote.
    pub window: Window,
    /// The head of the last log before it; zeros before the first log.
    pub head: ScoreLogHead,
}

/// The reason why the standings of a validator are not adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdoptable {
    /// There is no log.
    #[error("no score log is published")]
    NoLog,
    /// A log does not follow from its measurements, or a log between two others is missing.
    #[error("its score logs do not replay")]
    Replay(#[from] ReplayError),
    /// A vote names another log than the published ones.
    #[error("its vote on window {window} names the score log {head}, which is not among the published ones")]
    Head {
        /// The window of the vote.
        window: Window,
        /// The head that the vote names.
        head: ScoreLogHead,
    },
}

/// Checks the newest logs of a validator, and returns the name of the last one, whose standings may be
/// adopted. The logs begin with one that carries a snapshot, the oldest first.
///
/// Votes on windows before the logs, or on windows whose logs may not be published yet, name other logs. They
/// are not compared. Pass only logs that [`ScoreLog::open`] has accepted.
///
/// # Errors
/// There is no log, the logs do not replay bit for bit, or a vote names none of them.
pub fn adoptable(
    spec: &ScoringSpec,
    logs: &[ScoreLog],
    votes: impl IntoIterator<Item = Voted>,
) -> Result<Adopted, NotAdoptable> {
    let (Some(first), Some(newest)) = (logs.first(), logs.last()) else { return Err(NotAdoptable::NoLog) };
    let mut replay = Replay::new(*spec);
    for log in logs {
        replay.next(log)?;
    }
    // A vote may be sent before the log of the window before it is closed. Then it names the log before that.
    let mut heads = vec![first.header.previous];
    heads.extend(logs.iter().map(ScoreLog::head));
    let covered = first.header.window.0.saturating_add(1)..=newest.header.window.0.saturating_add(1);
    let is_other = |vote: &Voted| covered.contains(&vote.window.0) && !heads.contains(&vote.head);
    if let Some(Voted { window, head }) = votes.into_iter().find(is_other) {
        return Err(NotAdoptable::Head { window, head });
    }
    Ok(newest.name())
}

impl ScoreLog {
    /// Returns the name under which other validators adopt the standings after this log.
    #[must_use]
    pub fn name(&self) -> Adopted {
        let header = &self.header;
        Adopted { validator: header.validator.hotkey, window: header.window, head: self.head() }
    }
}

#[cfg(test)]
mod tests;
