//! The rows of an export: one for each miner of each score log.

use base::{Hotkey, Uid};
use scoring::{
    gauntlet::{Evaluation, Judgement, Outcome, ScoringSpec, Standing, proof::Verdict},
    score_log::{MinerLine, ScoreLog},
    uniqueness::Nearest,
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
    miner: Hotkey,
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
pub(super) const COLUMNS: [Column; 29] = [
    column("window", Kind::Whole, |row| whole(row.log.header.window.0)),
    column("validator", Kind::Text, |row| Cell::Text(row.validator.0.to_string())),
    column("validator_uid", Kind::Whole, |row| whole(row.validator.1.0.into())),
    column("miner", Kind::Text, |row| Cell::Text(row.miner.to_string())),
    column("uid", Kind::Whole, |row| whole(row.line.uid.0.into())),
    column("object", Kind::Text, |row| Cell::Text(row.line.object.to_string())),
    column("outcome", Kind::Text, |row| Cell::Text(row.outcome().to_owned())),
    column("fault", Kind::Text, |row| row.fault()),
    column("unassigned_before", Kind::Real, |row| row.measured(|_| row.log.header.unassigned_before)),
    column("assigned", Kind::Real, |row| row.measured(|evaluation| evaluation.assigned.mean())),
    column("common", Kind::Real, |row| row.measured(|evaluation| evaluation.common.mean())),
    column("own", Kind::Real, |row| row.measured(|evaluation| evaluation.own.mean())),
    column("share", Kind::Real, |row| row.measured(|evaluation| evaluation.share.get())),
    column("uniqueness", Kind::Real, |row| row.measured(|evaluation| evaluation.overlap.uniqueness().get())),
    column("overlaps_with", Kind::Text, |row| row.nearest(|nearest| Cell::Text(nearest.partner.to_string()))),
    column("overlap_class", Kind::Text, |row| {
        row.nearest(|nearest| Cell::Text(format!("{:?}", nearest.class)))
    }),
    column("cosine", Kind::Real, |row| row.nearest(|nearest| Cell::Real(nearest.cosine.get()))),
    column("improvement", Kind::Real, |row| row.judged(|judgement| judgement.improvement)),
    column("margin", Kind::Real, |row| row.judged(|judgement| judgement.margin)),
    column("mu", Kind::Real, |row| row.standing(|standing, _| standing.rating.mu().get())),
    column("sigma", Kind::Real, |row| row.standing(|standing, _| standing.rating.sigma().get())),
    column("contribution", Kind::Real, |row| row.standing(|standing, _| standing.contribution.mean().get())),
    column("proof", Kind::Real, |row| {
        let standings = &row.log.stated.standings;
        row.standing(|_, spec| standings.verdict(spec, &row.miner).factor().get())
    }),
    column("verdict", Kind::Text, |row| row.verdict()),
    column("evidence_missing", Kind::Real, |row| {
        row.standing(|standing, spec| standing.proof.missing(&spec.proof).get())
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
            Outcome::Evaluated(evaluation) => evaluation.judge().err(),
            Outcome::Skipped | Outcome::Gone => None,
        };
        found.map_or(Cell::Nothing, |fault| Cell::Text(fault.to_string()))
    }

    fn measured(&self, of: impl Fn(&Evaluation) -> f64) -> Cell {
        match &self.line.outcome {
            Outcome::Evaluated(evaluation) => Cell::Real(of(evaluation)),
            _ => Cell::Nothing,
        }
    }

    fn judged(&self, of: impl Fn(&Judgement) -> f64) -> Cell {
        let Outcome::Evaluated(evaluation) = &self.line.outcome else { return Cell::Nothing };
        evaluation.judge().map_or(Cell::Nothing, |judgement| Cell::Real(of(&judgement)))
    }

    /// Returns a cell about the partner with which the update overlaps most, if it overlaps.
    fn nearest(&self, of: impl Fn(&Nearest) -> Cell) -> Cell {
        let Outcome::Evaluated(evaluation) = &self.line.outcome else { return Cell::Nothing };
        evaluation.overlap.nearest.as_ref().map_or(Cell::Nothing, of)
    }

    /// Returns the verdict on the proof of computation.
    fn verdict(&self) -> Cell {
        if self.standing.is_none() {
            return Cell::Nothing;
        }
        let text = match self.log.stated.standings.verdict(self.spec, &self.miner) {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Undecided { .. } => "undecided",
            Verdict::NotMeasurable { .. } => "not measurable",
        };
        Cell::Text(text.to_owned())
    }

    fn standing(&self, of: impl Fn(&Standing, &ScoringSpec) -> f64) -> Cell {
        self.standing.map_or(Cell::Nothing, |standing| Cell::Real(of(standing, self.spec)))
    }

    /// Returns the score: contribution squared times proof times credit.
    fn score(&self) -> Cell {
        let score = self.log.stated.scores.get(&self.miner);
        score.map_or(Cell::Nothing, |score| Cell::Real(score.get()))
    }

    fn weight(&self) -> Cell {
        let named = self.line.outcome != Outcome::Gone;
        let weight = named.then(|| self.log.stated.weights.get(&self.line.uid)).flatten();
        weight.map_or(Cell::Nothing, |&weight| whole(weight.into()))
    }
}
