//! The rows of an export: one for each miner of each score log.

use base::{Hotkey, NeuronId, Uid};
use scoring::{
    gauntlet::{Evaluation, Judgement, Outcome, ScoringSpec, Standing},
    score_log::{MinerLine, ScoreLog},
};

/// The type of the cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// A 64-bit integer.
    Whole,
    /// An f64.
    Real,
}

/// A cell: a value of its column's kind, or nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Whole(i64),
    Real(f64),
    Nothing,
}

/// The row of one miner in the log of one validator for one window.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    log: &'a ScoreLog,
    validator: (Hotkey, Uid),
    spec: &'a ScoringSpec,
    miner: NeuronId,
    line: MinerLine,
    standing: Option<&'a Standing>,
}

/// A column: its name, its kind, and the function that gets its cell from a row.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) cell: fn(&Row<'_>) -> Cell,
}

/// All columns, in order.
pub(super) const COLUMNS: [Column; 22] = [
    column("window", Kind::Whole, |row| whole(row.log.header.window.0)),
    column("validator", Kind::Text, |row| Cell::Text(row.validator.0.to_string())),
    column("validator_uid", Kind::Whole, |row| whole(row.validator.1.0.into())),
    column("miner", Kind::Text, |row| Cell::Text(row.miner.hotkey.to_string())),
    column("uid", Kind::Whole, |row| whole(row.line.uid.0.into())),
    column("object", Kind::Text, |row| Cell::Text(row.line.object.to_string())),
    column("outcome", Kind::Text, |row| Cell::Text(row.outcome().to_owned())),
    column("fault", Kind::Text, |row| row.fault()),
    column("assigned_before", Kind::Real, |row| row.loss(|evaluation| evaluation.assigned.before)),
    column("assigned_after", Kind::Real, |row| row.loss(|evaluation| evaluation.assigned.after)),
    column("unassigned_before", Kind::Real, |row| row.loss(|_| row.log.header.unassigned_before)),
    column("unassigned_after", Kind::Real, |row| row.loss(|evaluation| evaluation.unassigned_after)),
    column("improvement", Kind::Real, |row| row.judged(|judgement| judgement.improvement)),
    column("margin", Kind::Real, |row| row.judged(|judgement| judgement.margin)),
    column("mu", Kind::Real, |row| row.standing(|standing, _| standing.rating.mu().get())),
    column("sigma", Kind::Real, |row| row.standing(|standing, _| standing.rating.sigma().get())),
    column("rating", Kind::Real, |row| row.standing(|standing, spec| standing.rating.value(spec.z).get())),
    column("proof", Kind::Real, |row| {
        row.standing(|standing, spec| spec.proof.verdict(standing.proof).factor().get())
    }),
    column("credit", Kind::Real, |row| row.standing(|standing, _| standing.credit.get())),
    column("judged", Kind::Whole, |row| {
        row.standing.map_or(Cell::Nothing, |standing| whole(standing.judged.into()))
    }),
    column("score", Kind::Real, |row| row.score()),
    column("weight", Kind::Whole, |row| row.weight()),
];

const fn column(name: &'static str, kind: Kind, cell: fn(&Row<'_>) -> Cell) -> Column {
    Column { name, kind, cell }
}

fn whole(number: u64) -> Cell {
    // Windows, uids and counts are far below 2^63. A larger number becomes an empty cell.
    i64::try_from(number).map_or(Cell::Nothing, Cell::Whole)
}

impl<'a> Row<'a> {
    /// Returns the rows of a log, in the order of hotkeys.
    pub(super) fn of(
        log: &'a ScoreLog,
        validator: Uid,
        spec: &'a ScoringSpec,
    ) -> impl Iterator<Item = Self> + 'a {
        log.miners.iter().map(move |(&miner, &line)| {
            let standing = log.stated.standings.get(&miner);
            Self { log, validator: (log.header.validator.hotkey, validator), spec, miner, line, standing }
        })
    }

    fn outcome(&self) -> &'static str {
        match self.line.outcome {
            Outcome::Evaluated(_) => "evaluated",
            Outcome::Failed(_) => "failed",
            Outcome::Skipped => "cut",
            Outcome::Gone => "gone",
        }
    }

    /// Returns the miner's fault: the one in the log, or else the one that follows from the losses.
    fn fault(&self) -> Cell {
        let found = match &self.line.outcome {
            Outcome::Failed(fault) => Some(*fault),
            Outcome::Evaluated(evaluation) => {
                let judged = evaluation.judge(self.miner, self.log.header.unassigned_before);
                judged.ok().and_then(Result::err)
            }
            Outcome::Skipped | Outcome::Gone => None,
        };
        found.map_or(Cell::Nothing, |fault| Cell::Text(fault.to_string()))
    }

    fn loss(&self, of: impl Fn(&Evaluation) -> f64) -> Cell {
        match &self.line.outcome {
            Outcome::Evaluated(evaluation) => Cell::Real(of(evaluation)),
            _ => Cell::Nothing,
        }
    }

    fn judged(&self, of: impl Fn(&Judgement) -> f64) -> Cell {
        let Outcome::Evaluated(evaluation) = &self.line.outcome else { return Cell::Nothing };
        let judged = evaluation.judge(self.miner, self.log.header.unassigned_before);
        judged.ok().and_then(Result::ok).map_or(Cell::Nothing, |judgement| Cell::Real(of(&judgement)))
    }

    fn standing(&self, of: impl Fn(&Standing, &ScoringSpec) -> f64) -> Cell {
        self.standing.map_or(Cell::Nothing, |standing| Cell::Real(of(standing, self.spec)))
    }

    /// Returns the score: rating times proof times credit. Logs state it in units of 1e-12.
    fn score(&self) -> Cell {
        let score = self.log.stated.scores.get(&self.miner);
        score.map_or(Cell::Nothing, |score| Cell::Real(score.0 as f64 / 1e12))
    }

    fn weight(&self) -> Cell {
        let named = self.line.outcome != Outcome::Gone;
        let weight = named.then(|| self.log.stated.weights.get(&self.line.uid)).flatten();
        weight.map_or(Cell::Nothing, |&weight| whole(weight.into()))
    }
}
