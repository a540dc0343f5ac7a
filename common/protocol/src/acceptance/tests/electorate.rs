//! Simulates weeks of windows, and tests which hotkeys can decide from the chain alone, and from when on.

use super::*;
use std::collections::BTreeMap;

/// Blocks of a window.
const BLOCKS: u64 = 30;
/// Windows in a week and in a day of this run: `electorate_blocks` is 840.
const WEEK: u64 = 28;
const DAY: u64 = 4;
/// A state that hostile hotkeys name.
const FALSE: State = State([0xbb; 32]);

/// A subnet whose hotkeys vote, or do not, window after window.
struct Subnet {
    spec: AcceptanceSpec,
    /// The stake of each hotkey with a permit. The others have neither.
    stakes: BTreeMap<u8, u16>,
    standing: BTreeMap<u8, (Height, Record)>,
}

impl Subnet {
    fn new(stakes: &[(u8, u16)], founders: &[u8]) -> Self {
        let founders = founders.iter().map(|&name| Hotkey([name; 32])).collect();
        let spec = AcceptanceSpec { founders, ..twenty_peers() };
        Self { spec, stakes: stakes.iter().copied().collect(), standing: BTreeMap::new() }
    }

    /// Writes a vote for a window in a block.
    fn write(&mut self, name: u8, window: u64, block: Height, state: State) {
        let record = vote(&heights(window), Bits(1), state).map(|(_, record)| record);
        self.standing.insert(name, (block, record.unwrap()));
    }

    /// Returns the state of the subnet after a block. Hotkeys without a permit are part of it.
    fn after(&self, height: Height) -> Snapshot {
        let names = self.stakes.keys().chain(self.standing.keys().filter(|n| !self.stakes.contains_key(n)));
        let written: Vec<Written> = names
            .map(|name| {
                let stake = self.stakes.get(name).copied().unwrap_or_default();
                (neuron(*name, 0, stake), self.standing.get(name).copied())
            })
            .collect();
        snapshot(height, &written)
    }

    /// Decides a window with the votes that stand. One miner claims in it.
    fn decide(&self, window: u64) -> Decision {
        let heights = heights(window);
        let miner = [neuron(250, 100, 0)];
        let incentives = snapshot(heights.incentives, &[(miner[0], None)]);
        let claims = claims(&heights, &miner);
        let votes = self.after(heights.votes_close);
        let evidence = Evidence { incentives: Some(&incentives), claims: Some(&claims), votes: Some(&votes) };
        decide(RUN, &self.spec, &heights, &evidence).unwrap()
    }

    /// Plays a window in which these hotkeys vote for the true state.
    fn window(&mut self, window: u64, voters: &[u8]) -> Decision {
        self.window_with(window, &voters.iter().map(|&voter| (voter, STATE)).collect::<Vec<_>>())
    }

    /// Plays a window in which these hotkeys vote for these states.
    fn window_with(&mut self, window: u64, votes: &[(u8, State)]) -> Decision {
        for &(name, state) in votes {
            self.write(name, window, heights(window).votes_close, state);
        }
        self.decide(window)
    }

    fn member(&self, window: u64, name: u8) -> Option<Member> {
        self.decide(window).electorate.get(&neuron(name, 0, 0).id).copied()
    }
}

/// Plays windows in which the same hotkeys vote. Returns the windows with an outer step.
fn steps(subnet: &mut Subnet, windows: std::ops::Range<u64>, voters: &[u8]) -> Vec<u64> {
    windows.filter(|&window| subnet.window(window, voters).accepted.is_ok()).collect()
}

/// Computes from when on a part of the stake decides alone. All stake is 100. The last votes of those that
/// leave are on window 10, so their age on window `w` is `(w - 10) x 30` blocks of 840. Those that stay
/// decide when twice their stake is more than their stake and what is left of the others'.
#[test]
fn when_a_part_of_the_stake_leaves_for_good_the_rest_goes_on_at_a_known_window() {
    for (leaving, staying, first) in [
        (40, [35, 25], 11), // 2 x 60 > 60 + 40
        (50, [30, 20], 11), // 2 x 50 > 50 + 50 x 810 / 840
        (60, [20, 20], 20), // 2 x 40 > 40 + 60 x 540 / 840, but not with 570
        (90, [6, 4], 35),   // 2 x 10 > 10 + 90 x 90 / 840, but not with 120
    ] {
        let mut subnet = Subnet::new(&[(1, leaving), (2, staying[0]), (3, staying[1])], &[1, 2, 3]);
        assert_eq!(steps(&mut subnet, 0..11, &[1, 2, 3]), (0..11).collect::<Vec<_>>());
        assert_eq!(
            steps(&mut subnet, 11..60, &[2, 3]),
            (first..60).collect::<Vec<_>>(),
            "{leaving} % of the stake leaves"
        );
        // When it comes back, it counts at once.
        let back = subnet.window(60, &[1, 2, 3]);
        assert_eq!(back.electorate.weight(), back.electorate.full_weight(100));
        assert_eq!(subnet.window(61, &[2, 3]).accepted.is_ok(), leaving <= 50);
    }
}

/// Shows the attack A2: 90 % of the stake is silent from window 11 on, and two hostile hotkeys with 6 % and
/// 4 % vote. When a quorum was counted by the voters of the last 8 windows, they accepted what they liked
/// from window 16 on, and named a false state from window 19 on.
#[test]
fn a2_a_tenth_of_the_stake_decides_nothing_for_six_days() {
    let mut subnet = Subnet::new(&[(1, 50), (2, 40), (3, 6), (4, 4)], &[1, 2, 3, 4]);
    assert_eq!(steps(&mut subnet, 0..11, &[1, 2, 3, 4]).len(), 11);
    let silent = 11..11 + 6 * DAY;
    for window in silent.clone() {
        let decision = subnet.window_with(window, &[(3, FALSE), (4, FALSE)]);
        assert!(matches!(decision.accepted, Err(NullWindow::NoQuorum { voting: 10, .. })), "{decision:?}");
        assert_eq!(decision.standing(STATE), Agreement::Unjudged, "no honest node diverges");
        assert_eq!(decision.turnout_weight(), decision.electorate.full_weight(10));
    }
    let last = subnet.decide(silent.end - 1).accepted.unwrap_err();
    let text = "no quorum: the voting stake 10 is not more than half of the electorate's weight 22";
    assert_eq!(last.to_string(), text, "10 + 90 x 120 / 840");
    // The first honest hotkey that comes back within the week ends it.
    let decision = subnet.window_with(silent.end, &[(1, STATE), (3, FALSE), (4, FALSE)]);
    assert_eq!((names(&decision), decision.state), (vec![250], Some(STATE)));
}

#[test]
fn stake_that_moves_to_a_fresh_hotkey_does_not_count_until_that_votes() {
    let mut subnet = Subnet::new(&[(1, 60), (2, 20), (3, 20)], &[1, 2, 3]);
    assert_eq!(steps(&mut subnet, 0..11, &[1, 2, 3]).len(), 11);
    subnet.stakes.remove(&1);
    subnet.stakes.insert(9, 60);
    assert_eq!(steps(&mut subnet, 11..15, &[2, 3]), [11, 12, 13, 14], "a permit alone is no membership");
    assert_eq!(subnet.decide(14).electorate.members().len(), 2);
    // It counts with its first vote, but is not alone while others have voted lately.
    let others = 40 * 810 / 840;
    let null = NullWindow::OneVoter { others, electorate: 60 + others };
    assert_eq!(subnet.window(15, &[9]).accepted, Err(null));
    assert_eq!(subnet.window(16, &[9, 2]).applied().len(), 1);
    assert_eq!(
        steps(&mut subnet, 17..22, &[9]),
        [21],
        "hotkey 2 voted last on 16, a day and a window before"
    );
}

#[test]
fn a_lost_permit_takes_the_weight_and_a_regained_one_brings_back_the_aged_vote() {
    let mut subnet = Subnet::new(&[(1, 60), (2, 20), (3, 20)], &[1, 2, 3]);
    assert_eq!(steps(&mut subnet, 0..12, &[1, 2, 3]).len(), 12);
    subnet.stakes.remove(&1);
    assert_eq!(steps(&mut subnet, 12..16, &[1, 2, 3]), [12, 13, 14, 15]);
    assert_eq!(subnet.member(15, 1), None);
    subnet.write(1, 11, heights(11).votes_close, STATE);
    subnet.stakes.insert(1, 60);
    let null = subnet.window(16, &[2, 3]);
    let member = Member { stake: 60, voted: Some(Window(11)), age: 5 * BLOCKS, weight: 60 * 690 };
    assert_eq!(subnet.member(16, 1), Some(member));
    assert_eq!(null.accepted, Err(NullWindow::NoQuorum { voting: 40, electorate: 40 + 60 * 690 / 840 }));
    assert_eq!(subnet.window(17, &[1, 2, 3]).applied().len(), 1);
}

#[test]
fn a_stranger_that_votes_before_the_founders_decides_nothing() {
    let mut subnet = Subnet::new(&[(1, 30), (2, 30), (9, 50)], &[1, 2]);
    let null = subnet.window(0, &[9]).accepted;
    assert_eq!(null, Err(NullWindow::NoQuorum { voting: 50, electorate: 50 + 60 * 810 / 840 }));
    assert_eq!(subnet.window(1, &[1, 2, 9]).applied().len(), 1);
    // Even with most of the stake it does not decide alone.
    let mut subnet = Subnet::new(&[(1, 30), (2, 30), (9, 70)], &[1, 2]);
    let others = 60 * 810 / 840;
    let null = NullWindow::OneVoter { others, electorate: 70 + others };
    assert_eq!(subnet.window(0, &[9]).accepted, Err(null));
    // A founder that never votes counts less and less, and not at all after a week.
    let ages: Vec<_> = (0..WEEK).filter_map(|window| subnet.member(window, 1)).map(|m| m.age).collect();
    assert_eq!(ages, (1..WEEK).map(|windows| windows * BLOCKS).collect::<Vec<_>>());
    assert_eq!(subnet.member(5, 1).unwrap().voted, None);
    subnet.window(6, &[1]);
    assert_eq!(subnet.member(6, 1).unwrap().voted, Some(Window(6)));
    subnet.stakes.remove(&2);
    assert_eq!(subnet.member(6, 2), None, "a founder needs a permit as well");
}

/// Checks hotkeys that vote once in a day, and make no window null at no cost if they have hardly any weight.
/// Hotkey 1 votes on each window, the others on window 0.
#[test]
fn two_voters_are_needed_where_others_have_a_tenth_of_the_weight() {
    let day: Vec<u64> = (1..=DAY).collect();
    let table: [(&[u16], bool); 4] =
        [(&[91, 9], false), (&[85, 15], true), (&[85, 5, 5, 5], true), (&[91, 3, 3, 3], false)];
    for (stakes, is_needed) in table {
        let names: Vec<u8> = (1..).take(stakes.len()).collect();
        let stakes: Vec<(u8, u16)> = names.iter().copied().zip(stakes.iter().copied()).collect();
        let mut subnet = Subnet::new(&stakes, &names);
        assert_eq!(steps(&mut subnet, 0..1, &names), [0]);
        let alone = steps(&mut subnet, 1..DAY + 1, &[1]);
        assert_eq!(alone, if is_needed { vec![] } else { day.clone() }, "{stakes:?}");
        assert_eq!(subnet.window(DAY + 1, &[1]).applied().len(), 1, "after a day without them");
    }
    // A vote for another state is a voter, too.
    let mut subnet = Subnet::new(&[(1, 85), (2, 15)], &[1, 2]);
    subnet.window(0, &[1, 2]);
    let null = subnet.window(1, &[1]).accepted.unwrap_err();
    let text = "only one hotkey voted, but others with 14 of the electorate's weight 99 voted lately";
    assert_eq!(null.to_string(), text, "15 x 810 / 840");
    assert_eq!(subnet.window_with(2, &[(1, STATE), (2, FALSE)]).state, Some(STATE));
}

/// Shows the attack A14: hotkeys with permits that do not run Muster once made all windows null.
#[test]
fn a14_permits_that_do_not_run_muster_stop_no_run() {
    let others = [(11, 40), (12, 30), (13, 20)];
    let mut alone = Subnet::new(&[(1, 10), others[0], others[1], others[2]], &[1]);
    assert_eq!(steps(&mut alone, 0..40, &[1]), (0..40).collect::<Vec<_>>());
    let mut two = Subnet::new(&[(1, 6), (2, 4), others[0], others[1], others[2]], &[1, 2]);
    assert_eq!(steps(&mut two, 0..40, &[1, 2]), (0..40).collect::<Vec<_>>());
    // Votes of another hotkey for a false state are not a quorum, and do not block the one that has it.
    let mut noise = Subnet::new(&[(1, 60), (2, 40)], &[1]);
    let decided = |window| noise.window_with(window, &[(1, STATE), (2, FALSE)]).state;
    assert_eq!((0..40).map(decided).collect::<Vec<_>>(), vec![Some(STATE); 40]);
}

#[test]
fn a_week_of_null_windows_does_not_empty_the_electorate() {
    let mut subnet = Subnet::new(&[(1, 50), (2, 50)], &[1, 2]);
    for window in 0..WEEK + 2 {
        let null = subnet.window_with(window, &[(1, STATE), (2, FALSE)]);
        assert_eq!(null.accepted, Err(NullWindow::NoMajorityState { largest: 50, voting: 100 }));
        assert_eq!(null.electorate.weight(), null.electorate.full_weight(100));
    }
    assert_eq!(subnet.window(WEEK + 2, &[1, 2]).applied().len(), 1);
    // When no hotkey votes for a week, no member is left: the next ones to vote begin again.
    let null = subnet.decide(2 * WEEK + 2);
    assert_eq!((null.accepted, null.electorate.members().len()), (Err(NullWindow::NoVotes), 0));
    assert_eq!(subnet.window(2 * WEEK + 3, &[2]).applied().len(), 1);
}

#[test]
fn only_a_vote_on_a_newer_window_lowers_the_age() {
    let mut subnet = Subnet::new(&[(1, 60), (2, 40)], &[]);
    subnet.window(5, &[1, 2]);
    for window in 6..12 {
        // A new address of the bucket: the commitment is written again, with the same vote.
        subnet.write(1, 5, heights(window).votes_close, STATE);
        assert_eq!(subnet.member(window, 1).unwrap().age, (window - 5) * BLOCKS);
    }
    assert_eq!(subnet.member(5 + WEEK - 1, 1).unwrap().weight, 60 * BLOCKS);
    assert_eq!(subnet.member(5 + WEEK, 1), None);
}

#[test]
fn a_vote_counts_from_the_close_of_claims_of_its_window_on() {
    let mut subnet = Subnet::new(&[(1, 60)], &[]);
    let closed = heights(7).claims_close;
    subnet.write(1, 7, closed, STATE);
    let early = subnet.decide(7);
    assert_eq!((early.accepted, early.electorate.members().len()), (Err(NullWindow::NoVotes), 0));
    assert_eq!(subnet.member(8, 1), None, "nor later");
    subnet.write(1, 7, closed.next(), STATE);
    assert_eq!((subnet.member(7, 1).unwrap().age, subnet.member(8, 1).unwrap().age), (0, BLOCKS));
    // A vote for a window to come does not count. A founder then counts as if it had never voted.
    subnet.write(1, 9, heights(8).votes_close, STATE);
    assert_eq!(subnet.member(8, 1), None);
    subnet.spec.founders.push(Hotkey([1; 32]));
    assert_eq!(subnet.member(8, 1).unwrap().age, 9 * BLOCKS);
    // Nor does a vote for another run.
    let (set, Record::Vote(vote)) = subnet.standing[&1] else { panic!("it is a vote") };
    let other = Vote { run: RunId([8; 8]), window: Window(8), ..vote };
    subnet.standing.insert(1, (set, Record::Vote(other)));
    assert_eq!(subnet.member(8, 1).unwrap().voted, None);
}

#[test]
fn the_electorate_at_the_close_of_claims_has_the_last_windows_voters() {
    let mut subnet = Subnet::new(&[(1, 60), (2, 40), (3, 9)], &[1, 3]);
    subnet.window(4, &[1, 2]);
    let heights = heights(5);
    let state = subnet.after(heights.claims_close);
    let electorate = Electorate::new(RUN, &subnet.spec, &heights, &state);
    let found: Vec<_> = electorate.members().map(|(id, m)| (id.hotkey.0[0], m.voted, m.weight)).collect();
    let last = Some(Window(4));
    assert_eq!(found, [(1, last, 60 * 810), (2, last, 40 * 810), (3, None, 9 * 660)]);
}
