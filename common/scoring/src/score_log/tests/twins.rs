//! Tests that a subnet that was disturbed gives the weights of a twin that was not. The disturbances: the
//! validator restarts, hotkeys leave and register again under other uids, and the subnet grows.

use super::*;
use crate::gauntlet::Availability;
use std::ops::Range;

/// The number of windows of a story.
const WINDOWS: u64 = 16;
/// The miner that is away for some windows.
const AWAY: u8 = 2;

/// The registrations of a subnet in a window.
#[derive(Clone, Debug)]
struct Registered {
    miners: BTreeMap<Hotkey, (NeuronId, Uid)>,
    uids: u16,
}

impl Registrations for Registered {
    fn seeded(&self, miner: &Hotkey) -> Option<(NeuronId, Uid)> {
        self.miners.get(miner).copied()
    }

    fn at_claims(&self, miner: &Hotkey) -> Option<(NeuronId, Uid)> {
        self.seeded(miner)
    }
}

impl Registered {
    /// Returns the registrations of five miners. The last uid is that of the first miner.
    fn new(uids: u16, registered: Height) -> Self {
        let neuron = |index: u8| {
            let id = NeuronId { hotkey: miner(index), registered };
            (id.hotkey, (id, Uid(uids - u16::from(index))))
        };
        Self { miners: (1..=5).map(neuron).collect(), uids }
    }
}

/// Returns the findings of a window. The miner [`AWAY`] makes no claim in the windows of `away`.
fn findings(window: u64, registered: &Registered, away: &Range<u64>) -> Findings {
    let mut findings = Findings { availability: Availability::Counts, ..Findings::default() };
    for (hotkey, line) in miners(window) {
        let Some((neuron, _)) = registered.seeded(&hotkey) else { continue };
        if hotkey == miner(AWAY) && away.contains(&window) {
            continue;
        }
        findings.claims.insert(neuron, line.object);
        match line.outcome {
            Outcome::Evaluated(evaluation) => drop(findings.evaluations.insert(neuron, evaluation)),
            Outcome::Failed(fault) => drop(findings.faults.insert(neuron, fault)),
            Outcome::Skipped | Outcome::Gone => {}
        }
    }
    findings
}

/// Returns the logs of a story. `restarts` says before which windows the validator has only its published
/// log.
fn logs(
    spec: &ScoringSpec,
    registered: impl Fn(u64) -> Registered,
    away: &Range<u64>,
    restarts: &[bool],
) -> Vec<ScoreLog> {
    let mut logs: Vec<ScoreLog> = Vec::new();
    for window in 0..WINDOWS {
        if let Some(last) = logs.last_mut().filter(|_| restarts.get(window as usize) == Some(&true)) {
            *last = ScoreLog::open(&signed(last), &expected(window - 1)).unwrap();
        }
        let last = logs.last();
        let standings = last.map(|log| log.stated.standings.clone()).unwrap_or_default();
        let registered = registered(window);
        let lines = findings(window, &registered, away).lines(&standings, last, &registered);
        let mut header = header(window, last.map(ScoreLog::head).unwrap_or_default());
        header.subnet.uids = registered.uids;
        logs.push(ScoreLog::close(spec, &standings, header, lines).unwrap().0);
    }
    let mut replay = Replay::new(*spec);
    assert!(logs.iter().all(|log| replay.next(log).is_ok()));
    logs
}

/// Returns the weight of each paid hotkey.
fn paid(log: &ScoreLog) -> BTreeMap<Hotkey, u16> {
    let weight = |(&miner, line): (&Hotkey, &MinerLine)| {
        let weight = *log.stated.weights.get(&line.uid)?;
        (line.outcome != Outcome::Gone && weight > 0).then_some((miner, weight))
    };
    log.miners.iter().filter_map(weight).collect()
}

proptest! {
    #[test]
    fn a_disturbed_subnet_gives_the_weights_of_its_twin(
        (start, length) in (2u64..10, 0u64..5),
        (grows_in, uids) in (0..WINDOWS, 6u16..200),
        restarts in prop::collection::vec(any::<bool>(), WINDOWS as usize),
    ) {
        let away = start..start + length;
        let quiet = logs(&spec(), |_| Registered::new(16, Height(7)), &away, &[]);
        // One hotkey is deregistered and comes back, then all have other uids in a larger or smaller subnet.
        let disturbed = |window| {
            let mut registered = Registered::new(16, Height(7));
            if window >= away.end {
                let again = NeuronId { hotkey: miner(AWAY), registered: Height(900) };
                registered.miners.insert(again.hotkey, (again, Uid(3)));
            }
            if window >= grows_in {
                registered = Registered::new(uids, Height(1000));
            }
            if away.contains(&window) {
                registered.miners.remove(&miner(AWAY));
            }
            registered
        };
        let disturbed = logs(&spec(), disturbed, &away, &restarts);
        for (quiet, disturbed) in quiet.iter().zip(&disturbed) {
            prop_assert_eq!(&quiet.stated.standings, &disturbed.stated.standings);
            prop_assert_eq!(&quiet.stated.scores, &disturbed.stated.scores);
            // While its hotkey has no uid, no weight can be set for the miner.
            if !away.contains(&quiet.header.window.0) {
                prop_assert_eq!(paid(quiet), paid(disturbed));
            }
        }
        prop_assert!(paid(&disturbed[WINDOWS as usize - 1]).len() >= 3);
    }
}

/// Returns the logs of a story in which standings are forgotten after four windows, and the miner [`AWAY`] is
/// not registered in the windows of `away`.
fn with_absence(away: Range<u64>) -> Vec<ScoreLog> {
    let spec = ScoringSpec { forget_after: 4, ..spec() };
    let registered = |window| {
        let mut registered = Registered::new(16, Height(7));
        registered.miners.retain(|hotkey, _| *hotkey != miner(AWAY) || !away.contains(&window));
        registered
    };
    logs(&spec, registered, &away, &[])
}

#[test]
fn standings_of_hotkeys_that_are_gone_for_long_are_forgotten() {
    let judged = |log: &ScoreLog| log.stated.standings.get(&miner(AWAY)).map(|standing| standing.judged);
    // Its last claim is in window 7: three windows later its standing is there, four windows later it is not.
    let logs = with_absence(8..13);
    assert_eq!(judged(&logs[7]), Some(8));
    assert_eq!((judged(&logs[10]), judged(&logs[11])), (Some(8), None));
    assert!(logs[11].miners.contains_key(&miner(AWAY)) && !logs[12].miners.contains_key(&miner(AWAY)));
    assert_eq!(judged(&logs[13]), Some(1), "it begins like a new miner");

    let back = with_absence(8..11);
    assert_eq!((judged(&back[10]), judged(&back[11])), (Some(8), Some(9)), "it is back in time");
    let standing =
        |logs: &[ScoreLog], window: usize| *logs[window].stated.standings.get(&miner(AWAY)).unwrap();
    assert_eq!(standing(&back, 10).proof, standing(&back, 7).proof);
    assert_eq!((standing(&back, 10).failures, standing(&back, 11).failures), (3, 0));
}
