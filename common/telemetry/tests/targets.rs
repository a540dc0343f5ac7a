//! Checks that every log line of the sources has a target, and that [`telemetry::target`] lists it.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

#[path = "../../base/tests/sources/mod.rs"]
mod sources;

use sources::sources;
use telemetry::target::ALL;

/// Checks whether a text after `target:` names a listed target: a literal, or a constant by its name.
fn is_listed(text: &str) -> bool {
    let text = text.trim_start();
    let name = match text.strip_prefix('"') {
        Some(literal) => literal.split(['"', ':']).next().unwrap_or_default().to_owned(),
        None => {
            let path: String =
                text.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
            path.rsplit("::").next().unwrap_or_default().to_lowercase()
        }
    };
    ALL.contains(&name.as_str())
}

/// Returns the lines of a file whose log macro has no listed target.
fn unlisted(text: &str) -> Vec<usize> {
    let macros = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
    let begins = |line: &str| {
        let at = macros.iter().find_map(|name| Some(line.find(name)? + name.len()))?;
        Some(at).filter(|_| !line.trim_start().starts_with("//"))
    };
    let logs = text.contains("tracing");
    let lines = text.lines().enumerate().filter_map(|(number, line)| Some((number + 1, line, begins(line)?)));
    let wrong = lines.filter(|(_, line, at)| {
        let arguments = line[*at..].trim_start();
        // A macro without arguments on its line goes on in the next one.
        let next = || text.lines().skip_while(|other| other != line).nth(1).unwrap_or_default().trim_start();
        let arguments = if arguments.is_empty() { next() } else { arguments };
        !arguments.strip_prefix("target:").is_some_and(is_listed)
    });
    wrong.map(|(number, ..)| number).filter(|_| logs).collect()
}

#[test]
fn every_log_line_has_a_listed_target() {
    let sample = "use tracing::warn;\nwarn!(target: \"chain\", \"x\");\nwarn!(\n    target: target::SCORE,\n";
    assert_eq!(unlisted(sample), [] as [usize; 0]);
    let sample = "use tracing::warn;\nwarn!(\"x\");\nwarn!(target: \"chian\", \"x\");\nwarn!(target: \"devchain::log\", \"x\")";
    assert_eq!(unlisted(sample), [2, 3]);
    let here = |path: &std::path::Path| path.ends_with("tests/targets.rs");
    let found = sources().into_iter().filter(|(path, _)| !here(path)).flat_map(|(path, text)| {
        unlisted(&text).into_iter().map(move |line| format!("{}:{line}", path.display()))
    });
    assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new(), "name a target of telemetry::target");
}
