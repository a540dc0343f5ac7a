//! Amendments: changes to a run's rules while it goes on, as an append-only chain.
//!
//! This module has the format only. Every object names the rules under which it was made: by the
//! run's hash before the first amendment, and by the last amendment's hash after that.

use base::{
    Window,
    digest::RunHash,
    object::{self, kind},
    wire::{Reader, WireError, Writer},
};

/// The version that this code writes and reads.
const VERSION: u8 = 1;
/// Most bytes of a difference.
pub const MOST_DIFFERENCE: usize = 4096;

/// A change to a run's rules from a window on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// The run.
    pub run: RunHash,
    /// The rules that it changes: the hash of the run, or of the previous amendment.
    pub previous: RunHash,
    /// The first window under the new rules.
    pub effective: Window,
    /// The fields that change, as TOML.
    pub difference: String,
}

/// The reason why bytes are not a valid amendment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendmentError {
    /// Bytes that are not an amendment.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A difference that is too long.
    #[error("the amendment's difference has {0} bytes: at most {MOST_DIFFERENCE}")]
    TooLong(usize),
}

impl Amendment {
    /// Returns the name of the amended rules.
    ///
    /// # Errors
    /// The difference is too long.
    pub fn hash(&self) -> Result<RunHash, AmendmentError> {
        Ok(RunHash::of(&[&self.to_bytes()?]))
    }

    /// Encodes the canonical bytes.
    ///
    /// # Errors
    /// The difference is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AmendmentError> {
        if self.difference.len() > MOST_DIFFERENCE {
            return Err(AmendmentError::TooLong(self.difference.len()));
        }
        let mut to = Writer::new();
        to.u8(kind::AMENDMENT).u8(VERSION).raw(&self.run.0).raw(&self.previous.0).u64(self.effective.0);
        to.text(&self.difference);
        Ok(to.into_bytes())
    }

    /// Decodes canonical bytes, all of them.
    ///
    /// # Errors
    /// The bytes are not an amendment of this version.
    pub fn read(bytes: &[u8]) -> Result<Self, AmendmentError> {
        let mut from = Reader::new(bytes);
        object::open(&mut from, "the amendment", kind::AMENDMENT, VERSION)?;
        let amendment = Self {
            run: RunHash(from.array("the run's hash")?),
            previous: RunHash(from.array("the hash of the rules before")?),
            effective: Window(from.u64("the first window")?),
            difference: from
                .text("the difference", u16::try_from(MOST_DIFFERENCE).expect("a small number"))?
                .to_owned(),
        };
        from.finish("the amendment")?;
        Ok(amendment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amendments_form_a_chain() {
        let run = RunHash([1; 32]);
        let first = Amendment {
            run,
            previous: run,
            effective: Window(10),
            difference: "sparse.outer_lr = 0.9".into(),
        };
        let bytes = first.to_bytes().unwrap();
        assert_eq!(Amendment::read(&bytes), Ok(first.clone()));
        let second = Amendment { previous: first.hash().unwrap(), ..first.clone() };
        assert_ne!(second.hash(), first.hash());
        assert!(matches!(Amendment::read(&bytes[..bytes.len() - 1]), Err(AmendmentError::Wire(_))));
        let long = Amendment { difference: "x".repeat(4097), ..first };
        assert_eq!(long.to_bytes(), Err(AmendmentError::TooLong(4097)));
        let mut promised = bytes;
        promised[74..76].copy_from_slice(&[0xff, 0xff]);
        assert!(Amendment::read(&promised).unwrap_err().to_string().contains("the difference at offset 74"));
    }
}
