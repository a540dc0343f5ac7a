//! Reader of JSONL: one object per line, with the document in one of its fields.

use crate::{InputError, Piece, Place, inputs::Input, stream::Stream};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// The maximum length of a line, in bytes. A line is held in memory.
pub(crate) const LONGEST_LINE: usize = 64 << 20;

/// The documents of a JSONL file.
pub(crate) struct Jsonl {
    name: String,
    pub(crate) stream: Stream,
    field: String,
    longest: usize,
}

/// The value of the field in an object.
#[derive(Debug, PartialEq)]
enum Found {
    Text(String),
    /// `null`, which counts as an empty document.
    Null,
    Other(&'static str),
    Nothing,
}

impl Jsonl {
    pub(crate) fn new(input: &Input, stream: Stream, field: &str) -> Self {
        Self { name: input.to_string(), stream, field: field.into(), longest: LONGEST_LINE }
    }

    /// Reads the next document. Skips empty lines. After an error about a line, the next call continues
    /// after that line.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, InputError> {
        loop {
            let place = Place { name: self.name.clone(), line: self.stream.line() };
            let Some(length) = self.find_line(&place)? else { return Ok(None) };
            let (line, offset) = (&self.stream.window()[..length], self.stream.offset());
            let document = if line.trim_ascii().is_empty() {
                None
            } else {
                Some(document(line, offset, &self.field, &place))
            };
            self.stream.advance(length);
            match document {
                None => {}
                Some(text) => {
                    return text.map(|text| Some(Piece { place, text, first: true, last: true }));
                }
            }
        }
    }

    /// Returns the length of the line at the start of the window, including its newline.
    fn find_line(&mut self, place: &Place) -> Result<Option<usize>, InputError> {
        let mut searched = 0;
        loop {
            let window = self.stream.window();
            if let Some(at) = memchr::memchr(b'\n', &window[searched..]) {
                return Ok(Some(searched + at + 1));
            }
            searched = window.len();
            if searched > self.longest {
                return Err(InputError::LongLine { place: place.clone(), limit: self.longest });
            }
            if !self.stream.fill()? {
                let length = self.stream.window().len();
                return Ok((length > 0).then_some(length));
            }
        }
    }
}

/// Reads the document of a line that begins at `offset`.
fn document(line: &[u8], offset: u64, field: &str, place: &Place) -> Result<String, InputError> {
    let line = if offset == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
    let text = std::str::from_utf8(line).map_err(|error| InputError::NotUtf8 {
        place: place.clone(),
        offset: offset + error.valid_up_to() as u64,
    })?;
    match find(text, field) {
        Ok(Found::Text(text)) => Ok(text),
        Ok(Found::Null) => Ok(String::new()),
        Ok(Found::Nothing) => Err(InputError::NoField { place: place.clone(), field: field.into() }),
        Ok(Found::Other(found)) => {
            Err(InputError::NotText { place: place.clone(), field: field.into(), found })
        }
        Err(error) => {
            // The parser's "line 1" is removed: the place names the line already.
            let reason = error.to_string().replace(" at line 1 column ", " at column ");
            Err(InputError::Json { place: place.clone(), reason })
        }
    }
}

fn find(line: &str, field: &str) -> Result<Found, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(line);
    let found = json.deserialize_map(Object(field))?;
    json.end()?;
    Ok(found)
}

/// A visitor that reads one field of an object. If the field is repeated, the last value counts.
struct Object<'a>(&'a str);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::Nothing;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = map.next_value::<Found>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

impl<'de> serde::Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde_json::Value;
        Ok(match Value::deserialize(deserializer)? {
            Value::String(text) => Self::Text(text),
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Other("true or false"),
            Value::Number(_) => Self::Other("a number"),
            Value::Array(_) => Self::Other("a list"),
            Value::Object(_) => Self::Other("an object"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_found_among_others() {
        let found = |line| find(line, "text").unwrap();
        assert_eq!(found(r#"{"id":[1,{"text":"no"}],"text":"é\n"}"#), Found::Text("é\n".into()));
        assert_eq!(found(r#"{"text":null}"#), Found::Null);
        assert_eq!(found(r#"{"text":{"text":"inner"}}"#), Found::Other("an object"));
        assert_eq!(found(r#"{"texts":"x"}"#), Found::Nothing);
        for wrong in ["[1]", "\"text\"", "{", r#"{"text":"x"} x"#, r#"{"text":"\ud800"}"#] {
            assert!(find(wrong, "text").is_err(), "{wrong}");
        }
    }
}
