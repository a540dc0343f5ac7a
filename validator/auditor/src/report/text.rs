//! Formats a report as text: tables of windows, of the electorate and of validators, the reasons for null
//! windows, the validators that joined with adopted standings, and every difference in full.

use super::{
    Counts, Finding, Item, Report, Subject, Verdict, WindowReport,
    electorate::{percent, turnout},
};
use crate::{
    pay::{self, LogPay},
    table::{Side, Table, short},
};
use base::Uid;

/// The items of the table of validators, with the names of their columns.
const COLUMNS: [(Item, &str); 13] = [
    (Item::Vote, "vote"),
    (Item::VotedState, "state"),
    (Item::Good, "good"),
    (Item::Possession, "possession"),
    (Item::Head, "head"),
    (Item::Record, "record"),
    (Item::Log, "log"),
    (Item::Facts, "facts"),
    (Item::Adopted, "adopted"),
    (Item::Ratings, "ratings"),
    (Item::OwnData, "own data"),
    (Item::Weights, "weights"),
    (Item::Dividends, "dividends"),
];

impl Report {
    /// Returns the report as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = vec![format!("run {} ({})", self.name, self.run.id()), String::new()];
        if let Some(gone) = &self.gone {
            lines.extend([gone.to_string(), String::new()]);
        }
        lines.extend(self.windows_table().lines());
        for table in [self.electorate_table(), self.validators_table()].into_iter().flatten() {
            lines.push(String::new());
            lines.extend(table.lines());
        }
        for pay in self.windows.iter().flat_map(|report| &report.pay) {
            lines.push(String::new());
            lines.extend(pay_lines(pay));
        }
        for mut part in [self.null_windows(), self.adoptions(), self.details()] {
            if !part.is_empty() {
                lines.push(String::new());
                lines.append(&mut part);
            }
        }
        lines.extend([String::new(), self.summary()]);
        lines.join("\n")
    }

    /// Returns the table of windows: the decision, and the verdicts on the objects and on the
    /// majority's state.
    fn windows_table(&self) -> Table {
        let mut table = Table::default();
        let windows = || self.windows.iter();
        table.column("window", Side::Right, windows().map(|report| report.window.to_string()));
        let unknown = || "?".to_owned();
        let candidates = |report: &WindowReport| {
            report.decision.as_ref().map_or_else(unknown, |decision| decision.candidates.len().to_string())
        };
        table.column("candidates", Side::Right, windows().map(candidates));
        let accepted = |report: &WindowReport| match &report.decision {
            None => unknown(),
            Some(decision) => {
                decision.accepted.as_ref().map_or("null".to_owned(), |list| list.len().to_string())
            }
        };
        table.column("accepted", Side::Right, windows().map(accepted));
        let voted = |report: &WindowReport| report.decision.as_ref().map_or_else(unknown, turnout);
        table.column("turnout", Side::Right, windows().map(voted));
        table.column("objects", Side::Left, windows().map(|report| report.cell(None, Item::Object)));
        table.column("majority", Side::Left, windows().map(|report| report.cell(None, Item::State)));
        let burnt = |report: &WindowReport| report.burnt.map_or_else(|| "-".to_owned(), percent);
        table.column("burnt", Side::Right, windows().map(burnt));
        let state = |report: &WindowReport| report.state.map_or_else(unknown, short);
        table.column("state", Side::Left, windows().map(state));
        table
    }

    /// Returns the table of validators: the verdicts on each validator in each window. Empty columns are left
    /// out. Returns `None` if there is no validator.
    fn validators_table(&self) -> Option<Table> {
        let mut rows = Vec::new();
        for report in &self.windows {
            rows.extend(report.validators().into_iter().map(|validator| (report, validator)));
        }
        if rows.is_empty() {
            return None;
        }
        let mut table = Table::default();
        table.column("window", Side::Right, rows.iter().map(|(report, _)| report.window.to_string()));
        table.column("uid", Side::Right, rows.iter().map(|(_, (uid, _))| uid.to_string()));
        table.column("validator", Side::Left, rows.iter().map(|(_, (_, hotkey))| short(hotkey)));
        for (item, name) in COLUMNS {
            let cells: Vec<String> =
                rows.iter().map(|(report, (uid, _))| report.cell(Some(*uid), item)).collect();
            if cells.iter().any(|cell| cell != "-") {
                table.column(name, Side::Left, cells);
            }
        }
        Some(table)
    }

    /// Returns a text for each validator that begins from another one's standings.
    fn adoptions(&self) -> Vec<String> {
        let text = |report: &WindowReport| {
            let window = report.window;
            let lines = report.adoptions.iter().map(|adoption| format!("window {window}: {adoption}"));
            lines.collect::<Vec<_>>()
        };
        self.windows.iter().flat_map(text).collect()
    }

    /// Returns a text for each difference, then one for each unknown item.
    fn details(&self) -> Vec<String> {
        let all = || {
            let windows = self.windows.iter();
            windows.flat_map(|report| report.findings.iter().map(move |finding| (report.window, finding)))
        };
        let mut lines = Vec::new();
        for (window, Finding { subject, item, verdict }) in all() {
            if let Verdict::Differ { what, stated, computed } = verdict {
                lines.push(format!("DIFFERS: window {window}, {subject}, {item}: {what}"));
                lines.push(format!("  stated   {stated}"));
                lines.push(format!("  computed {computed}"));
            }
        }
        for (window, Finding { subject, item, verdict }) in all() {
            if let Verdict::Unknown { why } = verdict {
                lines.push(format!("unknown: window {window}, {subject}, {item}: {why}"));
            }
        }
        lines
    }

    fn summary(&self) -> String {
        let Counts { agree, differ, unknown } = self.counts();
        match (differ, unknown) {
            (0, 0) => format!("all {agree} items agree"),
            _ => format!("{agree} items agree, {differ} differ, {unknown} are unknown"),
        }
    }
}

/// Returns the table of the pay of all miners by one score log.
fn pay_lines(pay: &LogPay) -> Vec<String> {
    let uid = pay.uid.map_or("without uid".to_owned(), |uid| uid.to_string());
    let mut table = Table::default();
    let miners = || pay.miners.iter();
    table.column("uid", Side::Right, miners().map(|miner| miner.uid.to_string()));
    table.column("miner", Side::Left, miners().map(|miner| short(miner.hotkey)));
    pay::columns(&mut table, &miners().collect::<Vec<_>>());
    let title = format!("pay by validator {uid} ({}):", pay.validator);
    std::iter::once(title).chain(table.lines()).collect()
}

impl WindowReport {
    /// Returns the validators of the window, in the order of their uids.
    fn validators(&self) -> Vec<(Uid, base::Hotkey)> {
        let mut validators: Vec<_> = self.findings.iter().filter_map(Finding::validator).collect();
        validators.sort_unstable();
        validators.dedup();
        validators
    }

    /// Returns the worst verdict on an item: of one validator, or of all miners and the network if
    /// `validator` is `None`.
    fn cell(&self, validator: Option<Uid>, item: Item) -> String {
        let asked =
            |finding: &&Finding| finding.item == item && finding.validator().map(|(uid, _)| uid) == validator;
        let found: Vec<&Verdict> =
            self.findings.iter().filter(asked).map(|finding| &finding.verdict).collect();
        let worst = found.iter().max_by_key(|verdict| match verdict {
            Verdict::Agree => 0,
            Verdict::Unknown { .. } => 1,
            Verdict::Differ { .. } => 2,
        });
        match worst {
            None => "-",
            Some(Verdict::Agree) => "agree",
            Some(Verdict::Differ { .. }) => "DIFFERS",
            Some(Verdict::Unknown { .. }) => "unknown",
        }
        .to_owned()
    }
}

impl Finding {
    fn validator(&self) -> Option<(Uid, base::Hotkey)> {
        match self.subject {
            Subject::Validator(id, uid) => Some((uid, id.hotkey)),
            Subject::Network | Subject::Miner(..) => None,
        }
    }
}
