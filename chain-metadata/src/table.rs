//! Renders a report as text for a terminal.

use std::fmt::Write;

use crate::{
    check::{ItemReport, Status},
    report::Report,
    runtime::RuntimeId,
};

/// Renders the whole report: a heading, a line for each item with its differences below, and a summary line
/// at the end.
///
/// `source` names the source of the live metadata, for example `metadata V15 of ws://127.0.0.1:9944`.
pub fn render(report: &Report, source: &str) -> String {
    let live = report.live.as_ref().map_or("runtime of unknown version".into(), RuntimeId::to_string);
    let mut text = format!("pinned  {}\nlive    {live}, {source}\n\n", report.pinned);
    let width = report.items.iter().map(|item| item.item.to_string().len()).max().unwrap_or(0);
    report.items.iter().for_each(|item| render_item(&mut text, item, width));
    text.push('\n');
    text.push_str(&summary(report));
    text.push('\n');
    printable(&text)
}

fn render_item(text: &mut String, report: &ItemReport, width: usize) {
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    line(&format!("{:<11}  {:<width$}  {}", report.item.kind, report.item.to_string(), report.status));
    for difference in report.status.differences() {
        line(&format!("    {difference}"));
    }
    if !report.status.is_usable() {
        line(&format!("    pinned    {}", report.pinned));
        if let Some(live) = &report.live {
            line(&format!("    live      {live}"));
        }
        line(&format!("    used for  {}", report.item.why));
        report.loss.iter().for_each(|loss| line(&format!("    you lose  {loss}")));
    }
}

/// Returns one line with the number of items of each status, and of unusable items.
pub fn summary(report: &Report) -> String {
    let count =
        |wanted: &dyn Fn(&Status) -> bool| report.items.iter().filter(|item| wanted(&item.status)).count();
    let differs = |status: &Status| matches!(status, Status::Different(_));
    let counts = [
        ("equal", count(&|status| *status == Status::Equal)),
        ("equal up to newtypes", count(&|status| *status == Status::EqualUpToNewtypes)),
        ("different but usable", count(&|status| differs(status) && status.is_usable())),
        ("different", count(&|status| differs(status) && !status.is_usable())),
        ("absent", count(&|status| *status == Status::Absent)),
        ("not described", count(&|status| *status == Status::NotDescribed)),
    ];
    let mut text = format!("{} items", report.items.len());
    for (index, (name, number)) in counts.into_iter().filter(|(_, number)| *number > 0).enumerate() {
        let separator = if index == 0 { ": " } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{number} {name}");
    }
    match report.unusable().count() {
        0 => text + ". All are usable.",
        unusable => format!("{text}. {unusable} not usable."),
    }
}

/// Replaces control characters. Names come from a node and must not control the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
