//! The order of a run: set up, run window by window, end, audit, check, report.

mod end;
mod live;

use crate::{
    assertions::{self, Assertion},
    folder::Folder,
    network::Network,
    options::Up,
    report::Report,
    run_record::RunRecord,
    view::Screen,
};
use anyhow::Context;
use base::Exit;
use link::Traffic;
use live::Live;
use std::fs;
use telemetry::Shutdown;

/// Runs a whole network, checks the assertions, and returns the exit code.
///
/// It must be called on the main thread, in a single-threaded runtime: a child ends with the thread
/// that started it.
///
/// # Errors
/// The network cannot be set up, or it fails during the run.
pub async fn up(options: &Up, shutdown: &Shutdown) -> anyhow::Result<Exit> {
    let mut screen = Screen::stdout();
    let folder = match &options.dir {
        Some(path) => Folder::new(&std::path::absolute(path)?),
        None => Folder::in_cache()?,
    };
    screen.say(&format!("run folder: {}", folder.path().display()));
    let network = Network::set_up(options, folder.clone(), &mut screen).await?;
    if let Some(link) = options.link {
        screen.say(&format!("link: a shaping proxy puts each node behind {link}"));
    }
    let mut live = Live::start(network, options, screen)?;
    if !live.run(shutdown).await? {
        live.stop().await;
        live.screen.say(&format!("ended on request; the run folder is kept: {}", folder.path().display()));
        return Ok(Exit::Failed);
    }
    let (mut screen, record, report) = end::end(live, options).await?;
    print_summary(&mut screen, &record, &report);
    let exit = exit(&report.assertions, options.assert);
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(path, text + "\n").with_context(|| format!("--report {}", path.display()))?;
        screen.say(&format!("report: {}", path.display()));
    }
    if options.keep || report.assertions.iter().any(|assertion| !assertion.ok) {
        screen.say(&format!("kept: {} (devnet replay recomputes it)", folder.path().display()));
    } else {
        fs::remove_dir_all(folder.path()).with_context(|| folder.path().display().to_string())?;
    }
    Ok(exit)
}

/// Prints the summary of the run: memory, kills, assertions.
fn print_summary(screen: &mut Screen<std::io::Stdout>, record: &RunRecord, report: &Report) {
    for (node, traffic) in record.links.iter().flat_map(|links| &links.traffic) {
        screen.say(&format!("link of {node}: {}", link_line(traffic)));
    }
    let peak: u64 = report.peak_rss_bytes.values().sum();
    screen.say(&format!("most memory of all processes together: {} MB", peak >> 20));
    if record.kills > 0 {
        screen.say(&format!("killed on purpose: {} times", record.kills));
    }
    for Assertion { name, ok, detail } in &report.assertions {
        screen.say(&format!("{} {name}: {detail}", if *ok { "ok  " } else { "FAIL" }));
    }
}

/// Describes the traffic of a node over its link.
fn link_line(traffic: &Traffic) -> String {
    let Traffic { up, down, most_up, most_down, lost } = *traffic;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    format!(
        "{:.1} MB up, {:.1} MB down; in the busiest second {:.2} Mbit up, {:.2} Mbit down; {lost} packets lost",
        mb(up),
        mb(down),
        assertions::megabits(most_up),
        assertions::megabits(most_down),
    )
}

/// Returns the exit code for these assertions. Without `--assert` it is always good.
fn exit(assertions: &[Assertion], assert: bool) -> Exit {
    let mut failed = assertions.iter().filter(|assertion| assert && !assertion.ok).peekable();
    if failed.peek().is_none() {
        Exit::Good
    } else if failed.any(Assertion::is_disagreement) {
        Exit::Disagreement
    } else {
        Exit::Failed
    }
}

/// Checks the assertions and creates the report.
fn report(record: &RunRecord, peaks: std::collections::BTreeMap<String, u64>) -> Report {
    Report::new(record, assertions::check(record), peaks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disagreement_has_its_own_exit_code() {
        let found = |name, ok| Assertion { name, ok, detail: String::new() };
        assert_eq!(exit(&[found("loss", true)], true), Exit::Good);
        assert_eq!(exit(&[found("loss", false)], true), Exit::Failed);
        assert_eq!(exit(&[found("loss", false), found("audit", false)], true), Exit::Disagreement);
        assert_eq!(exit(&[found("audit", false)], false), Exit::Good);
    }
}
