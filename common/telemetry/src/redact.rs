//! Hides secrets in log lines: a text that was passed to [`hide`] never reaches a log line.
//!
//! Types that hold secrets already redact themselves. This catches the other cases, such as a library's
//! error text.

use std::{
    io::{self, Write},
    sync::{PoisonError, RwLock},
};
use tracing_subscriber::fmt::MakeWriter;

/// Minimum number of bytes of a text that is hidden. Hiding every `abc` would make logs unreadable and
/// protect nothing.
const SHORTEST: usize = 8;
const BLOT: &str = "[hidden]";

static HIDDEN: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Hides `secret` in every log line from now on, in plain form and as it appears inside a JSON string.
///
/// Texts of fewer than 8 bytes are not hidden.
pub fn hide(secret: &str) {
    let quoted = serde_json::Value::from(secret).to_string();
    let mut hidden = HIDDEN.write().unwrap_or_else(PoisonError::into_inner);
    for form in [secret, quoted.trim_matches('"')] {
        if form.len() >= SHORTEST && !hidden.iter().any(|known| known == form) {
            hidden.push(form.to_owned());
        }
    }
    // A secret that contains another one must go first, or its rest would stay.
    hidden.sort_by_key(|form| std::cmp::Reverse(form.len()));
}

fn blot(line: &[u8]) -> Option<String> {
    let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(line);
    let found = hidden.iter().any(|secret| text.contains(secret.as_str()));
    found.then(|| hidden.iter().fold(text.into_owned(), |text, secret| text.replace(secret.as_str(), BLOT)))
}

/// A writer factory whose writers hide secrets. The formatting layer writes whole lines, so no secret
/// is cut in two.
pub(crate) struct Redacting<W>(pub(crate) W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Redacting<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self.0.make_writer())
    }
}

/// A writer of one line that hides secrets.
pub(crate) struct Line<W>(W);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match blot(line) {
            Some(clean) => self.0.write_all(clean.as_bytes())?,
            None => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_texts_are_blotted_out_and_short_ones_are_not() {
        hide("correct-horse");
        hide("correct-horse-battery");
        hide("abc");
        let clean = blot(b"abc correct-horse-battery, correct-horse!").expect("a secret was there");
        assert_eq!(clean, "abc [hidden], [hidden]!");
        assert_eq!(blot(b"abc"), None);
    }

    #[test]
    fn the_form_inside_json_is_hidden_too() {
        hide("quo\"te\\secret");
        assert_eq!(blot(br#"{"m":"quo\"te\\secret"}"#).as_deref(), Some(r#"{"m":"[hidden]"}"#));
    }
}
