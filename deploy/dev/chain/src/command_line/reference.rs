//! Prints the reference page: the help of each command.

use clap::Command;

/// Returns the page in Markdown.
pub(super) fn page(mut command: Command) -> String {
    command.build();
    let mut page =
        String::from("# devchain: reference\n\nPrinted by `devchain reference`; a test compares it.\n");
    add(&mut command, &mut page);
    page
}

fn add(command: &mut Command, page: &mut String) {
    let help = command.clone().term_width(100).render_long_help().to_string();
    let title = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    for subcommand in command.get_subcommands_mut() {
        if subcommand.get_name() != "help" && !subcommand.is_hide_set() {
            add(subcommand, page);
        }
    }
}
