//! Computing a log's results: once by the validator, again by whoever doubts it.

use super::{Header, MinerLine, ReplayError, ScoreLog, Stated};
use crate::{
    gauntlet::{Observed, Outcome, Score, ScoringSpec, Standings},
    weights::{Weights, WeightsError, weights},
};
use base::{NeuronId, Uid, Window, digest::ScoreLogHead};
use std::collections::BTreeMap;

/// What comes out of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// The standings after it.
    pub standings: Standings,
    /// The score of each miner that has a standing.
    pub scores: BTreeMap<NeuronId, Score>,
    /// The weights, or why there are none.
    pub weights: Result<Weights, WeightsError>,
}

impl ScoreLog {
    /// Closes a window: the log to be signed and published, and what comes out of it.
    ///
    /// `standings` are those before the window; the header's hash of them is filled in here, and a snapshot is added where
    /// the run spec asks for one.
    ///
    /// # Errors
    /// The window cannot be rated, or two miners have one uid.
    pub fn close(
        spec: &ScoringSpec,
        standings: &Standings,
        header: Header,
        miners: BTreeMap<NeuronId, MinerLine>,
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

    /// What comes out of the log's measurements, given the standings before it.
    fn results(&self, spec: &ScoringSpec, before: &Standings) -> Result<Results, ReplayError> {
        let window = self.header.window;
        let uids = self.uids()?;
        let observed = Observed {
            seed: self.header.seed,
            unassigned_before: self.header.unassigned_before,
            outcomes: self.miners.iter().map(|(&miner, line)| (miner, line.outcome)).collect(),
        };
        let standings = before.after(spec, &observed).map_err(|error| ReplayError::Rate { window, error })?;
        let scores = standings.scores(spec);
        let weights = weights(&spec.weights, &scores, &uids, &self.header.subnet);
        Ok(Results { standings, scores, weights })
    }

    /// The uid of each miner that has one.
    fn uids(&self) -> Result<BTreeMap<NeuronId, Uid>, ReplayError> {
        let mut owners = BTreeMap::new();
        for (&miner, line) in self.miners.iter().filter(|(_, line)| line.outcome != Outcome::Gone) {
            if let Some(first) = owners.insert(line.uid, miner) {
                let (window, uid) = (self.header.window, line.uid);
                return Err(ReplayError::UidTwice { window, uid, first, second: miner });
            }
        }
        Ok(owners.into_iter().map(|(uid, miner)| (miner, uid)).collect())
    }
}

/// Replays a validator's logs one after the other, beginning with one that has a snapshot.
///
/// Only logs that [`ScoreLog::open`] has let through should come here.
#[derive(Clone, Debug)]
pub struct Replay {
    spec: ScoringSpec,
    last: Option<Last>,
}

/// Where a replay stands.
#[derive(Clone, Debug)]
struct Last {
    window: Window,
    head: ScoreLogHead,
    standings: Standings,
}

impl Replay {
    /// A replay of a run that is scored by `spec`.
    #[must_use]
    pub fn new(spec: ScoringSpec) -> Self {
        Self { spec, last: None }
    }

    /// Replays the next log: what comes out, if it is what the validator says.
    ///
    /// # Errors
    /// The log does not follow the last one, cannot be rated, or states something else than comes out; then the replay stays
    /// where it was.
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
        let replayed = self.last.as_ref().map(|last| &last.standings);
        for standings in [replayed, log.snapshot.as_ref()].into_iter().flatten() {
            let (stated, replayed) = (log.header.standings, standings.hash());
            if stated != replayed {
                return Err(ReplayError::Standings { window, stated, replayed });
            }
        }
        replayed.or(log.snapshot.as_ref()).ok_or(ReplayError::NoStandings(window))
    }
}
