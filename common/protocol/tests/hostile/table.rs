//! The rows of `HOSTILE.md`: malformed inputs, and the errors of the parsers.

mod checkpoints;
mod commitments;
mod key_files;
mod logs;
mod runs;
mod submissions;

use std::error::Error;

/// An object and its rows.
struct Table {
    /// The parsed object, and the type of the errors.
    heading: &'static str,
    rows: Vec<(&'static str, String)>,
}

/// A list of rows, each from a change of a valid object.
struct Rows<'a, T> {
    valid: T,
    refuse: &'a dyn Fn(T) -> Option<String>,
    rows: Vec<(&'static str, String)>,
}

impl<'a, T: Clone> Rows<'a, T> {
    /// Creates an empty list for changes of `valid`. Checks that `valid` itself is accepted.
    fn of(valid: T, refuse: &'a dyn Fn(T) -> Option<String>) -> Self {
        assert_eq!(refuse(valid.clone()), None, "the valid object is valid");
        Self { valid, refuse, rows: Vec::new() }
    }

    fn row<R>(&mut self, input: &'static str, change: impl FnOnce(&mut T) -> R) -> &mut Self {
        let mut changed = self.valid.clone();
        change(&mut changed);
        let error = (self.refuse)(changed).unwrap_or_else(|| panic!("{input}: it is refused"));
        self.rows.push((input, error));
        self
    }

    fn done(self, heading: &'static str) -> Table {
        Table { heading, rows: self.rows }
    }
}

fn says<T, E: Error>(result: Result<T, E>) -> Option<String> {
    result.err().map(|error| base::ErrorChain(&error).to_string())
}

/// Returns all tables in the form of the page.
pub(crate) fn page() -> String {
    let tables = [
        submissions::submission(),
        submissions::bodies_of_centroids(),
        submissions::bodies_of_signs(),
        submissions::bodies_of_values(),
        submissions::sealed(),
        submissions::key_object(),
        commitments::commitment(),
        commitments::announcement(),
        logs::log(),
        logs::replay(),
        runs::run_spec(),
        runs::run_file(),
        runs::dataset(),
        runs::block_table(),
        checkpoints::manifest(),
        checkpoints::pointer(),
        checkpoints::progress_rows(),
        logs::window_record(),
        key_files::key_file(),
    ];
    tables.iter().map(Table::markdown).collect::<Vec<_>>().join("\n")
}

impl Table {
    fn markdown(&self) -> String {
        let row = |(input, error): &(&str, String)| {
            let error = short(error).split_whitespace().collect::<Vec<_>>().join(" ");
            format!("| {input} | {error} |\n")
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!("## {}\n\n| input | error |\n|---|---|\n{rows}", self.heading)
    }
}

/// Replaces hashes by their first eight digits.
fn short(text: &str) -> String {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|c| !hex(c)).unwrap_or(rest.len());
        let word = if run == 0 { &rest[..first.len_utf8()] } else { &rest[..run] };
        out += if word.len() == 64 { &word[..8] } else { word };
        rest = &rest[word.len()..];
    }
    out
}
