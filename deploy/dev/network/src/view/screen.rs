//! Where the table is shown.

use std::io::{self, IsTerminal, Write};

/// What fits on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters of a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

impl Size {
    /// What is assumed of a terminal that does not tell.
    const USUAL: Self = Self { columns: 80, rows: 24 };

    /// That of the terminal on standard output now: people change it while a run goes on.
    fn of_stdout() -> Self {
        let progress = terminal_size::terminal_size();
        progress
            .map_or(Self::USUAL, |(width, height)| Self { columns: width.0.into(), rows: height.0.into() })
    }
}

/// A terminal, on which the table is redrawn in place, or anything else, to which plain lines are written.
///
/// Whoever closes the pipe early has had enough; the run goes on without a payouts.
pub struct Screen<W> {
    to: W,
    /// Lines of the table that stand on the terminal now.
    drawn: usize,
    /// How large the terminal is, if it is one.
    size: Option<fn() -> Size>,
}

impl Screen<io::Stdout> {
    /// The standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let size: fn() -> Size = Size::of_stdout;
        Self::new(io::stdout(), io::stdout().is_terminal().then_some(size))
    }
}

impl<W: Write> Screen<W> {
    /// Any writer; `size` if it is a terminal.
    pub fn new(to: W, size: Option<fn() -> Size>) -> Self {
        Self { to, drawn: 0, size }
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.size.is_some()
    }

    /// Shows the table, on a terminal only, as far as it fits: a line that wraps could not be drawn over.
    pub fn draw(&mut self, table: &[String]) {
        let Some(size) = self.size else { return };
        let Size { columns, rows } = size();
        self.erase();
        let fits = &table[..table.len().min(rows.saturating_sub(1))];
        let text: String = fits.iter().map(|line| format!("{}\x1b[K\n", clip(line, columns))).collect();
        self.print(&text);
        self.drawn = fits.len();
    }

    /// Writes a line that stays, above the table.
    pub fn say(&mut self, line: &str) {
        self.erase();
        self.print(&format!("{line}\n"));
    }

    /// Leaves the table standing.
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

/// The first characters of a line, with all of its styles.
fn clip(line: &str, columns: usize) -> String {
    let (mut shown, mut in_style) = (0, false);
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
    fn what_does_not_fit_is_left_out_so_that_it_can_be_drawn_over() {
        let mut bytes = Vec::new();
        let mut screen = Screen::new(&mut bytes, Some(|| Size { columns: 3, rows: 3 }));
        screen.draw(&["\x1b[1mwide\x1b[0m line".into(), "█▏ ·".into(), "below".into()]);
        screen.draw(&[]);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "\x1b[1mwid\x1b[0m\x1b[K\n█▏ \x1b[K\n\x1b[2A\x1b[J");
    }
}
