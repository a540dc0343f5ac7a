//! Formats tables of text. Each column is as wide as its longest cell.

use std::io::{self, IsTerminal as _};

/// The space between two columns.
const GAP: &str = "  ";

/// The alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Left-aligned, for words.
    Left,
    /// Right-aligned, for numbers.
    Right,
}

/// A table that is built column by column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    side: Side,
    cells: Vec<String>,
}

impl Table {
    /// Adds a column.
    pub(crate) fn column(
        &mut self,
        name: impl Into<String>,
        side: Side,
        cells: impl IntoIterator<Item = impl Into<String>>,
    ) {
        let cells = cells.into_iter().map(Into::into).collect();
        self.columns.push(Column { name: name.into(), side, cells });
    }

    /// Returns the width of the table, in characters.
    pub(crate) fn width(&self) -> usize {
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        self.columns.iter().map(Column::width).sum::<usize>() + gaps
    }

    /// Returns the lines of the table: the header, then the rows.
    pub(crate) fn lines(&self) -> Vec<String> {
        let rows = self.columns.iter().map(|column| column.cells.len()).max().unwrap_or_default();
        let header = self.line(|column| &column.name);
        let row =
            |at: usize| self.line(|column| column.cells.get(at).map_or("", |cell: &String| cell.as_str()));
        std::iter::once(header).chain((0..rows).map(row)).collect()
    }

    fn line<'a>(&'a self, cell: impl Fn(&'a Column) -> &'a str) -> String {
        let cells: Vec<String> = self.columns.iter().map(|column| column.padded(cell(column))).collect();
        cells.join(GAP).trim_end().to_owned()
    }
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.chars().count());
        cells.chain([self.name.chars().count()]).max().unwrap_or_default()
    }

    fn padded(&self, cell: &str) -> String {
        let width = self.width();
        match self.side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        }
    }
}

/// Returns the maximum length of a line, in characters: the width of the terminal, or no limit for a file or
/// pipe.
pub(crate) fn line_width() -> usize {
    let terminal = io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    terminal.map_or(usize::MAX, |(width, _)| usize::from(width.0))
}

/// Shortens an address or a hash to its first six and last six characters.
pub(crate) fn short(name: impl ToString) -> String {
    let name = name.to_string();
    let length = name.chars().count();
    if length <= 13 {
        return name;
    }
    let (first, last): (String, String) =
        (name.chars().take(6).collect(), name.chars().skip(length - 6).collect());
    format!("{first}…{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cells() {
        let mut table = Table::default();
        table.column("uid", Side::Right, ["1", "12"]);
        table.column("name", Side::Left, ["a", "bö"]);
        table.column("n", Side::Right, ["1000"]);
        assert_eq!(table.lines(), ["uid  name     n", "  1  a     1000", " 12  bö"]);
        assert_eq!(table.width(), 15);
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(short("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"), "5Grwva…GKutQY");
        assert_eq!(short("short"), "short");
    }
}
