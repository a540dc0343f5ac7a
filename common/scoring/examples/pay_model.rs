//! A model of pay: synthetic miners under the rules of `scoring`, and what they earn.
//!
//! `cargo run -p scoring --example pay_model` prints tables: pay relative to an honest miner. Options, each
//! with a number: `--seeds`, `--margin`, `--windows`, `--fraction`, `--first` (margin).
//!
//! Improvements are relative to an honest miner's, with a noise of 4 % per window. So are margins: the mean
//! of an honest miner's is `--margin` standard errors. A part of the variance of a margin comes from the
//! unassigned sequences, so all miners of a window share it. The figures of the kinds (improvement and
//! margin) are those that a small model of the training loop gave: half of the steps 0.69 and 0.5, a tenth
//! 0.49 and 0.1, the last outer step 0.43 and 0, only unassigned data 0.97 and 0, each of two hotkeys of one
//! training run 0.97 and 0.5, of four 0.95 and 0.25.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A program for developers.

use base::{BlockHash, Hotkey, Millionths, Window};
use scoring::{
    gauntlet::{Evaluation, Fault, Improvements, Observed, Outcome, ScoringSpec, Standings},
    uniqueness::Overlap,
};
use std::collections::BTreeMap;

/// An honest improvement, relative to the loss before.
const IMPROVEMENT: f64 = 0.005;
/// The standard deviation of an improvement over windows, relative to it.
const NOISE: f64 = 0.04;

/// The behaviour of a miner.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    count: usize,
    /// Improvement and margin relative to honest ones.
    improvement: f64,
    margin: f64,
    /// Excess of overlap with others.
    excess: f64,
    /// The share of samples that it declares.
    share: f64,
    presence: Presence,
}

/// The windows in which a miner takes part.
#[derive(Clone, Copy, Debug)]
enum Presence {
    Always,
    /// Three windows of four.
    Duty,
    /// With a new hotkey in every window.
    Churn(u64),
    /// From this window on.
    From(u64),
}

const fn kind(name: &'static str, improvement: f64, margin: f64) -> Kind {
    Kind { name, count: 1, improvement, margin, excess: 0.0, share: 1.0, presence: Presence::Always }
}

/// Random numbers, the same for the same seed.
struct Random(blake3::OutputReader);

impl Random {
    fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    /// Returns a number from 0 to 1.
    fn uniform(&mut self) -> f64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a number with mean 0 and variance 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Returns sums with this mean, where each sequence has a standard deviation of `spread`.
fn sums(count: u16, mean: f64, spread: f64) -> Improvements {
    let count = f64::from(count);
    let squares = count * mean * mean + spread * spread * (count - 1.0);
    Improvements { count: count as u32, sum: count * mean, squares }
}

/// The results of one run.
struct Story {
    /// The share of pay by window, kind and miner.
    pay: Vec<Vec<Vec<f64>>>,
    /// The windows of honest miners after their first verdict, and those at factor 0.
    judged: (usize, usize),
    /// The number of windows until the first verdict on each honest miner.
    first: Vec<usize>,
}

impl Story {
    /// Returns the cumulative pay of the miners of a kind after some windows.
    fn cumulative(&self, kind: usize, windows: usize) -> Vec<f64> {
        let sum = |miner| self.pay[..windows].iter().map(|pay| pay[kind][miner]).sum();
        (0..self.pay[0][kind].len()).map(sum).collect()
    }

    /// Returns the pay of the miners of a kind relative to the mean honest one, cumulative and in the last of
    /// some windows.
    fn relative(&self, kind: usize, windows: usize) -> (Vec<f64>, Vec<f64>) {
        let by = |pay: Vec<f64>, honest: &[f64]| {
            let mean = honest.iter().sum::<f64>() / honest.len() as f64;
            pay.into_iter().map(|pay| pay / mean.max(1e-300)).collect()
        };
        let last = &self.pay[windows - 1];
        let cumulative = by(self.cumulative(kind, windows), &self.cumulative(0, windows));
        (cumulative, by(last[kind].clone(), &last[0]))
    }
}

/// A model of a subnet.
struct Model {
    spec: ScoringSpec,
    kinds: Vec<Kind>,
    /// The mean margin of an honest miner.
    margin: f64,
    windows: u64,
}

impl Model {
    fn miner(&self, kind: usize, index: usize, window: u64) -> Hotkey {
        let mut hotkey = [0; 32];
        (hotkey[0], hotkey[1]) = (kind as u8, index as u8);
        if let Presence::Churn(every) = self.kinds[kind].presence {
            hotkey[8..16].copy_from_slice(&(window / every + 1).to_le_bytes());
        }
        Hotkey(hotkey)
    }

    fn outcome(&self, kind: &Kind, window: u64, shared: f64, random: &mut Random) -> Option<Outcome> {
        let (a, b) = (random.normal(), random.normal());
        match kind.presence {
            Presence::Duty if window % 4 == 3 => return None,
            Presence::From(first) if window < first => return None,
            _ => {}
        }
        let improvement = IMPROVEMENT * (kind.improvement + NOISE * a);
        // A sequence has this spread, so the mean of a batch has an error by the number of its sequences.
        let spread = IMPROVEMENT * 0.5;
        let error = |count: u16| spread / f64::from(count).sqrt();
        let spec = &self.spec;
        let own = error(spec.assigned_sequences);
        let others = error(spec.common_sequences + spec.own_sequences);
        let margin = own.hypot(others) * self.margin * kind.margin + own * b - others * shared;
        Some(Outcome::Evaluated(Evaluation {
            assigned: sums(self.spec.assigned_sequences, improvement + margin, spread),
            common: sums(self.spec.common_sequences, improvement, spread),
            own: sums(self.spec.own_sequences, improvement, spread),
            share: Millionths::rounded(kind.share).unwrap(),
            overlap: Overlap { excess: Millionths::rounded(kind.excess).unwrap(), nearest: None },
        }))
    }

    fn run(&self, seed: u64) -> Story {
        let mut random = Random::new(seed);
        let mut standings = Standings::default();
        let mut story = Story { pay: Vec::new(), judged: (0, 0), first: vec![0; self.kinds[0].count] };
        for window in 0..self.windows {
            let shared = random.normal();
            let mut outcomes: BTreeMap<_, _> =
                standings.iter().map(|(miner, _)| (*miner, Outcome::Failed(Fault::Absent))).collect();
            for (index, kind) in self.kinds.iter().enumerate() {
                for miner in 0..kind.count {
                    if let Some(outcome) = self.outcome(kind, window, shared, &mut random) {
                        outcomes.insert(self.miner(index, miner, window), outcome);
                    }
                }
            }
            let observed = Observed { window: Window(window), seed: BlockHash([0; 32]), outcomes };
            standings = standings.after(&self.spec, &observed).unwrap();
            self.record(&standings, window, &mut story);
        }
        story
    }

    fn record(&self, standings: &Standings, window: u64, story: &mut Story) {
        let scores = standings.scores(&self.spec);
        let score =
            |kind, miner| scores.get(&self.miner(kind, miner, window)).map_or(0.0, |score| score.get());
        let mut pay: Vec<Vec<f64>> = self
            .kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| (0..kind.count).map(|miner| score(index, miner)).collect())
            .collect();
        let total: f64 = pay.iter().flatten().sum();
        pay.iter_mut().flatten().for_each(|pay| *pay /= total.max(1e-300));
        story.pay.push(pay);
        for miner in 0..self.kinds[0].count {
            let Some(standing) = standings.get(&self.miner(0, miner, window)) else { continue };
            let decided = standing.proof.has_passed() || standing.proof.has_failed();
            if decided && story.first[miner] == 0 {
                story.first[miner] = window as usize + 1;
            }
            if story.first[miner] > 0 {
                story.judged.0 += 1;
                story.judged.1 += usize::from(standing.proof.has_failed());
            }
        }
    }

    /// Runs all seeds. Prints the spread of honest miners, and the pay of each kind after some windows.
    fn print(&self, title: &str, seeds: u64, marks: &[usize]) {
        let stories: Vec<_> = (0..seeds).map(|seed| self.run(seed)).collect();
        println!("\n## {title}\n");
        print_honest(&stories);
        println!(
            "\n| pay relative to the mean honest miner | {} |",
            columns(marks, |mark| format!("{mark} windows"))
        );
        println!("|---|{}", "---|".repeat(marks.len()));
        println!(
            "| least and most of the honest, median run | {} |",
            columns(marks, |mark| spread(&stories, mark, 0.5))
        );
        println!(
            "| the same, of 95 % of the runs | {} |",
            columns(marks, |mark| spread(&stories, mark, 0.95))
        );
        for (index, kind) in self.kinds.iter().enumerate().skip(1) {
            println!("| {} | {} |", kind.name, columns(marks, |mark| paid(&stories, index, mark)));
        }
    }
}

/// Joins the cells of a row.
fn columns(marks: &[usize], cell: impl Fn(usize) -> String) -> String {
    marks.iter().map(|&mark| cell(mark)).collect::<Vec<_>>().join(" | ")
}

/// Returns the number at this share of a list in ascending order.
fn quantile(mut numbers: Vec<f64>, share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[((numbers.len() - 1) as f64 * share).round() as usize]
}

/// Prints how fast and how well the proof judges honest miners.
fn print_honest(stories: &[Story]) {
    let (judged, zero) = stories.iter().fold((0, 0), |(a, b), s| (a + s.judged.0, b + s.judged.1));
    let first: Vec<_> = stories.iter().flat_map(|s| s.first.iter().map(|&windows| windows as f64)).collect();
    let never = first.iter().filter(|&&windows| windows == 0.0).count();
    println!(
        "Honest miners: first verdict after {} windows (median), {} (99 %), none for {never} of {}; at factor 0 in \
         {:.2} % of the windows after it.",
        quantile(first.clone(), 0.5),
        quantile(first.clone(), 0.99),
        first.len(),
        100.0 * zero as f64 / judged.max(1) as f64
    );
}

/// Returns the least and the most cumulative pay of an honest miner that this share of the runs keeps.
fn spread(stories: &[Story], mark: usize, share: f64) -> String {
    let extreme = |of: fn(f64, f64) -> f64, start| -> Vec<f64> {
        stories.iter().map(|story| story.relative(0, mark).0.into_iter().fold(start, of)).collect()
    };
    let least = quantile(extreme(f64::min, f64::MAX), 1.0 - share);
    format!("{least:.2} to {:.2}", quantile(extreme(f64::max, 0.0), share))
}

/// Returns the mean pay of each miner of a kind, cumulative and in the last window, and the most that all of
/// them got together.
fn paid(stories: &[Story], kind: usize, mark: usize) -> String {
    let relative: Vec<_> = stories.iter().map(|story| story.relative(kind, mark)).collect();
    let mean = |list: Vec<f64>| list.iter().sum::<f64>() / list.len() as f64;
    let each = mean(relative.iter().map(|(all, _)| mean(all.clone())).collect());
    let now = mean(relative.iter().map(|(_, last)| mean(last.clone())).collect());
    let together = relative.iter().map(|(all, _)| all.iter().sum::<f64>()).fold(0.0, f64::max);
    format!("{each:.3} (now {now:.3}; together at most {together:.2})")
}

fn option(name: &str) -> Option<f64> {
    let arguments: Vec<_> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1)?.parse().ok()
}

fn main() {
    let seeds = option("--seeds").unwrap_or(100.0) as u64;
    let margin = option("--margin").unwrap_or(2.0);
    let windows = option("--windows").unwrap_or(100.0) as u64;
    let mut spec = ScoringSpec::default();
    if let Some(fraction) = option("--fraction") {
        spec.proof.fraction = Millionths::rounded(fraction).unwrap();
    }
    if let Some(first) = option("--first") {
        spec.proof.first_margin = Millionths::rounded(first).unwrap();
    }
    let honest = |count| Kind { count, ..kind("honest", 1.0, 1.0) };
    let marks: Vec<usize> = [8, 30, 100, 300].into_iter().filter(|&mark| mark <= windows as usize).collect();
    let model = |kinds, windows| Model { spec, kinds, margin, windows };
    println!("Margins of honest miners: {margin} standard errors. {seeds} seeds.");
    model(vec![honest(16)], windows).print("16 honest miners", seeds, &marks);
    model(vec![honest(3)], windows).print("3 honest miners", seeds, &marks);
    let cheaters = vec![
        honest(16),
        kind("better by 2 %", 1.02, 1.0),
        Kind { count: 2, ..kind("idle", 0.01, 0.0) },
        kind("half of the steps", 0.69, 0.5),
        kind("a tenth of the steps", 0.49, 0.1),
        kind("stale", 0.43, 0.0),
        kind("unassigned data only", 0.97, 0.0),
        Kind { count: 2, ..kind("pair", 0.97, 0.5) },
        Kind { count: 4, ..kind("four-way split", 0.95, 0.25) },
        Kind { count: 2, excess: 1.0, share: 0.5, ..kind("pair that declares half", 0.97, 1.0) },
        Kind { count: 4, excess: 3.0, share: 0.25, ..kind("four that declare a quarter", 0.95, 1.0) },
        Kind { presence: Presence::Duty, ..kind("three windows of four", 1.0, 1.0) },
        Kind { presence: Presence::Churn(1), ..kind("new hotkey each window", 0.97, 0.0) },
        Kind { presence: Presence::Churn(5), ..kind("new hotkey each 5 windows", 0.97, 0.0) },
    ];
    model(cheaters, windows).print("16 honest miners and cheaters", seeds, &marks);
    let crowd = vec![honest(16), Kind { count: 64, ..kind("idle", 0.01, 0.0) }];
    model(crowd, windows).print("16 honest miners and 64 idle ones", seeds.min(20), &marks);
    let newcomer = vec![honest(20), Kind { presence: Presence::From(100), ..kind("newcomer", 1.0, 1.0) }];
    model(newcomer, 160).print(
        "20 honest miners, and one that joins in window 100",
        seeds.min(50),
        &[110, 115, 120, 125, 130, 160],
    );
}
