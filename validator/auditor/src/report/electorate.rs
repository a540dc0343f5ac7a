//! Shows the electorate of a window: its members, their weights, and which of them voted.

use super::{Report, WindowReport};
use crate::table::{Side, Table, short};
use base::NeuronId;
use protocol::acceptance::{Decision, Member};
use serde_json::{Value, json};

/// Returns a weight as a share of the electorate's, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a share is shown with few digits")]
fn share(decision: &Decision, weight: u128) -> f64 {
    match decision.electorate.weight() {
        0 => 0.0,
        all => weight as f64 / all as f64,
    }
}

/// Returns a share as a text in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Returns the electorate of a decision as JSON. Weights are in stake of age 0, rounded down.
pub(super) fn to_json(decision: &Decision) -> Value {
    let electorate = &decision.electorate;
    let member = |(id, member): (&NeuronId, &Member)| {
        json!({
            "hotkey": id.hotkey,
            "stake": member.stake,
            "last_vote": member.voted,
            "age": member.age,
            "weight": electorate.as_stake(member.weight.into()),
            "share": share(decision, member.weight.into()),
            "voted": decision.turnout.contains(id),
        })
    };
    json!({
        "weight": electorate.as_stake(electorate.weight()),
        "turnout": electorate.as_stake(decision.turnout_weight()),
        "turnout_share": share(decision, decision.turnout_weight()),
        "members": electorate.members().map(member).collect::<Vec<_>>(),
    })
}

/// Returns the weight of the voters as a part of the electorate's, for the table of windows.
pub(super) fn turnout(decision: &Decision) -> String {
    percent(share(decision, decision.turnout_weight()))
}

impl Report {
    /// Returns the table of the electorate's members in each window. `None` if no window has one.
    pub(super) fn electorate_table(&self) -> Option<Table> {
        let decided = self.windows.iter().filter_map(|report| Some((report, report.decision.as_ref()?)));
        let rows: Vec<_> = decided
            .flat_map(|(report, decision)| {
                decision.electorate.members().map(move |(id, member)| Row { report, decision, id, member })
            })
            .collect();
        if rows.is_empty() {
            return None;
        }
        let mut table = Table::default();
        let mut column = |name, side, cell: fn(&Row<'_>) -> String| {
            table.column(name, side, rows.iter().map(cell));
        };
        column("window", Side::Right, |row| row.report.window.to_string());
        column("electorate", Side::Left, |row| short(row.id.hotkey));
        column("stake", Side::Right, |row| row.member.stake.to_string());
        column("last vote", Side::Right, |row| row.last_vote());
        column("weight", Side::Right, |row| row.weight());
        column("share", Side::Right, |row| percent(share(row.decision, row.member.weight.into())));
        column("voted", Side::Left, |row| if row.has_voted() { "yes" } else { "no" }.to_owned());
        Some(table)
    }

    /// Returns a text for each null window, with the reason.
    pub(super) fn null_windows(&self) -> Vec<String> {
        let null = |report: &WindowReport| {
            let why = report.decision.as_ref()?.accepted.as_ref().err()?;
            Some(format!("null: window {}: {why}", report.window))
        };
        self.windows.iter().filter_map(null).collect()
    }
}

/// A member in a window.
struct Row<'a> {
    report: &'a WindowReport,
    decision: &'a Decision,
    id: &'a NeuronId,
    member: &'a Member,
}

impl Row<'_> {
    fn last_vote(&self) -> String {
        self.member.voted.map_or_else(|| "founder".to_owned(), |window| window.to_string())
    }

    fn weight(&self) -> String {
        self.decision.electorate.as_stake(self.member.weight.into()).to_string()
    }

    fn has_voted(&self) -> bool {
        self.decision.turnout.contains(self.id)
    }
}
