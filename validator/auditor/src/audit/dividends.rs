//! Finds validators that profit while they withhold their votes.
//!
//! The chain pays validators for bonds, whether they vote on windows or not. Without an accepted miner, the
//! miners' part goes to validators too. So a validator may gain by silence.
//!
//! The rule, at `M_w`: a permit holder has dividends from the last epoch, and its standing vote is on a
//! window before those of that epoch. The windows of an epoch are those whose votes close after the epoch
//! before it, up to the epoch. An epoch without a window has the last window before it.

use super::seen::Chain;
use crate::report::{Finding, Item, Subject, Verdict};
use base::{Height, NeuronId, Window};
use protocol::clock::Clock;

/// The last epoch before `M_w`, with the first of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Epoch {
    block: Height,
    first: Window,
}

/// Checks the votes of all validators that have dividends at `M_w`. Returns no finding if no window was
/// decided before the last epoch.
pub(super) fn check(clock: &Clock, chain: &Chain) -> Vec<Finding> {
    let epoch = chain.next_epoch.and_then(|next| epoch(clock, next, chain.rules.tempo));
    let Some(epoch) = epoch else { return Vec::new() };
    let finding = |validator: &NeuronId| {
        let neuron = chain.at.metagraph.by_hotkey(&validator.hotkey)?;
        let verdict = verdict(epoch, neuron.dividends, last_vote(chain, validator))?;
        Some(Finding { subject: Subject::Validator(*validator, neuron.uid), item: Item::Dividends, verdict })
    };
    chain.permitted.iter().filter_map(finding).collect()
}

/// Returns the last epoch before `next`. `None` if no window of the run was decided before it.
fn epoch(clock: &Clock, next: Height, tempo: u16) -> Option<Epoch> {
    let length = u64::from(tempo) + 1;
    let block = Height(next.0.checked_sub(length)?);
    let last = clock.last_decided(block)?;
    let before = block.0.checked_sub(length).and_then(|before| clock.last_decided(Height(before)));
    let first = before.map_or(Window(0), |before| Window(before.0 + 1)).min(last);
    Some(Epoch { block, first })
}

/// Returns the window of the vote of this run that stands in a validator's commitment at `M_w`.
fn last_vote(chain: &Chain, validator: &NeuronId) -> Option<Window> {
    chain.decision.electorate.get(validator)?.voted
}

/// Returns the verdict on a validator; `None` if it has no dividends.
fn verdict(epoch: Epoch, dividends: u16, voted: Option<Window>) -> Option<Verdict> {
    if dividends == 0 {
        return None;
    }
    if voted >= Some(epoch.first) {
        return Some(Verdict::Agree);
    }
    let share = 100.0 * f64::from(dividends) / f64::from(u16::MAX);
    let stated = format!("{share:.1} % of the dividends of the epoch in block {}", epoch.block);
    let voted =
        voted.map_or("it has no vote".to_owned(), |window| format!("its last vote is on window {window}"));
    let due = format!("a vote on window {} or a later one: {voted}", epoch.first);
    Some(Verdict::differ("it earned dividends and did not vote", stated, due))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::run_spec::RunFile;

    #[test]
    fn the_windows_of_an_epoch() {
        let run = RunFile::parse(include_str!("../../../../deploy/runs/tiny.toml")).unwrap();
        let clock = Clock::new(Height(100), run.window).unwrap(); // M_0 is 149, M_1 is 179, and so on.
        for (next, tempo, expected) in [
            (209, 60, None), // The last epoch is in block 148.
            (210, 60, Some((149, 0))),
            (271, 60, Some((210, 1))), // Windows 1 and 2.
            (270, 60, Some((209, 0))), // Window 0 was decided after the epoch in block 148.
            (200, 9, Some((190, 1))),  // No window was decided after the epoch in block 180.
            (50, 60, None),
        ] {
            let found = epoch(&clock, Height(next), tempo);
            let expected =
                expected.map(|(block, first)| Epoch { block: Height(block), first: Window(first) });
            assert_eq!(found, expected, "next {next}, tempo {tempo}");
        }
    }

    #[test]
    fn a_vote_since_the_epoch_began_is_enough() {
        let epoch = Epoch { block: Height(210), first: Window(1) };
        assert_eq!(verdict(epoch, 0, None), None);
        assert_eq!(verdict(epoch, 1, Some(Window(1))), Some(Verdict::Agree));
        let withheld = verdict(epoch, 32768, Some(Window(0)));
        let expected = Verdict::differ(
            "it earned dividends and did not vote",
            "50.0 % of the dividends of the epoch in block 210",
            "a vote on window 1 or a later one: its last vote is on window 0",
        );
        assert_eq!(withheld, Some(expected));
        assert!(matches!(verdict(epoch, 1, None), Some(Verdict::Differ { .. })));
    }
}
