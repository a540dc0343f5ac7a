//! Writes CSV as defined by RFC 4180: a header, commas, lines that end with CR LF, quotes only if needed.

use super::rows::{COLUMNS, Cell, Row};
use std::io::{self, Write};

/// Writes the header.
pub(super) fn header(to: &mut impl Write) -> io::Result<()> {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    write!(to, "{}\r\n", names.join(","))
}

/// Writes a row. [`Cell::Nothing`] becomes an empty field. A number is written so that it parses to the
/// same f64.
pub(super) fn row(to: &mut impl Write, row: &Row<'_>) -> io::Result<()> {
    let fields: Vec<String> = COLUMNS.iter().map(|column| field((column.cell)(row))).collect();
    write!(to, "{}\r\n", fields.join(","))
}

fn field(cell: Cell) -> String {
    match cell {
        Cell::Nothing => String::new(),
        Cell::Whole(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => quoted(text),
    }
}

fn quoted(text: String) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let text = |text: &str| field(Cell::Text(text.to_owned()));
        assert_eq!(text("plain words"), "plain words");
        assert_eq!(text("a, b"), "\"a, b\"");
        assert_eq!(text("the \"end\""), "\"the \"\"end\"\"\"");
        assert_eq!(text("two\nlines"), "\"two\nlines\"");
        assert_eq!(field(Cell::Nothing), "");
    }

    #[test]
    fn numbers_read_back_as_they_were() {
        for number in [0.1 + 0.2, 1e-300, -0.0, 4.0, f64::MAX, f64::INFINITY] {
            let text = field(Cell::Real(number));
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
        }
        assert_eq!(field(Cell::Whole(-7)), "-7");
    }
}
