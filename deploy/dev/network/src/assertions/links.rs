//! The assertion that each node keeps to its link and that the run bears the links.

use super::{Assertion, deadlines::is_expected};
use crate::run_record::{Links, RunRecord};
use base::Window;
use link::Traffic;

/// The bytes per second of a megabit per second.
const MEGABIT: u64 = 125_000;

/// Checks that all traffic of each node went over its link, at most at its rate, and that each honest miner
/// was accepted in every window. Miners and windows that a fault of the network strikes do not count.
pub(super) fn link(record: &RunRecord, links: &Links) -> Assertion {
    let nodes = record.names(|participant| participant.role.is_honest() || participant.role.mines());
    let mut complaints: Vec<String> =
        nodes.flat_map(|name| of_node(name, links.traffic.get(name).copied(), links)).collect();
    complaints.extend(record.run().flat_map(|window| not_accepted(record, links, window)));
    let most = |of: fn(&Traffic) -> u64| links.traffic.values().map(of).max().unwrap_or(0);
    let good = format!(
        "behind {} the busiest second of a node took {:.2} Mbit up and {:.2} Mbit down; every honest miner was \
         accepted in every window",
        links.link,
        megabits(most(|traffic| traffic.most_up)),
        megabits(most(|traffic| traffic.most_down)),
    );
    Assertion::of("link", good, &complaints)
}

/// Returns megabits for bytes.
pub(crate) fn megabits(bytes: u64) -> f64 {
    bytes as f64 / MEGABIT as f64
}

/// Returns the complaints about the traffic of a node.
fn of_node(name: &str, traffic: Option<Traffic>, links: &Links) -> Vec<String> {
    let traffic = traffic.unwrap_or_default();
    let directions = [
        ("up", traffic.up, traffic.most_up, links.link.up),
        ("down", traffic.down, traffic.most_down, links.link.down),
    ];
    let complaint = |(direction, total, most, rate): (&str, u64, u64, u32)| {
        if total == 0 {
            return Some(format!("{name} sent nothing {direction} its link"));
        }
        let is_too_fast = most > u64::from(rate) * MEGABIT;
        let found = megabits(most);
        is_too_fast.then(|| format!("{name} had {found:.1} Mbit {direction} in a second, above {rate}"))
    };
    directions.into_iter().filter_map(complaint).collect()
}

/// Returns a complaint for each honest miner whose submission was not accepted in a window.
fn not_accepted(record: &RunRecord, links: &Links, window: Window) -> Vec<String> {
    let accepted = record.windows.get(&window).and_then(|outcome| outcome.accepted.as_ref());
    let accepted = accepted.into_iter().flatten().next();
    if record.is_struck(window) || accepted.is_some_and(|names| names.len() >= links.most_applied) {
        return Vec::new();
    }
    let is_struck = |name: &str| {
        record.is_excused(name, window) || record.faults.iter().any(|fault| fault.costs_pay(name))
    };
    let miners = record.names(|participant| participant.role.is_honest_miner());
    let missing = miners.filter(|name| {
        !accepted.is_some_and(|names| names.contains(*name))
            && is_expected(record, window, name)
            && !is_struck(name)
    });
    missing.map(|name| format!("window {window}: the submission of {name} was not accepted")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        assertions,
        roster::{Participant, Role},
    };
    use base::{Hotkey, Uid};

    fn record() -> RunRecord {
        let participant = |name: &str, role, uid| {
            (Participant { name: name.into(), role, uid: Uid(uid), stake: 0 }, Hotkey([uid as u8; 32]))
        };
        let participants = vec![
            participant("owner", Role::Owner, 0),
            participant("validator-0", Role::Validator, 1),
            participant("miner-0", Role::Miner, 2),
            participant("miner-1", Role::Miner, 3),
            participant("joiner", Role::Joiner, 4),
        ];
        let mut record = RunRecord { participants, count: 2, ..RunRecord::default() };
        for window in record.run() {
            record.window(window).accepted = Some(Some(["miner-0", "miner-1"].map(String::from).into()));
        }
        let traffic = Traffic { up: 9, down: 9, most_up: 13_750_000, most_down: 3, lost: 0 };
        let names = ["validator-0", "miner-0", "miner-1", "joiner"];
        let traffic = names.map(|name| (name.to_owned(), traffic)).into();
        record.links = Some(Links { link: link::Link::USUAL, traffic, most_applied: 8 });
        record
    }

    fn complaints(change: impl FnOnce(&mut RunRecord)) -> String {
        let mut record = record();
        change(&mut record);
        let all = assertions::check(&record);
        let found = all.iter().find(|assertion| assertion.name == "link").unwrap();
        if found.ok { String::new() } else { found.detail.clone() }
    }

    #[test]
    fn rates_above_the_link_and_traffic_beside_it_are_found() {
        assert_eq!(complaints(|_| {}), "");
        let traffic = |record: &mut RunRecord, change: fn(&mut Traffic)| {
            change(record.links.as_mut().unwrap().traffic.get_mut("miner-1").unwrap());
        };
        assert_eq!(
            complaints(|record| traffic(record, |traffic| traffic.most_up += 25_000)),
            "miner-1 had 110.2 Mbit up in a second, above 110"
        );
        assert_eq!(
            complaints(|record| traffic(record, |traffic| traffic.down = 0)),
            "miner-1 sent nothing down its link"
        );
    }

    #[test]
    fn each_miner_is_accepted_in_each_window() {
        let without = |record: &mut RunRecord| {
            record.window(Window(1)).accepted.as_mut().unwrap().as_mut().unwrap().remove("miner-0");
        };
        assert_eq!(complaints(without), "window 1: the submission of miner-0 was not accepted");
        let null = complaints(|record| record.window(Window(0)).accepted = Some(None));
        assert_eq!(
            null,
            "window 0: the submission of miner-0 was not accepted; window 0: the submission of miner-1 was not accepted"
        );
        let full = complaints(|record| {
            record.links.as_mut().unwrap().most_applied = 1;
            without(record);
        });
        assert_eq!(full, "", "a window applies no more");
        let joined = complaints(|record| {
            record.window(Window(0)).claimed.insert("joiner".into());
        });
        assert_eq!(joined, "window 1: the submission of joiner was not accepted");
    }
}
