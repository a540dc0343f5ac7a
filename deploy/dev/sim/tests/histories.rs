//! Runs a fixed mix of histories, and checks the simulator itself.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use link::Link;
use sim::{Fault, ProfileName, Profiles, Scenario, Totals, minimal, run_all, simulate};
use std::{path::Path, process::Command};

fn run(seeds: std::ops::Range<u64>, scenario: impl Fn(u64) -> Scenario + Sync) -> Totals {
    let profiles = Profiles::read().unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    run_all(seeds, cores, &profiles, scenario).unwrap()
}

/// Returns a network of three validators and four miners of the tiny run.
fn small(seed: u64, windows: u32, faults: &[&str]) -> Scenario {
    let faults: Vec<Fault> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let (profile, link) = (ProfileName::Tiny, Link::USUAL);
    let (staleness, blocks) = (None, None);
    Scenario { seed, windows, validators: 3, miners: 4, profile, staleness, blocks, link, faults }
}

/// The blocks of a window that the offsets of `covenant-72b` need at staleness 0.
const WAITING_72B: u32 = 212;

#[test]
fn training_overlaps_with_the_exchange_at_staleness_1() {
    let at = |profile, staleness, blocks| {
        run(0..2, |seed| Scenario {
            profile,
            validators: 4,
            staleness: Some(staleness),
            blocks,
            ..small(seed, 8, &[])
        })
    };
    let profiles =
        [(ProfileName::Tiny, None), (ProfileName::B1, None), (ProfileName::B72, Some(WAITING_72B))];
    for (profile, blocks) in profiles {
        let overlapping = at(profile, 1, None);
        expect_none(&overlapping);
        assert_eq!(overlapping.goodput(), 1.0, "{profile:?}: {overlapping}");
        let waiting = at(profile, 0, blocks);
        assert!(
            overlapping.idle_share() < waiting.idle_share() / 2.0,
            "{profile:?}: {overlapping}, {waiting}"
        );
    }
}

/// Expects that no invariant is broken.
fn expect_none(totals: &Totals) {
    if let Some(first) = &totals.first {
        panic!("{totals}\n{}", minimal(first, &Profiles::read().unwrap()).unwrap());
    }
}

/// Networks, runs and faults as the seeds choose: most have up to nine validators and fourteen miners, two of
/// a hundred up to 64 validators and 256 miners.
#[test]
fn a_mix_of_networks_and_faults() {
    let totals = run(0..7_000, Scenario::draw);
    expect_none(&totals);
    assert!(totals.windows >= 100_000, "{totals}");
}

/// Networks of 64 validators and 256 miners, with faults as the seeds choose.
#[test]
fn the_largest_networks() {
    let totals = run(0..200, |seed| {
        let Scenario { faults, .. } = Scenario::draw(seed);
        Scenario { validators: 64, miners: 256, faults, ..small(seed, 6, &[]) }
    });
    expect_none(&totals);
    assert_eq!(totals.windows, 1200);
}

/// Attacks and troubles that broke an invariant before the rules were mended.
#[test]
fn rules_that_were_mended() {
    // Nodes that miss block K_w took keys that were published when the seed was known.
    let faults = ["choosing=0.5", "partition=0.3"];
    expect_none(&run(0..20, |seed| Scenario { validators: 6, ..small(seed, 20, &faults) }));
    // Hostile voters made an object accepted that no honest node held, while others were absent.
    let faults = ["selective=0.5", "stranger=0.3", "partition=0.6"];
    expect_none(&run(0..20, |seed| Scenario { validators: 5, ..small(seed, 20, &faults) }));
    // Nodes on a slow line downloaded several late objects at once, and none in time.
    let slow = |seed| Scenario {
        profile: ProfileName::B72,
        staleness: Some(0),
        blocks: Some(WAITING_72B),
        validators: 1,
        miners: 10,
        ..small(seed, 12, &["slow-line=0.1"])
    };
    expect_none(&run(0..6, slow));
}

#[test]
fn a_history_depends_on_its_scenario_alone() {
    let profiles = Profiles::read().unwrap();
    for seed in [3, 50, 77] {
        let scenario = Scenario::draw(seed);
        let first = simulate(&scenario, &profiles, false).unwrap();
        assert_eq!(simulate(&scenario, &profiles, false).unwrap(), first);
    }
}

#[test]
fn a_network_without_trouble_loses_no_window() {
    let totals = run(0..20, |seed| small(seed, 20, &[]));
    expect_none(&totals);
    assert_eq!((totals.windows, totals.good_windows), (400, 400));
}

#[test]
fn kills_once_in_three_windows_cost_few_windows() {
    let totals = run(0..100, |seed| small(seed, 30, &["kill=0.333"]));
    expect_none(&totals);
    assert!(totals.goodput() >= 0.88, "{totals}");
}

#[test]
fn one_hostile_miner_costs_no_window() {
    for fault in ["slow=0.25", "stalling=0.25", "trickling=0.25", "breaking=0.25", "withholding=0.25"] {
        let totals = run(0..20, |seed| small(seed, 20, &[fault]));
        expect_none(&totals);
        assert_eq!(totals.good_windows, totals.windows, "{fault}: {totals}");
    }
}

#[test]
fn every_mutation_applies() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut patches: Vec<_> =
        folder.join("mutations").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    patches.sort();
    assert!(patches.len() >= 20, "{} mutations", patches.len());
    for patch in patches {
        let text = std::fs::read_to_string(&patch).unwrap();
        assert!(text.starts_with("Breaks: ") && text.contains("\nRun: --"), "{}", patch.display());
        let mut git = Command::new("git");
        git.args(["apply", "--check"]).arg(&patch).current_dir(folder.join("../../.."));
        let output = git.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
