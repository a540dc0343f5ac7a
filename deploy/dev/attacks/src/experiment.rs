//! Experiments: each kind beside honest miners, compared with the same run without it.

use crate::{
    kinds::{Kind, Pay, Side},
    lab::Lab,
    network::{Judged, Network, Record, Tried},
    panel,
    report::{self, Honest, KindReport, Report, Verdicts},
    strategy::{Strategy, Work, answer_share},
};
use anyhow::{Context as _, Result};
use scoring::gauntlet::proof::Verdict;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The size of a suite.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) honest: u32,
    /// The number of hotkeys of each kind, instead of the kind's own.
    pub(crate) hostile: Option<u32>,
    pub(crate) windows: u64,
    pub(crate) first_seed: u64,
    pub(crate) seeds: u64,
    pub(crate) threads: usize,
    /// Numbers of sequences on which the proof is compared.
    pub(crate) sequences: Vec<u16>,
}

/// A run to make: a kind (or none, for the honest miners alone) and a seed.
#[derive(Clone, Copy)]
struct Job<'a> {
    kind: Option<&'a Kind>,
    seed: u64,
}

/// The results of a run.
struct Outcome {
    record: Record,
    /// The probability of the backdoor's answer after its trigger.
    answer: f64,
}

/// Windows at the end over which the held-out loss is averaged.
const LAST: usize = 5;

/// Runs all kinds with all seeds, each on one thread, and compares them with the honest miners alone.
pub(crate) fn run(lab: &Lab, kinds: &[Kind], plan: &Plan) -> Result<Report> {
    let seeds = plan.first_seed..plan.first_seed + plan.seeds;
    let mut jobs: Vec<Job<'_>> = seeds.clone().map(|seed| Job { kind: None, seed }).collect();
    for kind in kinds {
        jobs.extend(seeds.clone().map(|seed| Job { kind: Some(kind), seed }));
    }
    let outcomes = run_all(lab, &jobs, plan)?;
    let count = jobs.len() / (kinds.len() + 1);
    let (alone, rest) = outcomes.split_at(count);
    let mut report = Report::new(lab, plan, honest(alone, plan));
    for (kind, outcomes) in kinds.iter().zip(rest.chunks(count)) {
        report.kinds.insert(kind.name, compare(kind, outcomes, alone, plan));
    }
    Ok(report)
}

/// Runs all jobs on some threads, and returns their outcomes in the order of the jobs.
fn run_all(lab: &Lab, jobs: &[Job<'_>], plan: &Plan) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Option<Result<Outcome>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(place) else { return };
                    let outcome = job.run(lab, plan);
                    *outcomes[place].lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                }
            });
        }
    });
    let done = |outcome: Mutex<Option<_>>| outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.into_iter().map(|outcome| done(outcome).context("a thread of the suite ended early")?).collect()
}

impl Job<'_> {
    fn run(&self, lab: &Lab, plan: &Plan) -> Result<Outcome> {
        let name = self.kind.map_or("honest", |kind| kind.name);
        let mut groups: Vec<(Box<dyn Strategy>, u32)> = vec![(Box::new(Work::default()), plan.honest)];
        let mut copies = None;
        match self.kind.map(|kind| (kind.side, plan.hotkeys(kind))) {
            Some((Side::Miners(make), hotkeys)) => groups.push((make(), hotkeys)),
            Some((Side::Validator(copied), _)) => copies = Some(copied),
            None => {}
        }
        let network = Network::new(lab, self.seed, groups)?.with_fewer(&plan.sequences);
        let network = if let Some(copies) = copies { network.with_copier(copies) } else { network };
        let (record, model) =
            network.run(plan.windows).with_context(|| format!("{name}, seed {}", self.seed))?;
        let answer = answer_share(&model, &lab.dataset.held_out)?;
        let loss = record.losses.last();
        tracing::info!(target: "train", kind = name, seed = self.seed, loss, "run is over");
        Ok(Outcome { record, answer })
    }
}

impl Plan {
    /// Returns the number of hotkeys of a kind.
    fn hotkeys(&self, kind: &Kind) -> u32 {
        match kind.side {
            Side::Miners(_) => self.hostile.unwrap_or(kind.hotkeys),
            Side::Validator(_) => 0,
        }
    }
}

/// Compares the runs of a kind with the honest miners alone.
fn compare(kind: &Kind, outcomes: &[Outcome], alone: &[Outcome], plan: &Plan) -> KindReport {
    let honest = plan.honest as usize;
    let pays: Vec<f64> = outcomes.iter().map(|outcome| pay(kind, &outcome.record, honest)).collect();
    let pairs = outcomes.iter().zip(alone);
    let damages: Vec<f64> =
        pairs.map(|(with, alone)| last_loss(&with.record) / last_loss(&alone.record) - 1.0).collect();
    let found = outcomes.iter().flat_map(|outcome| found_after(&outcome.record, honest)).collect();
    let hostile = |tried: &[Option<Tried>]| tried[honest..].to_vec();
    let fair = |tried: &[Option<Tried>]| tried[..honest].to_vec();
    let ours = Sample::of(outcomes, hostile);
    let theirs = Sample::of(outcomes, fair);
    KindReport {
        pay: report::mean(&pays),
        pay_range: report::range(&pays),
        loss_damage: report::mean(&damages),
        damage_range: report::range(&damages),
        found_after: report::median_found(found),
        half_paid_after: paid_after(outcomes, honest, 0.5),
        fully_paid_after: paid_after(outcomes, honest, 0.9),
        windows: plan.windows,
        hotkeys: plan.hotkeys(kind),
        accepted: ours.accepted,
        improvement: ours.improvement / theirs.improvement,
        margin: ours.margin,
        honest_accepted: theirs.accepted,
        honest_margin: theirs.margin,
        proof: verdicts(outcomes, |hotkey| hotkey >= honest),
        honest_proof: verdicts(outcomes, |hotkey| hotkey < honest),
        answer: report::mean(&outcomes.iter().map(|outcome| outcome.answer).collect::<Vec<_>>()),
        answer_without: report::mean(&alone.iter().map(|outcome| outcome.answer).collect::<Vec<_>>()),
        about: kind.about,
    }
}

/// Returns the pay of a kind over all windows, relative to the mean honest miner of the same run.
fn pay(kind: &Kind, record: &Record, honest: usize) -> f64 {
    let total = |pay: &[f64]| pay.iter().sum::<f64>();
    if !record.dividends.is_empty() {
        let honest: f64 = record.dividends.iter().map(|dividends| total(&dividends[..panel::HONEST])).sum();
        let copier: f64 = record.dividends.iter().map(|dividends| dividends[panel::HONEST]).sum();
        return if honest > 0.0 { copier * panel::HONEST as f64 / honest } else { 0.0 };
    }
    let fair: f64 = record.pay.iter().map(|pay| total(&pay[..honest])).sum::<f64>() / honest as f64;
    let hostile: f64 = record.pay.iter().map(|pay| total(&pay[honest..])).sum();
    let hotkeys = record.pay.first().map_or(1, |pay| pay.len() - honest).max(1);
    let hostile = if kind.pay == Pay::Each { hostile / hotkeys as f64 } else { hostile };
    if fair > 0.0 { hostile / fair } else { 0.0 }
}

/// Returns the held-out loss at the end of a run.
fn last_loss(record: &Record) -> f64 {
    report::mean(&record.losses[record.losses.len().saturating_sub(LAST)..])
}

/// Returns for each hostile hotkey the number of windows after which its factor is 0 in nine of ten windows.
fn found_after(record: &Record, honest: usize) -> Vec<Option<u64>> {
    let hotkeys = record.found.first().map_or(0, Vec::len);
    let of = |hotkey: usize| {
        let found: Vec<bool> = record.found.iter().map(|window| window[hotkey]).collect();
        let for_good = |from: usize| {
            let later = &found[from..];
            later[0] && 10 * later.iter().filter(|found| **found).count() >= 9 * later.len()
        };
        (0..found.len().saturating_sub(LAST)).find(|&from| for_good(from)).map(|from| from as u64 + 1)
    };
    (honest..hotkeys).map(of).collect()
}

/// Returns the windows from the first update of a hostile hotkey until its pay of a window is this share of
/// the mean honest pay: the median of all.
fn paid_after(outcomes: &[Outcome], honest: usize, share: f64) -> Option<u64> {
    let of = |record: &Record, hotkey: usize| {
        let first = record.tried.iter().position(|tried| tried[hotkey].is_some())?;
        let paid = |pay: &Vec<f64>| pay[hotkey] > 0.0 && pay[hotkey] >= share * report::mean(&pay[..honest]);
        record.pay[first..].iter().position(paid).map(|windows| windows as u64 + 1)
    };
    let hotkeys = |record: &Record| honest..record.pay.first().map_or(0, Vec::len);
    let all = outcomes.iter().flat_map(|outcome| {
        hotkeys(&outcome.record).map(|hotkey| of(&outcome.record, hotkey)).collect::<Vec<_>>()
    });
    report::median_found(all.collect())
}

/// Returns the loss of the honest miners alone, and how far their pay is from its mean.
fn honest(alone: &[Outcome], plan: &Plan) -> Honest {
    let losses: Vec<f64> = alone.iter().map(|outcome| last_loss(&outcome.record)).collect();
    let at = |windows: usize| {
        let largest = |outcome: &Outcome| {
            let pay = &outcome.record.pay[..windows.min(outcome.record.pay.len())];
            let totals: Vec<f64> =
                (0..plan.honest as usize).map(|miner| pay.iter().map(|pay| pay[miner]).sum()).collect();
            let mean = report::mean(&totals);
            totals.iter().map(|total| (total / mean - 1.0).abs()).fold(0.0, f64::max)
        };
        alone.iter().map(largest).fold(0.0, f64::max)
    };
    let zero = alone.iter().flat_map(|outcome| honest_at_0(&outcome.record)).collect::<Vec<_>>();
    Honest {
        loss: report::mean(&losses),
        after_30: at(30),
        after_all: at(usize::MAX),
        honest_at_0: report::mean(&zero),
        proof: verdicts(alone, |_| true),
    }
}

/// Returns for each honest miner the share of windows at factor 0 after the first one in which it was paid.
fn honest_at_0(record: &Record) -> Vec<f64> {
    let miners = record.found.first().map_or(0, Vec::len);
    let of = |miner: usize| {
        let first = record.passed.iter().position(|passed| passed[miner])?;
        let later = &record.found[first..];
        Some(later.iter().filter(|found| found[miner]).count() as f64 / later.len() as f64)
    };
    (0..miners).filter_map(of).collect()
}

/// Counts the verdicts on some hotkeys, by the number of sequences.
fn verdicts(outcomes: &[Outcome], chosen: impl Fn(usize) -> bool) -> BTreeMap<u16, Verdicts> {
    let mut all: BTreeMap<u16, Vec<Vec<Judged>>> = BTreeMap::new();
    for (&sequences, windows) in outcomes.iter().flat_map(|outcome| &outcome.record.judged) {
        let hotkeys = (0..windows.first().map_or(0, Vec::len)).filter(|&hotkey| chosen(hotkey));
        let of = |hotkey: usize| windows.iter().map(|window| window[hotkey]).collect();
        all.entry(sequences).or_default().extend(hotkeys.map(of));
    }
    all.into_iter().map(|(sequences, hotkeys)| (sequences, Verdicts::of(&hotkeys))).collect()
}

impl Verdicts {
    /// Counts the verdicts on hotkeys, each judged window by window.
    fn of(hotkeys: &[Vec<Judged>]) -> Self {
        let first = |verdict| {
            let after = |windows: &Vec<Judged>| {
                let place = windows.iter().position(|judged| judged.verdict == verdict);
                place.map(|windows| windows as u64 + 1)
            };
            hotkeys.iter().map(after).collect::<Vec<_>>()
        };
        let share = |found: &[Option<u64>]| found.iter().flatten().count() as f64 / found.len() as f64;
        let (passed, failed) = (first(Verdict::Passed), first(Verdict::Failed));
        let margins: Vec<f64> = hotkeys.iter().flatten().filter_map(|judged| judged.margin).collect();
        Self {
            hotkeys: hotkeys.len(),
            margin: report::mean(&margins),
            passed: share(&passed),
            failed: share(&failed),
            passed_after: report::median_found(passed),
            failed_after: report::median_found(failed),
        }
    }
}

/// Means over all trials of some hotkeys.
struct Sample {
    improvement: f64,
    margin: f64,
    accepted: f64,
}

impl Sample {
    fn of(outcomes: &[Outcome], hotkeys: impl Fn(&[Option<Tried>]) -> Vec<Option<Tried>>) -> Self {
        let windows = outcomes.iter().flat_map(|outcome| &outcome.record.tried);
        let tried: Vec<Tried> = windows.flat_map(|tried| hotkeys(tried)).flatten().collect();
        let mean = |of: fn(&Tried) -> f64| report::mean(&tried.iter().map(of).collect::<Vec<_>>());
        Self {
            improvement: mean(|tried| tried.improvement),
            margin: mean(|tried| tried.margin),
            accepted: mean(|tried| f64::from(u8::from(tried.accepted))),
        }
    }
}
