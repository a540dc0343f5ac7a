//! Renders the table as text. It does no I/O and reads no clock.

use crate::{
    roster::Role,
    run_record::{Rating, RunRecord, median},
};
use base::{Height, Window};
use std::time::Duration;

/// The number of characters of a full bar.
const BAR: usize = 20;

/// The present status of a running network, beyond its [`RunRecord`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveStatus {
    /// The best block.
    pub head: Height,
    /// The newest final block. The table shows what was known there.
    pub finalized: Height,
    /// The time since the start of the network.
    pub elapsed: Duration,
    /// The current activity, in a few words: the stage, and the nodes that the chain waits for.
    pub activity: String,
    /// Each miner's current share of the incentive on chain, by name.
    pub incentives: Vec<(String, f64)>,
    /// The current weight on each miner on chain, by name.
    pub weights: Vec<(String, f64)>,
    /// Whether to use colours and bold.
    pub styled: bool,
}

/// Renders the whole table. Returns its lines.
#[must_use]
pub fn table(record: &RunRecord, status: &LiveStatus) -> Vec<String> {
    let mut lines = vec![heading(record, status), String::new()];
    lines.push(style(status, DIM, "window   held-out loss                claims votes accepted  state"));
    let first = record.heldout(Window(0));
    lines.extend(
        record
            .run()
            .filter(|window| record.windows.contains_key(window))
            .map(|w| window_line(record, w, first)),
    );
    lines.push(String::new());
    lines.push(style(
        status,
        DIM,
        "miner          uid  contribution                proof  credit  weight  incentive",
    ));
    let most = highest_contribution(record);
    lines.extend(record.participants.iter().filter(|(participant, _)| participant.role.mines()).map(
        |(participant, _)| {
            let line = miner_line(record, status, &participant.name, participant.uid.0, most);
            if matches!(participant.role, Role::Adversary(_)) { style(status, RED, &line) } else { line }
        },
    ));
    lines
}

const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";

fn style(status: &LiveStatus, code: &str, text: &str) -> String {
    if status.styled { format!("{code}{text}\x1b[0m") } else { text.to_owned() }
}

fn heading(record: &RunRecord, status: &LiveStatus) -> String {
    let seconds = status.elapsed.as_secs();
    let title = style(status, BOLD, "muster devnet");
    let windows = record.count;
    format!(
        "{title}  {}:{:02}  block {} ({} final)  {windows} windows  {}",
        seconds / 60,
        seconds % 60,
        status.head,
        status.finalized,
        status.activity
    )
}

fn window_line(record: &RunRecord, window: Window, first: Option<f64>) -> String {
    let outcome = &record.windows[&window];
    let miners = record.names(|participant| participant.role.mines()).count();
    let validators = record.names(|participant| participant.role == Role::Validator).count();
    let after = record.heldout(Window(window.0 + 1));
    let loss = match (after, first) {
        (Some(loss), Some(first)) => format!("{loss:>6.3} {}", bar(loss / first)),
        _ => format!("{:>6} {}", "·", bar(0.0)),
    };
    let accepted = match &outcome.accepted {
        Some(Some(names)) => names.len().to_string(),
        Some(None) => "null".into(),
        None => "·".into(),
    };
    let state = outcome.state.map_or_else(|| "·".into(), |state| state.to_string()[..12].to_owned());
    format!(
        "{:>6}   {loss}  {:>3}/{miners:<2} {:>2}/{validators:<2} {accepted:>8}  {state}",
        window.0,
        outcome.claimed.len(),
        outcome.votes.len(),
    )
}

fn miner_line(record: &RunRecord, status: &LiveStatus, name: &str, uid: u16, most: f64) -> String {
    let of =
        |values: &[(String, f64)]| values.iter().find(|(named, _)| named == name).map_or(0.0, |(_, v)| *v);
    let rated = rating(record, name);
    let (rating, factors) = match rated {
        Some(rated) => {
            let length = if most > 0.0 { rated.contribution / most } else { 0.0 };
            let factors = format!("{:>5.2}  {:>6.2}", rated.proof, rated.credit);
            (format!("{:>6.2} {}", rated.contribution, bar(length)), factors)
        }
        None => (format!("{:>6} {}", "·", bar(0.0)), format!("{:>5}  {:>6}", "·", "·")),
    };
    format!(
        "{name:<14} {uid:>3}  {rating} {factors}  {:>5.1}%  {:>8.1}%",
        100.0 * of(&status.weights),
        100.0 * of(&status.incentives)
    )
}

/// Returns the newest rating of a miner: for each figure, the median over the validators that rate the
/// miner.
fn rating(record: &RunRecord, miner: &str) -> Option<Rating> {
    let newest = record.windows.values().rev().find_map(|outcome| {
        let rated: Vec<Rating> =
            outcome.ratings.values().filter_map(|rated| rated.get(miner).copied()).collect();
        (!rated.is_empty()).then_some(rated)
    })?;
    Some(Rating {
        contribution: median(newest.iter().map(|rated| &rated.contribution))?,
        proof: median(newest.iter().map(|rated| &rated.proof))?,
        credit: median(newest.iter().map(|rated| &rated.credit))?,
    })
}

fn highest_contribution(record: &RunRecord) -> f64 {
    let miners = record.names(|participant| participant.role.mines());
    miners.filter_map(|name| rating(record, name)).map(|rated| rated.contribution).fold(0.0, f64::max)
}

/// Renders a bar for a share from 0 to 1, in eighths of a character.
fn bar(share: f64) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let full = eighths / 8;
    let rest = eighths % 8;
    let mut bar = "█".repeat(full);
    if rest > 0 {
        bar.push(EIGHTHS[rest]);
    }
    let length = full + usize::from(rest > 0);
    bar + &" ".repeat(BAR - length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::{Kind, Participant};
    use base::{Hotkey, Uid, digest::State};

    fn record() -> RunRecord {
        let roles = [
            ("validator-0", Role::Validator),
            ("miner-0", Role::Miner),
            ("noise-0", Role::Adversary(Kind::Noise)),
        ];
        let participants = roles.into_iter().zip(1..).map(|((name, role), uid)| {
            (Participant { name: name.into(), role, uid: Uid(uid), stake: 0 }, Hotkey([uid as u8; 32]))
        });
        let mut record = RunRecord { participants: participants.collect(), count: 3, ..RunRecord::default() };
        record.window(Window(0)).heldout.insert("validator-0".into(), 8.0);
        let first = record.window(Window(0));
        first.claimed = ["miner-0".to_owned(), "noise-0".to_owned()].into();
        first.votes.insert("validator-0".into(), State([0xab; 32]));
        first.accepted = Some(Some(["miner-0".to_owned()].into()));
        first.state = Some(State([0xab; 32]));
        let rated = [
            ("miner-0", Rating { contribution: 0.4, proof: 1.0, credit: 1.0 }),
            ("noise-0", Rating { contribution: 0.0, proof: 0.0, credit: 0.5625 }),
        ];
        let rated = rated.map(|(name, rating)| (name.to_owned(), rating));
        first.ratings.insert("validator-0".into(), rated.into());
        record.window(Window(1)).heldout.insert("validator-0".into(), 6.0);
        record
    }

    /// Compares a whole table. Update the expected text by hand when the layout changes.
    #[test]
    fn the_table_has_this_layout() {
        let status = LiveStatus {
            head: Height(140),
            finalized: Height(137),
            elapsed: Duration::from_secs(75),
            activity: "waiting for 1 claim of window 1".into(),
            weights: vec![("miner-0".into(), 1.0)],
            incentives: vec![("miner-0".into(), 0.995)],
            styled: false,
        };
        let expected = "\
muster devnet  1:15  block 140 (137 final)  3 windows  waiting for 1 claim of window 1

window   held-out loss                claims votes accepted  state
     0    6.000 ███████████████         2/2   1/1         1  abababababab
     1        ·                         0/2   0/1         ·  ·

miner          uid  contribution                proof  credit  weight  incentive
miner-0          2    0.40 ████████████████████  1.00    1.00  100.0%      99.5%
noise-0          3    0.00                       0.00    0.56    0.0%       0.0%";
        assert_eq!(table(&record(), &status).join("\n"), expected);
    }

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(0.0).trim_end(), "");
        assert_eq!(bar(0.5).trim_end(), "██████████");
        assert_eq!(bar(1.0 / 160.0).trim_end(), "▏");
        assert_eq!(bar(7.0).chars().count(), BAR);
        assert_eq!(bar(f64::NAN).trim_end(), "");
    }
}
