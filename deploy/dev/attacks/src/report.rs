//! The results: JSON with all numbers, and a table for readers.

use crate::{experiment::Plan, lab::Lab};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

/// The results of a suite.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// By name of the kind.
    #[serde(flatten)]
    pub(crate) kinds: BTreeMap<&'static str, KindReport>,
    /// The largest distance of an equal miner's pay from the mean, as a share of it, after all windows.
    equal_spread: f64,
    /// The same after 30 windows.
    equal_spread_30: f64,
    /// The share of windows in which honest miners are at factor 0 after their first verdict.
    honest_at_0: f64,
    /// The held-out loss of the honest miners alone, at the end.
    honest_loss: f64,
    /// The verdicts on the honest miners alone, by the number of sequences, if numbers are compared.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    honest_proof: BTreeMap<u16, Verdicts>,
    #[serde(skip)]
    title: String,
}

/// The results of one kind: means over all seeds.
#[derive(Debug, Serialize)]
pub(crate) struct KindReport {
    /// The pay relative to the mean honest miner of the same run, and its range over the seeds.
    pub(crate) pay: f64,
    pub(crate) pay_range: [f64; 2],
    /// The relative growth of the held-out loss against the same run without the kind, and its range.
    pub(crate) loss_damage: f64,
    pub(crate) damage_range: [f64; 2],
    /// Windows until the factor of a hotkey is 0 for good; the median. `None`: more than half never.
    pub(crate) found_after: Option<u64>,
    /// Windows from the first update until a hotkey's pay is half, and nine tenths, of the mean honest pay of
    /// a window; the median.
    pub(crate) half_paid_after: Option<u64>,
    pub(crate) fully_paid_after: Option<u64>,
    pub(crate) windows: u64,
    pub(crate) hotkeys: u32,
    /// The share of the updates that were accepted.
    pub(crate) accepted: f64,
    /// The mean improvement, relative to the honest miners'.
    pub(crate) improvement: f64,
    /// The mean margin in standard errors.
    pub(crate) margin: f64,
    /// The share of the honest updates that were accepted beside the kind, and their mean margin.
    pub(crate) honest_accepted: f64,
    pub(crate) honest_margin: f64,
    /// The probability of the backdoor's answer after its trigger, and the same without the kind.
    pub(crate) answer: f64,
    pub(crate) answer_without: f64,
    /// The verdicts on its hotkeys, and on the honest ones beside it, by the number of sequences.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) proof: BTreeMap<u16, Verdicts>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) honest_proof: BTreeMap<u16, Verdicts>,
    #[serde(skip)]
    pub(crate) about: &'static str,
}

/// The verdicts of the proof on some hotkeys.
#[derive(Debug, Serialize)]
pub(crate) struct Verdicts {
    pub(crate) hotkeys: usize,
    /// The mean margin in standard errors.
    pub(crate) margin: f64,
    /// The share of the hotkeys that ever passed, and of those that ever failed.
    pub(crate) passed: f64,
    pub(crate) failed: f64,
    /// Windows until a hotkey passed, and failed, for the first time; the median. `None`: more than half
    /// never.
    pub(crate) passed_after: Option<u64>,
    pub(crate) failed_after: Option<u64>,
}

/// The results of the honest miners alone.
pub(crate) struct Honest {
    pub(crate) loss: f64,
    pub(crate) after_30: f64,
    pub(crate) after_all: f64,
    pub(crate) honest_at_0: f64,
    pub(crate) proof: BTreeMap<u16, Verdicts>,
}

impl Report {
    /// Creates a report without kinds.
    pub(crate) fn new(lab: &Lab, plan: &Plan, honest: Honest) -> Self {
        let title = format!(
            "{}: {} parameters, {} honest miners, {} windows, seeds {} to {}, {:?}",
            lab.run.name,
            lab.run.model.parameters(),
            plan.honest,
            plan.windows,
            plan.first_seed,
            plan.first_seed + plan.seeds - 1,
            lab.run.sparse.aggregation,
        );
        let Honest { loss, after_30, after_all, honest_at_0, proof } = honest;
        Self {
            kinds: BTreeMap::new(),
            equal_spread: after_all,
            equal_spread_30: after_30,
            honest_at_0,
            honest_loss: loss,
            honest_proof: proof,
            title,
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        writeln!(
            f,
            "| kind | hotkeys | pay | loss damage | found after | accepted | improvement | margin | honest margin | what it does |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|")?;
        for (name, kind) in &self.kinds {
            let found = after(kind.found_after);
            writeln!(
                f,
                "| {name} | {} | {:.2} | {:+.2} % | {found} | {:.0} % | {:.2} | {:.2} | {:.2} | {} |",
                kind.hotkeys,
                kind.pay,
                100.0 * kind.loss_damage,
                100.0 * kind.accepted,
                kind.improvement,
                kind.margin,
                kind.honest_margin,
                kind.about
            )?;
        }
        let [spread, early, zero] =
            [self.equal_spread, self.equal_spread_30, self.honest_at_0].map(|x| 100.0 * x);
        writeln!(
            f,
            "\nHonest miners alone: held-out loss {:.4} at the end; pay at most {spread:.0} % from the",
            self.honest_loss
        )?;
        writeln!(
            f,
            "mean, {early:.0} % after 30 windows; at factor 0 in {zero:.1} % of the windows after the first verdict."
        )?;
        self.write_proof(f)
    }
}

impl Report {
    /// Writes the table of verdicts, if numbers of sequences were compared.
    fn write_proof(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.honest_proof.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n| kind | sequences | margin | passed | after | failed | after |\n|---|---|---|---|---|---|---|"
        )?;
        let honest = std::iter::once((&"honest", &self.honest_proof));
        for (name, proof) in honest.chain(self.kinds.iter().map(|(name, kind)| (name, &kind.proof))) {
            for (sequences, verdicts) in proof {
                let Verdicts { margin, passed, failed, passed_after, failed_after, .. } = *verdicts;
                let [passed, failed] = [passed, failed].map(|share| 100.0 * share);
                let (pass, fail) = (after(passed_after), after(failed_after));
                writeln!(
                    f,
                    "| {name} | {sequences} | {margin:.2} | {passed:.0} % | {pass} | {failed:.0} % | {fail} |"
                )?;
            }
        }
        Ok(())
    }
}

/// Returns a number of windows for the table.
fn after(windows: Option<u64>) -> String {
    windows.map_or_else(|| "never".to_owned(), |windows| windows.to_string())
}

/// Returns the mean. It is not a number without values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the smallest and the largest value.
pub(crate) fn range(values: &[f64]) -> [f64; 2] {
    let fold = |start, with: fn(f64, f64) -> f64| values.iter().copied().fold(start, with);
    [fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max)]
}

/// Returns the upper median, where `None` is later than any number of windows.
pub(crate) fn median_found(mut found: Vec<Option<u64>>) -> Option<u64> {
    found.sort_by_key(|windows| windows.unwrap_or(u64::MAX));
    found.get(found.len() / 2).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_those_that_are_never_found_is_never() {
        assert_eq!(median_found(vec![Some(3), None, Some(1)]), Some(3));
        assert_eq!(median_found(vec![Some(3), None]), None);
        assert_eq!(median_found(Vec::new()), None);
        assert_eq!(range(&[2.0, -1.0]), [-1.0, 2.0]);
    }
}
