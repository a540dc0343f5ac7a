//! What a miner sends in a window: an object for its bucket, and the key of it if it is sealed.

use crate::MinerError;
use bytes::Bytes;
use common::{
    digest::ObjectHash,
    signature::SigningKey,
    sparse::SparseTensor,
    submission::{
        Expected, Header, KEY_BYTES, KeyObject, Layout, SealKey, Sealed, Submission, SubmissionError, encode,
        encode_sealed,
    },
};
use std::sync::Arc;

/// What is uploaded and claimed, and what is published when claims are closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The hash that is claimed.
    pub hash: ObjectHash,
    /// The object.
    pub bytes: Bytes,
    /// The bytes of its key object, if it is sealed.
    pub key: Option<[u8; KEY_BYTES]>,
}

impl Parcel {
    /// Writes and signs a submission, and seals it with a key of its own where that is expected.
    ///
    /// # Errors
    /// The tensors are not those of the run, or the system gives no randomness.
    pub fn pack(
        layout: &Arc<Layout>,
        expected: &Expected,
        samples: u64,
        tensors: &[SparseTensor],
        key: &SigningKey,
    ) -> Result<Self, MinerError> {
        let header = Header::new(expected, samples, layout);
        if !expected.sealed {
            return Ok(Self::open_one(encode(layout, &header, tensors, key)?));
        }
        let seal = random_key()?;
        let bytes = encode_sealed(layout, &header, tensors, key, &seal)?;
        let hash = Sealed::open(bytes.clone(), Arc::clone(layout), expected)?.hash();
        let opener = KeyObject {
            run: expected.run,
            neuron: expected.neuron,
            window: expected.window,
            object: hash,
            key: seal,
        };
        Ok(Self { hash, bytes: bytes.into(), key: Some(opener.sign(key)) })
    }

    /// An object that is not sealed, whatever it is.
    #[must_use]
    pub fn open_one(bytes: Vec<u8>) -> Self {
        let signed = bytes.len().saturating_sub(common::submission::TRAILER_BYTES);
        Self { hash: ObjectHash::of(&[&bytes[..signed]]), bytes: bytes.into(), key: None }
    }

    /// As others will open it, once they have the key.
    ///
    /// # Errors
    /// They would refuse it.
    pub fn open(
        &self,
        layout: &Arc<Layout>,
        expected: &Expected,
    ) -> Result<Submission<Bytes>, SubmissionError> {
        match &self.key {
            None => Submission::open(self.bytes.clone(), Arc::clone(layout), expected),
            Some(key) => Sealed::open(self.bytes.to_vec(), Arc::clone(layout), expected)?.unseal(key),
        }
    }

    /// Of a submission that was opened.
    #[must_use]
    pub fn of(submission: &Submission<Bytes>) -> Self {
        let (bytes, key) = submission.stored();
        Self { hash: submission.hash(), bytes: bytes.into(), key: key.copied() }
    }

    /// One after the other, for a file.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        [&self.bytes[..], self.key.as_ref().map_or(&[][..], |key| key)].concat()
    }

    /// Out of a file's bytes; `None`, if they are too few.
    #[must_use]
    pub fn from_file(mut bytes: Vec<u8>, sealed: bool) -> Option<Self> {
        if !sealed {
            return Some(Self::open_one(bytes));
        }
        let key = bytes.split_off(bytes.len().checked_sub(KEY_BYTES)?);
        Some(Self { key: key.try_into().ok(), ..Self::open_one(bytes) })
    }
}

/// A key that nobody has drawn before.
fn random_key() -> Result<SealKey, MinerError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(MinerError::Randomness)?;
    Ok(SealKey::new(random))
}
