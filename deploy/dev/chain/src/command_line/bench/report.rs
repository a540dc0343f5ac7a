//! The measured figures and their output.

use std::{fmt::Write, time::Duration};

use serde::Serialize;

/// One measured value.
#[derive(Serialize)]
pub(super) struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// The largest acceptable value.
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<f64>,
    /// Whether the value is above the aim.
    above: bool,
}

impl Figure {
    pub(super) fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, aim: None, above: false }
    }

    pub(super) fn aim(self, aim: f64) -> Self {
        Self { aim: Some(aim), above: self.value > aim, ..self }
    }
}

/// All figures, and the build settings of the program.
#[derive(Serialize)]
pub(super) struct Report {
    build: String,
    figures: Vec<Figure>,
}

impl Default for Report {
    fn default() -> Self {
        let (profile, level) = (env!("DEVCHAIN_BUILD_PROFILE"), env!("DEVCHAIN_BUILD_OPT_LEVEL"));
        let checks = if cfg!(debug_assertions) { "with" } else { "without" };
        let build = format!("cargo profile based on {profile}, opt-level {level}, {checks} debug assertions");
        Self { build, figures: Vec::new() }
    }
}

impl Report {
    pub(super) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    pub(super) fn extend(&mut self, figures: Vec<Figure>) {
        self.figures.extend(figures);
    }

    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("build: {}\n", self.build);
        for Figure { name, value, unit, aim, above } in &self.figures {
            let above = if *above { ", ABOVE" } else { "" };
            let aim = aim.map_or_else(String::new, |aim| format!("   aim: at most {aim} {unit}{above}"));
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{name:<57} {value:>9.2} {unit}{aim}");
        }
        text
    }
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Returns the median, in milliseconds.
pub(super) fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().map_or(0.0, ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_above_its_aim_is_marked() {
        let mut report = Report::default();
        report.add(Figure::new("slow", 2.0, "ms").aim(1.5));
        report.add(Figure::new("fast", 1.5, "ms").aim(1.5));
        report.add(Figure::new("free", 9.0, "ms"));
        let text = report.to_text();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(lines[0].ends_with("2.00 ms   aim: at most 1.5 ms, ABOVE"), "{text}");
        assert!(lines[1].ends_with("1.50 ms   aim: at most 1.5 ms"), "{text}");
        assert!(lines[2].ends_with("9.00 ms"), "{text}");
    }
}
