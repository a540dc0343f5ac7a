//! The reference page of a program's commands: the text of `--help` for each command, generated from
//! the code.

use clap::Command;
use std::{fmt::Write as _, fs, io, path::Path};

/// The environment variable that makes [`check_reference`] write the page instead of comparing it.
pub const BLESS: &str = "MUSTER_BLESS";

/// An error in checking a reference page.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A page that cannot be read or written.
    #[error("cannot read or write {page}")]
    File {
        /// The page.
        page: String,
        /// The reason.
        source: io::Error,
    },
    /// A page that differs from the code.
    #[error("{page} differs from the code at line {line}: run this test with {BLESS}=1 to write it again")]
    Differs {
        /// The page.
        page: String,
        /// The first line that differs, from 1.
        line: usize,
    },
}

/// Returns the page: each command with its full help text, in the order of the code. Leaves out values
/// from the environment.
#[must_use]
pub fn reference(command: &Command) -> String {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let name = command.get_name().to_owned();
    let mut page = format!(
        "# {name}\n\nMade from the code; a test compares. `{name} COMMAND --help` prints the same.\n"
    );
    section(&command, &name, &mut page);
    page
}

fn section(command: &Command, path: &str, page: &mut String) {
    let visible = command.clone().mut_args(|argument| argument.hide_env_values(true)).bin_name(path);
    let help = visible.term_width(100).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    writeln!(page, "\n## {path}\n\n```text\n{}\n```", lines.join("\n").trim_end())
        .expect("a string takes all that is written");
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        section(inner, &format!("{path} {}", inner.get_name()), page);
    }
}

/// Compares a program's page with its code, or writes it if [`BLESS`] is set. A test of each program
/// calls it.
///
/// # Errors
/// The page differs from the code, or cannot be read or written.
pub fn check_reference(command: &Command, page: &Path) -> Result<(), ReferenceError> {
    let expected = reference(command);
    let name = page.display().to_string();
    let file = |source| ReferenceError::File { page: name.clone(), source };
    if std::env::var_os(BLESS).is_some() {
        return fs::write(page, expected).map_err(file);
    }
    let found = fs::read_to_string(page).map_err(file)?;
    if found == expected {
        return Ok(());
    }
    let same = found.lines().zip(expected.lines()).take_while(|(found, expected)| found == expected).count();
    Err(ReferenceError::Differs { page: name, line: same + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};

    fn program() -> Command {
        let url = Arg::new("url").long("url").env("PATH").help("Where it is").action(ArgAction::Set);
        let hidden = Command::new("hidden").hide(true);
        Command::new("prog").about("Does things").subcommand(Command::new("go").arg(url)).subcommand(hidden)
    }

    #[test]
    fn every_visible_command_has_a_section_without_values_of_the_environment() {
        let page = reference(&program());
        assert!(page.starts_with("# prog\n"), "{page}");
        assert!(page.contains("\n## prog go\n") && page.contains("Usage: prog go"), "{page}");
        assert!(page.contains("[env: PATH]"), "{page}");
        assert!(!page.contains("hidden"), "{page}");
    }

    #[test]
    fn a_page_that_differs_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("REFERENCE.md");
        std::fs::write(&page, reference(&program()).replace("Does things", "Did things")).unwrap();
        let error = check_reference(&program(), &page).unwrap_err().to_string();
        assert!(error.contains("REFERENCE.md differs from the code at line 8"), "{error}");
        std::fs::write(&page, reference(&program())).unwrap();
        check_reference(&program(), &page).unwrap();
    }
}
