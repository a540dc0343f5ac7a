//! Encodes and decodes canonical bytes: little endian, no padding, one way to write each value.
//!
//! The layout of every object uses [`Writer`] and [`Reader`]. A reader never reads past its input and
//! never allocates more than its input holds. Its errors name the value and the offset.

/// An error in canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// An input that ends within a value.
    #[error("{what}: {needed} bytes are needed at offset {offset}, {left} are left")]
    Truncated {
        /// The name of the value.
        what: &'static str,
        /// The offset at which it begins.
        offset: usize,
        /// Its length, bytes.
        needed: usize,
        /// The number of bytes from there to the end of the input.
        left: usize,
    },
    /// Bytes after the last value.
    #[error("{left} bytes follow the end of {what} at offset {offset}")]
    Trailing {
        /// The name of the object.
        what: &'static str,
        /// The offset at which it ends.
        offset: usize,
        /// The number of bytes after it.
        left: usize,
    },
    /// A value that its field cannot have.
    #[error("{what} at offset {offset} is {found}: {expected}")]
    Value {
        /// The name of the field.
        what: &'static str,
        /// The offset of the field.
        offset: usize,
        /// The value, as read.
        found: u64,
        /// The allowed values, in words.
        expected: &'static str,
    },
    /// A text that is not UTF-8.
    #[error("{what} at offset {offset} is not UTF-8")]
    Text {
        /// The name of the field.
        what: &'static str,
        /// The offset at which it begins.
        offset: usize,
    },
}

/// Writes canonical bytes.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

/// Reads canonical bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// Declares the methods that write and read numbers.
macro_rules! numbers {
    ($($name:ident: $type:ty),+) => {
        impl Writer {
            $(
                #[doc = concat!("Appends a `", stringify!($type), "`.")]
                pub fn $name(&mut self, value: $type) -> &mut Self {
                    self.raw(&value.to_le_bytes())
                }
            )+
        }

        impl Reader<'_> {
            $(
                #[doc = concat!("Reads a `", stringify!($type), "`.")]
                ///
                /// # Errors
                /// The input ends within the number.
                pub fn $name(&mut self, what: &'static str) -> Result<$type, WireError> {
                    self.array(what).map(<$type>::from_le_bytes)
                }
            )+
        }
    };
}
numbers!(u8: u8, u16: u16, u32: u32, u64: u64, f32: f32, f64: f64);

impl Writer {
    /// Creates an empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a text: its length as `u16`, then its bytes.
    ///
    /// # Panics
    /// The text is longer than 65,535 bytes. Callers bound their texts before.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.u16(text.len().try_into().expect("a text of an object is bounded")).raw(text.as_bytes())
    }

    /// Returns the number of bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns whether no byte was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the written bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl<'a> Reader<'a> {
    /// Creates a reader at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Returns the offset of the next value.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the number of bytes not read yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Reads `length` bytes.
    ///
    /// # Errors
    /// The input ends within them.
    pub fn raw(&mut self, what: &'static str, length: usize) -> Result<&'a [u8], WireError> {
        let left = self.left();
        if length > left {
            return Err(WireError::Truncated { what, offset: self.offset, needed: length, left });
        }
        let bytes = &self.bytes[self.offset..self.offset + length];
        self.offset += length;
        Ok(bytes)
    }

    /// Reads a byte that is 0 or 1.
    ///
    /// # Errors
    /// The input has ended, or the byte is neither.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, WireError> {
        let offset = self.offset;
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(WireError::Value { what, offset, found: found.into(), expected: "0 or 1" }),
        }
    }

    /// Reads a fixed number of bytes.
    ///
    /// # Errors
    /// The input ends within them.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(what, N)?);
        Ok(array)
    }

    /// Reads a text of at most `most` bytes.
    ///
    /// # Errors
    /// The text is longer, is cut off, or is not UTF-8.
    pub fn text(&mut self, what: &'static str, most: u16) -> Result<&'a str, WireError> {
        let offset = self.offset;
        let length = self.u16(what)?;
        if length > most {
            let expected = "the text is too long";
            return Err(WireError::Value { what, offset, found: length.into(), expected });
        }
        std::str::from_utf8(self.raw(what, length.into())?).map_err(|_| WireError::Text { what, offset })
    }

    /// Checks that the whole input was read.
    ///
    /// # Errors
    /// Bytes are left.
    pub fn finish(self, what: &'static str) -> Result<(), WireError> {
        match self.left() {
            0 => Ok(()),
            left => Err(WireError::Trailing { what, offset: self.offset, left }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back_and_every_cut_is_noticed(a: u8, b: u16, c: u32, d: u64, e: f64, text in ".{0,40}") {
            let mut writer = Writer::new();
            writer.u8(a).u16(b).u32(c).u64(d).f64(e).text(&text);
            let bytes = writer.into_bytes();
            let read = |bytes: &[u8]| {
                let mut r = Reader::new(bytes);
                let values = (r.u8("a")?, r.u16("b")?, r.u32("c")?, r.u64("d")?, r.f64("e")?.to_bits());
                let text = r.text("text", 400)?.to_owned();
                r.finish("object")?;
                Ok::<_, WireError>((values, text))
            };
            prop_assert_eq!(read(&bytes), Ok(((a, b, c, d, e.to_bits()), text)));
            for cut in 0..bytes.len() {
                let truncated = matches!(read(&bytes[..cut]), Err(WireError::Truncated { .. }));
                prop_assert!(truncated);
            }
            let longer = [&bytes[..], &[0]].concat();
            let trailing = matches!(read(&longer), Err(WireError::Trailing { left: 1, .. }));
            prop_assert!(trailing);
        }
    }

    #[test]
    fn texts_are_bounded_and_utf8() {
        let bytes = [3, 0, b'a', b'b', 0xff];
        assert!(matches!(Reader::new(&bytes).text("name", 2), Err(WireError::Value { found: 3, .. })));
        assert_eq!(Reader::new(&bytes).text("name", 3), Err(WireError::Text { what: "name", offset: 0 }));
    }
}
