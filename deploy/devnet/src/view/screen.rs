//! Where the table is shown.

use std::io::{self, IsTerminal, Write};

/// A terminal, on which the table is redrawn in place, or anything else, to which plain lines are written.
///
/// Whoever closes the pipe early has had enough; the run goes on without a picture.
pub struct Screen<W> {
    to: W,
    /// Lines of the table that stand on the terminal now.
    drawn: usize,
    terminal: bool,
}

impl Screen<io::Stdout> {
    /// The standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(io::stdout(), io::stdout().is_terminal())
    }
}

impl<W: Write> Screen<W> {
    /// Any writer.
    pub fn new(to: W, terminal: bool) -> Self {
        Self { to, drawn: 0, terminal }
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows the table, on a terminal only.
    pub fn draw(&mut self, table: &[String]) {
        if self.terminal {
            self.erase();
            let text: String = table.iter().map(|line| format!("{line}\x1b[K\n")).collect();
            self.print(&text);
            self.drawn = table.len();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: bool) -> String {
        let mut bytes = Vec::new();
        let mut screen = Screen::new(&mut bytes, terminal);
        screen.say("first");
        screen.draw(&["a".into(), "b".into()]);
        screen.draw(&["c".into()]);
        screen.say("last");
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_table_is_redrawn_on_a_terminal_and_left_out_elsewhere() {
        assert_eq!(shown(false), "first\nlast\n");
        assert_eq!(shown(true), "first\na\x1b[K\nb\x1b[K\n\x1b[2A\x1b[Jc\x1b[K\n\x1b[1A\x1b[Jlast\n");
    }
}
