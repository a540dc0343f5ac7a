//! Shows lines, and the table on a terminal.

use std::io::{self, IsTerminal, Write};

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of characters in a line.
    pub columns: usize,
    /// The number of lines.
    pub rows: usize,
}

impl Size {
    /// The assumed size of a terminal that does not report its size.
    const USUAL: Self = Self { columns: 80, rows: 24 };

    /// Returns the current size of the terminal on standard output. It may change during a run.
    fn of_stdout() -> Self {
        let size = terminal_size::terminal_size();
        size.map_or(Self::USUAL, |(width, height)| Self { columns: width.0.into(), rows: height.0.into() })
    }
}

/// An output for lines and the table. On a terminal the table is redrawn in place. Any other output
/// gets only lines.
///
/// Write errors are ignored: if the reader closes the pipe, the run goes on without output.
pub struct Screen<W> {
    to: W,
    /// The number of lines of the table that are on the terminal now.
    drawn: usize,
    /// The function that returns the terminal's size; `None` if the output is not a terminal.
    size: Option<fn() -> Size>,
}

impl Screen<io::Stdout> {
    /// Creates a screen on the standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let size: fn() -> Size = Size::of_stdout;
        Self::new(io::stdout(), io::stdout().is_terminal().then_some(size))
    }
}

impl<W: Write> Screen<W> {
    /// Creates a screen on a writer. `size` is `None` if the writer is not a terminal.
    pub fn new(to: W, size: Option<fn() -> Size>) -> Self {
        Self { to, drawn: 0, size }
    }

    /// Returns whether the output is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.size.is_some()
    }

    /// Draws the table on a terminal, as far as it fits: a line that wraps could not be drawn over. On
    /// any other output it does nothing.
    pub fn draw(&mut self, table: &[String]) {
        let Some(size) = self.size else { return };
        let Size { columns, rows } = size();
        self.erase();
        let fits = &table[..table.len().min(rows.saturating_sub(1))];
        let text: String = fits.iter().map(|line| format!("{}\x1b[K\n", clip(line, columns))).collect();
        self.print(&text);
        self.drawn = fits.len();
    }

    /// Writes a permanent line above the table.
    pub fn say(&mut self, line: &str) {
        self.erase();
        self.print(&format!("{line}\n"));
    }

    /// Makes the drawn table permanent.
    pub fn keep(&mut self) {
        self.drawn = 0;
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            let up = self.drawn;
            self.print(&format!("\x1b[{up}A\x1b[J"));
            self.drawn = 0;
        }
    }

    fn print(&mut self, text: &str) {
        let _ = self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush());
    }
}

/// Cuts a line to `columns` characters and keeps all its styles.
fn clip(line: &str, columns: usize) -> String {
    let mut shown = 0;
    let mut in_style = false;
    let fits = |c: &char| {
        let is_style = in_style || *c == '\x1b';
        in_style = is_style && *c != 'm';
        shown += usize::from(!is_style);
        is_style || shown <= columns
    };
    line.chars().filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(size: Option<fn() -> Size>) -> String {
        let mut bytes = Vec::new();
        let mut screen = Screen::new(&mut bytes, size);
        screen.say("first");
        screen.draw(&["a".into(), "b".into()]);
        screen.draw(&["c".into()]);
        screen.say("last");
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_table_is_redrawn_on_a_terminal_and_left_out_elsewhere() {
        assert_eq!(shown(None), "first\nlast\n");
        let drawn = shown(Some(|| Size::USUAL));
        assert_eq!(drawn, "first\na\x1b[K\nb\x1b[K\n\x1b[2A\x1b[Jc\x1b[K\n\x1b[1A\x1b[Jlast\n");
    }

    #[test]
    fn a_table_is_clipped_to_the_terminal_so_that_it_can_be_drawn_over() {
        let mut bytes = Vec::new();
        let mut screen = Screen::new(&mut bytes, Some(|| Size { columns: 3, rows: 3 }));
        screen.draw(&["\x1b[1mwide\x1b[0m line".into(), "█▏ ·".into(), "below".into()]);
        screen.draw(&[]);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "\x1b[1mwid\x1b[0m\x1b[K\n█▏ \x1b[K\n\x1b[2A\x1b[J");
    }
}
