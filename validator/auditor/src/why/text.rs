//! Formats the explanations of one miner's pay as text.

use super::{LeftOut, LogWhy, Reason, Why};
use crate::{
    pay,
    report::Verdict,
    table::{Side, Table, short},
};
use base::Uid;
use std::fmt;

impl Why {
    /// Returns the explanations as text: a table with a row for each validator, then the sentences about what
    /// would change the pay. Validators with the same sentences share them.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (name, run, window) = (&self.name, self.run.id(), self.window);
        let newest = if self.is_newest { ", the newest with a score log" } else { "" };
        let mut lines = vec![
            format!("run {name} ({run}): window {window}{newest}, incentive at block {}", self.block),
            format!("hotkey {}", self.hotkey),
            String::new(),
        ];
        lines.extend(self.table().lines());
        lines.extend(self.advice());
        if !self.left_out.is_empty() {
            lines.push(String::new());
            lines.extend(self.left_out.iter().map(|left_out| format!("left out: {left_out}")));
        }
        lines.join("\n")
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        let logs = || self.logs.iter();
        table.column("validator", Side::Left, logs().map(|log| short(log.validator)));
        table.column("uid", Side::Right, logs().map(|log| uid(log.uid)));
        let named = |log: &LogWhy| log.named_in.map_or("no".to_owned(), |window| format!("on {window}"));
        table.column("in vote", Side::Left, logs().map(named));
        pay::columns(&mut table, &logs().map(|log| &log.pay).collect::<Vec<_>>());
        table
    }

    fn advice(&self) -> Vec<String> {
        let mut groups: Vec<(Vec<String>, &[String])> = Vec::new();
        for LogWhy { validator, pay, .. } in &self.logs {
            let name = short(validator);
            match groups.iter_mut().find(|(_, advice)| *advice == pay.advice) {
                Some((names, _)) => names.push(name),
                None => groups.push((vec![name], &pay.advice)),
            }
        }
        let mut lines = Vec::new();
        for (names, advice) in groups {
            lines.extend([String::new(), format!("by {}:", names.join(", "))]);
            lines.extend(advice.iter().map(|sentence| format!("* {sentence}")));
        }
        lines
    }
}

fn uid(uid: Option<Uid>) -> String {
    uid.map_or("-".to_owned(), |uid| uid.to_string())
}

impl Reason {
    /// Returns the name of the reason, without details.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unusable(verdict) => verdict.word(),
            Self::Unnamed => "unnamed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(Verdict::Differ { what, stated, computed }) => {
                write!(f, "{what}: stated {stated}, computed {computed}")
            }
            Self::Unusable(Verdict::Unknown { why }) => f.write_str(why),
            Self::Unusable(Verdict::Agree) => f.write_str("the score log was not replayed"),
            Self::Unnamed => f.write_str("its score log does not name the hotkey"),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "validator {} ({}): {}", uid(self.uid), self.validator, self.reason)
    }
}
