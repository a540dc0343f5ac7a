//! Runs many histories, adds them up, and makes a history with a violation smaller.

use crate::{
    checks::Violation,
    scenario::Scenario,
    simulation::{Outcome, Profiles, simulate},
};
use protocol::clock::ClockError;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The most histories that are tried to make one smaller.
const TRIES: u32 = 300;

/// The sums over histories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of histories.
    pub histories: u64,
    /// The number of decided windows.
    pub windows: u64,
    /// The number of windows with an outer step that took every honest miner in time.
    pub good_windows: u64,
    /// The number of events.
    pub events: u64,
    /// The number of broken invariants.
    pub violations: u64,
    /// The time that honest miners had, in milliseconds.
    pub time: u64,
    /// The time that they trained, in milliseconds.
    pub trained: u64,
    /// The number of times that a node lost the shared state.
    pub lost: u64,
    /// The number of accepted objects without an honest keeper that runs, and whose miner is hostile.
    pub unserved: u64,
    /// The number of violations of each rule.
    pub rules: BTreeMap<&'static str, u64>,
    /// The histories with violations, by seed.
    pub failed: BTreeMap<u64, u64>,
    /// The description of the first history with a violation.
    pub first: Option<Scenario>,
}

impl Totals {
    fn add(&mut self, scenario: &Scenario, outcome: &Outcome) {
        self.histories += 1;
        self.windows += outcome.windows;
        self.good_windows += outcome.good_windows;
        self.events += outcome.events;
        self.time += outcome.time;
        self.trained += outcome.trained;
        self.lost += outcome.lost;
        self.unserved += outcome.unserved;
        let violations = outcome.violations.len() as u64;
        self.violations += violations;
        outcome.violations.iter().for_each(|violation| *self.rules.entry(violation.rule).or_default() += 1);
        if violations > 0 {
            self.failed.insert(scenario.seed, violations);
            if self.first.as_ref().is_none_or(|first| scenario.seed < first.seed) {
                self.first = Some(scenario.clone());
            }
        }
    }

    /// Returns the share of windows with an outer step that took every honest miner in time.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        share(self.good_windows, self.windows)
    }

    /// Returns the share of a window that an honest miner does not train.
    #[must_use]
    pub fn idle_share(&self) -> f64 {
        share(self.time.saturating_sub(self.trained), self.time)
    }
}

/// Divides two numbers, rounded to six decimals.
#[expect(clippy::cast_precision_loss, reason = "the parts are at most a million")]
fn share(part: u64, whole: u64) -> f64 {
    let millionths = u128::from(part) * 1_000_000 / u128::from(whole.max(1));
    millionths as f64 / 1e6
}

impl Serialize for Totals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("windows", &self.windows)?;
        map.serialize_entry("events", &self.events)?;
        map.serialize_entry("violations", &self.violations)?;
        map.serialize_entry("goodput", &self.goodput())?;
        map.serialize_entry("idle_share", &self.idle_share())?;
        map.serialize_entry("histories", &self.histories)?;
        map.serialize_entry("resyncs", &self.lost)?;
        map.serialize_entry("unserved", &self.unserved)?;
        map.serialize_entry("rules", &self.rules)?;
        map.serialize_entry("seeds", &self.failed.keys().collect::<Vec<_>>())?;
        map.end()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, windows, events, violations, lost, unserved, .. } = self;
        writeln!(
            f,
            "{histories} histories, {windows} windows, {events} events, {lost} resyncs, {unserved} objects unserved"
        )?;
        writeln!(f, "goodput {:.4}, idle share {:.4}", self.goodput(), self.idle_share())?;
        write!(f, "{violations} violations")?;
        self.rules.iter().try_for_each(|(rule, count)| write!(f, "; {rule}: {count}"))?;
        if self.failed.is_empty() {
            return Ok(());
        }
        let seeds: Vec<String> = self.failed.keys().take(20).map(u64::to_string).collect();
        write!(f, "\nseeds with violations ({}): {}", self.failed.len(), seeds.join(" "))
    }
}

/// Runs the histories of these seeds on some threads.
///
/// # Errors
/// A scenario has no valid windows.
pub fn run_all(
    seeds: Range<u64>,
    threads: usize,
    profiles: &Profiles,
    scenario: impl Fn(u64) -> Scenario + Sync,
) -> Result<Totals, ClockError> {
    let next = AtomicU64::new(seeds.start);
    let totals = Mutex::new(Ok(Totals::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let scenario = scenario(seed);
            let outcome = simulate(&scenario, profiles, false);
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *totals, outcome) {
                (Ok(totals), Ok(outcome)) => totals.add(&scenario, &outcome),
                (Ok(_), Err(error)) => *totals = Err(error),
                (Err(_), _) => return,
            }
        }
    };
    std::thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A small history with a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    scenario: Scenario,
    violation: Option<Violation>,
    story: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, violation, story } = self;
        writeln!(f, "the last events of a small history with a violation:")?;
        story.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        if let Some(Violation { rule, what, .. }) = violation {
            writeln!(f, "broken: {rule}: {what}")?;
        }
        write!(f, "repeat it: cargo run -p sim -- {scenario}")
    }
}

/// Makes a history with a violation smaller, as long as the same rule is broken: fewer faults, nodes and
/// windows.
///
/// # Errors
/// The scenario has no valid windows.
pub fn minimal(first: &Scenario, profiles: &Profiles) -> Result<Report, ClockError> {
    let rule = |scenario: &Scenario| {
        let outcome = simulate(scenario, profiles, true)?;
        Ok(outcome.violations.first().map(|violation| violation.rule))
    };
    let wanted = rule(first)?;
    let mut best = first.clone();
    let mut tries = 0;
    'smaller: loop {
        for smaller in smaller(&best) {
            tries += 1;
            if tries > TRIES {
                break 'smaller;
            }
            if rule(&smaller)? == wanted {
                best = smaller;
                continue 'smaller;
            }
        }
        break;
    }
    let outcome = simulate(&best, profiles, true)?;
    let violation = outcome.violations.first().cloned();
    Ok(Report { scenario: best, violation, story: outcome.story })
}

/// Returns the next smaller scenarios.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let mut list = Vec::new();
    for place in 0..scenario.faults.len() {
        let mut faults = scenario.faults.clone();
        faults.remove(place);
        list.push(Scenario { faults, ..scenario.clone() });
    }
    for (less, least) in [(2, 0), (1, 1)] {
        let fewer = |count: u32| if less == 2 { count / 2 } else { count - least };
        for scenario in [
            Scenario { miners: fewer(scenario.miners), ..scenario.clone() },
            Scenario { validators: fewer(scenario.validators), ..scenario.clone() },
            Scenario { windows: fewer(scenario.windows), ..scenario.clone() },
        ] {
            if scenario.miners > 0 && scenario.validators > 0 && scenario.windows > 0 {
                list.push(scenario);
            }
        }
    }
    list
}
