//! Progress display: one line that is redrawn on a terminal, plain lines elsewhere.

use crate::{Phase, Progress, Warning, Watch};
use std::{
    io::Write,
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// The width of the bar, in columns.
const BAR: usize = 24;
/// The time after which the speed is good enough to estimate the remaining time.
const SETTLED: Duration = Duration::from_secs(2);
/// The number of warnings of a kind that are shown. The report counts all of them.
const MOST_WARNINGS: u32 = 5;

/// A [`Watch`] that writes progress and warnings for people.
pub struct Meter<W> {
    out: W,
    terminal: bool,
    phase: Option<Phase>,
    /// The start of the phase, and the bytes that were done at that time.
    began: (Instant, u64),
    /// The time of the last shown line, and the bytes that it showed.
    shown: Option<(Instant, u64)>,
    /// The number of columns that the line on the terminal fills.
    width: usize,
    cuts: u32,
    bad_lines: u32,
}

impl<W: Write + Send> Meter<W> {
    /// Creates a meter that writes to `out`. `terminal` says whether `out` is a terminal.
    pub fn new(out: W, terminal: bool) -> Self {
        let began = (Instant::now(), 0);
        Self { out, terminal, phase: None, began, shown: None, width: 0, cuts: 0, bad_lines: 0 }
    }

    /// Ends the line on a terminal.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.width) > 0 {
            self.write("\n");
        }
    }

    /// Checks whether to show a line now: five times a second on a terminal, every ten seconds
    /// elsewhere, and when a phase begins or ends.
    fn is_due(&self, now: Instant, progress: &Progress) -> bool {
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let ended = progress.total == Some(progress.done);
        self.shown.is_none_or(|(shown, done)| now - shown >= pause || (ended && done != progress.done))
    }

    fn line(&mut self, line: &str) {
        if self.terminal {
            let columns = line.chars().count();
            let padded = format!("\r{line:<width$}", width = self.width);
            self.width = self.width.max(columns);
            self.write(&padded);
        } else {
            self.write(&format!("{line}\n"));
        }
    }

    /// Writes text and ignores errors: the work must not fail because its progress cannot be shown.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl<W: Write + Send> Watch for Meter<W> {
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()> {
        let now = Instant::now();
        if self.phase != Some(progress.phase) {
            self.finish();
            (self.phase, self.began, self.shown) = (Some(progress.phase), (now, progress.done), None);
        }
        if self.is_due(now, progress) {
            self.shown = Some((now, progress.done));
            let line = describe(progress, now - self.began.0, self.began.1, self.terminal);
            self.line(&line);
        }
        ControlFlow::Continue(())
    }

    fn warning(&mut self, warning: &Warning) {
        let count = match warning {
            Warning::Cut { .. } => &mut self.cuts,
            Warning::BadLine(_) => &mut self.bad_lines,
            _ => &mut 0,
        };
        *count += 1;
        let count = *count;
        if count <= MOST_WARNINGS {
            self.finish();
            let more =
                if count == MOST_WARNINGS { " (further warnings of this kind are only counted)" } else { "" };
            self.write(&format!("warning: {warning}{more}\n"));
        }
    }
}

/// Returns the line to show `elapsed` after the phase began with `before` bytes done.
#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn describe(progress: &Progress, elapsed: Duration, before: u64, bar: bool) -> String {
    let Progress { phase, done, total, counts, tokens } = progress;
    let speed = done.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(1e-3);
    let mut line = format!("{phase}");
    if let Some(total) = total {
        let share = *done as f64 / (*total).max(1) as f64;
        if bar {
            let full = (0..BAR).filter(|&at| (at as f64) < share * BAR as f64).count();
            line += &format!(" [{}{}]", "#".repeat(full), ".".repeat(BAR - full));
        }
        line += &format!(" {:.0} %", 100.0 * share);
    }
    line += &format!(
        ", {} MB, {:.1} MB/s, {} documents, {tokens} tokens",
        done / 1_000_000,
        speed / 1e6,
        counts.documents
    );
    match total.map(|total| total.saturating_sub(*done) as f64 / speed.max(1.0)) {
        Some(left) if left >= 1.0 && elapsed >= SETTLED => line + &format!(", {} left", duration(left)),
        _ => line,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds, not negative")]
fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counts;

    fn at(done: u64, total: Option<u64>) -> Progress {
        let counts = Counts { documents: 12, ..Counts::default() };
        Progress { phase: Phase::Tokenizing, done, total, counts, tokens: 345 }
    }

    #[test]
    fn a_line_tells_share_speed_and_rest() {
        let line = describe(&at(30_000_000, Some(120_000_000)), Duration::from_secs(10), 10_000_000, true);
        assert_eq!(
            line,
            "tokenizing [######..................] 25 %, 30 MB, 2.0 MB/s, 12 documents, 345 tokens, 45 s left"
        );
        let open = describe(&at(30_000_000, None), Duration::from_secs(10), 0, true);
        assert_eq!(open, "tokenizing, 30 MB, 3.0 MB/s, 12 documents, 345 tokens");
        assert_eq!(
            (duration(59.9), duration(61.0), duration(7261.0)),
            ("59 s".into(), "1 min 1 s".into(), "2 h 1 min".into())
        );
    }

    #[test]
    fn without_a_terminal_lines_are_plain_and_few() {
        let mut out = Vec::new();
        let mut meter = Meter::new(&mut out, false);
        for done in 0..1000 {
            assert!(meter.progress(&at(done, Some(1000))).is_continue());
        }
        for _ in 0..9 {
            meter.warning(&Warning::BadLine("x".into()));
        }
        assert!(meter.progress(&at(1000, Some(1000))).is_continue());
        meter.finish();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\r') && text.lines().count() < 20, "{text}");
        assert_eq!(text.matches("warning: skipped: x").count(), 5);
        assert!(text.lines().last().unwrap().starts_with("tokenizing 100 %"), "{text}");
    }
}
