//! Computes the results of a log: for the validator that closes a window, and for any reader that
//! replays its logs.

use super::{Header, MinerLine, ReplayError, ScoreLog, Stated};
use crate::{
    gauntlet::{Observed, Outcome, ScoringSpec, Standings},
    pay::Score,
    weights::{Weights, WeightsError, weights},
};
use base::{Hotkey, Uid, Window, digest::ScoreLogHead};
use std::collections::BTreeMap;

/// The results of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// The standings after the window.
    pub standings: Standings,
    /// The score of each miner that has a standing.
    pub scores: BTreeMap<Hotkey, Score>,
    /// The weights, or the reason why no weights can be set.
    pub weights: Result<Weights, WeightsError>,
}

impl ScoreLog {
    /// Closes a window. Returns the log to be signed and published, and its results.
    ///
    /// `standings` are those before the window. Fills in their hash in the header, and adds a snapshot
    /// where the run spec asks for one.
    ///
    /// # Errors
    /// The window cannot be rated, or two miners have one uid.
    pub fn close(
        spec: &ScoringSpec,
        standings: &Standings,
        header: Header,
        miners: BTreeMap<Hotkey, MinerLine>,
    ) -> Result<(Self, Results), ReplayError> {
        let header = Header { standings: standings.hash(), ..header };
        let snapshot = header.asks_for_snapshot(spec).then(|| standings.clone());
        let mut log = Self { header, snapshot, miners, stated: Stated::default() };
        let results = log.results(spec, standings)?;
        log.stated = Stated {
            standings: results.standings.clone(),
            scores: results.scores.clone(),
            weights: results.weights.clone().unwrap_or_default(),
        };
        Ok((log, results))
    }

    /// Computes the results of the log's measurements from the standings before it.
    fn results(&self, spec: &ScoringSpec, before: &Standings) -> Result<Results, ReplayError> {
        let window = self.header.window;
        let uids = self.uids()?;
        let observed = Observed {
            window,
            seed: self.header.seed,
            outcomes: self.miners.iter().map(|(&miner, line)| (miner, line.outcome)).collect(),
        };
        let standings = before.after(spec, &observed).map_err(|error| ReplayError::Rate { window, error })?;
        let scores = standings.scores(spec);
        let weights = weights(&spec.weights, &scores, &uids, &self.header.subnet);
        Ok(Results { standings, scores, weights })
    }

    /// Returns the uid of each miner whose hotkey is registered.
    fn uids(&self) -> Result<BTreeMap<Hotkey, Uid>, ReplayError> {
        let mut owners = BTreeMap::new();
        for (&miner, line) in self.miners.iter().filter(|(_, line)| line.outcome != Outcome::Gone) {
            if let Some(first) = owners.insert(line.uid, miner) {
                let window = self.header.window;
                let uid = line.uid;
                return Err(ReplayError::UidTwice { window, uid, first, second: miner });
            }
        }
        Ok(owners.into_iter().map(|(uid, miner)| (miner, uid)).collect())
    }
}

/// A replay of a validator's logs, one after the other, beginning with a log that has a snapshot.
///
/// Pass only logs that [`ScoreLog::open`] has accepted.
#[derive(Clone, Debug)]
pub struct Replay {
    spec: ScoringSpec,
    last: Option<Last>,
}

/// The last log that was replayed.
#[derive(Clone, Debug)]
struct Last {
    window: Window,
    head: ScoreLogHead,
    standings: Standings,
}

impl Replay {
    /// Creates a replay of a run that is scored by `spec`.
    #[must_use]
    pub fn new(spec: ScoringSpec) -> Self {
        Self { spec, last: None }
    }

    /// Replays the next log. Returns its results if they equal the stated ones.
    ///
    /// # Errors
    /// The log does not follow the last one, cannot be rated, or states other results. Then the replay
    /// does not advance.
    pub fn next(&mut self, log: &ScoreLog) -> Result<Results, ReplayError> {
        let window = log.header.window;
        self.check_order(&log.header)?;
        let before = self.standings_before(log)?;
        let results = log.results(&self.spec, before)?;
        if let Some(difference) = log.stated.difference(&results) {
            return Err(ReplayError::Differs { window, difference: Box::new(difference) });
        }
        self.last = Some(Last { window, head: log.head(), standings: results.standings.clone() });
        Ok(results)
    }

    fn check_order(&self, header: &Header) -> Result<(), ReplayError> {
        let Some(last) = &self.last else { return Ok(()) };
        let (window, previous) = (header.window, header.previous);
        if window <= last.window {
            return Err(ReplayError::Past { window, last: last.window });
        }
        if previous != last.head {
            return Err(ReplayError::Gap { window, previous, last: last.head });
        }
        Ok(())
    }

    fn standings_before<'a>(&'a self, log: &'a ScoreLog) -> Result<&'a Standings, ReplayError> {
        let window = log.header.window;
        match (log.header.asks_for_snapshot(&self.spec), &log.snapshot) {
            (true, None) => return Err(ReplayError::NoSnapshot(window)),
            (false, Some(_)) => return Err(ReplayError::Snapshot(window)),
            _ => {}
        }
        let is_first = log.header.previous == ScoreLogHead::default();
        if is_first && log.header.adopted.is_none() && log.snapshot.as_ref() != Some(&Standings::default()) {
            return Err(ReplayError::Unfounded(window));
        }
        let replayed = self.last.as_ref().map(|last| &last.standings);
        for standings in [replayed, log.snapshot.as_ref()].into_iter().flatten() {
            let stated = log.header.standings;
            let replayed = standings.hash();
            if stated != replayed {
                return Err(ReplayError::Standings { window, stated, replayed });
            }
        }
        replayed.or(log.snapshot.as_ref()).ok_or(ReplayError::NoStandings(window))
    }
}
