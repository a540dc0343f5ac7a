//! The upload of a window: an object for the miner's bucket, and its key if it is sealed.

use crate::MinerError;
use base::{digest::ObjectHash, signature::SigningKey};
use bytes::Bytes;
use codec::{
    sparse::SparseTensor,
    submission::{
        Expected, Header, KEY_BYTES, KeyObject, SealKey, Sealed, Submission, SubmissionError,
        SubmissionLayout, encode, encode_sealed,
    },
};
use std::{fmt, sync::Arc};

/// An object to upload and claim, and the key to publish when the claims are closed.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// The hash to claim.
    pub hash: ObjectHash,
    /// The object.
    pub bytes: Bytes,
    /// The bytes of the key object, if the object is sealed.
    pub key: Option<[u8; KEY_BYTES]>,
}

/// Prints hash and length: logs show neither megabytes nor a key that is not published.
impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.bytes.len();
        f.debug_struct("Upload").field("hash", &self.hash).field("length", &length).finish_non_exhaustive()
    }
}

impl Upload {
    /// Encodes and signs a submission. Seals it with a new key if that is expected.
    ///
    /// # Errors
    /// The tensors do not fit the run, or the system returns no random bytes.
    pub fn pack(
        layout: &Arc<SubmissionLayout>,
        expected: &Expected,
        samples: u64,
        tensors: &[SparseTensor],
        key: &SigningKey,
    ) -> Result<Self, MinerError> {
        let header = Header::new(expected, samples, layout);
        if !expected.sealed {
            return Ok(Self::of_bytes(encode(layout, &header, tensors, key)?));
        }
        let seal = random_key()?;
        let sealed = Self::of_bytes(encode_sealed(layout, &header, tensors, key, &seal)?);
        let opener = KeyObject {
            run: expected.run,
            neuron: expected.neuron,
            window: expected.window,
            object: sealed.hash,
            key: seal,
        };
        Ok(Self { key: Some(opener.sign(key)), ..sealed })
    }

    /// Creates an upload of any bytes, without a key.
    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        let signed = bytes.len().saturating_sub(codec::submission::TRAILER_BYTES);
        Self { hash: ObjectHash::of(&[&bytes[..signed]]), bytes: bytes.into(), key: None }
    }

    /// Opens the upload as other nodes do with its key.
    ///
    /// # Errors
    /// Other nodes would refuse it.
    pub fn open(
        &self,
        layout: &Arc<SubmissionLayout>,
        expected: &Expected,
    ) -> Result<Submission<Bytes>, SubmissionError> {
        match &self.key {
            None => Submission::open(self.bytes.clone(), Arc::clone(layout), expected),
            Some(key) => Sealed::open(self.bytes.to_vec(), Arc::clone(layout), expected)?.unseal(key),
        }
    }

    /// Creates the upload of an opened submission.
    #[must_use]
    pub fn of(submission: &Submission<Bytes>) -> Self {
        let (bytes, key) = submission.stored();
        Self { hash: submission.hash(), bytes: bytes.into(), key: key.copied() }
    }

    /// Returns object and key, one after the other, for a file.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        [&self.bytes[..], self.key.as_ref().map_or(&[][..], |key| key)].concat()
    }

    /// Parses a file's bytes. Returns `None` if they are too few.
    #[must_use]
    pub fn from_file(mut bytes: Vec<u8>, sealed: bool) -> Option<Self> {
        if !sealed {
            return Some(Self::of_bytes(bytes));
        }
        let key = bytes.split_off(bytes.len().checked_sub(KEY_BYTES)?);
        Some(Self { key: key.try_into().ok(), ..Self::of_bytes(bytes) })
    }
}

/// Draws a random key.
fn random_key() -> Result<SealKey, MinerError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(MinerError::Randomness)?;
    Ok(SealKey::new(random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{
        Height, NeuronId, Window,
        digest::{RunHash, State},
        tensor::TensorRole,
        tensor::TensorSpec,
    };
    use codec::sparse::compress;
    use protocol::run_spec::RunFile;

    fn layout() -> Arc<SubmissionLayout> {
        let spec = RunFile::parse(include_str!("../../deploy/runs/tiny.toml")).unwrap().sparse;
        let tensor = TensorSpec { name: "a".to_owned(), shape: vec![64, 128], role: TensorRole::Matrix };
        Arc::new(SubmissionLayout::new(&[tensor], &spec).unwrap())
    }

    /// Returns an upload of the development key, and the contents that other nodes expect.
    fn packed(sealed: bool) -> (Upload, Expected) {
        let key = exchange::signing_key(&chain::wallet::KeyPair::development("//Alice").unwrap());
        let expected = Expected {
            run: RunHash([1; 32]),
            spec: RunHash([1; 32]),
            neuron: NeuronId { hotkey: key.hotkey(), registered: Height(7) },
            window: Window(3),
            base: State([2; 32]),
            least_samples: 1,
            sealed,
        };
        let layout = layout();
        let tensor = &layout.tensors()[0];
        let values: Vec<f32> = (0..8192).map(|at| ((at * 37 % 101) as f32 - 50.0) * 1e-3).collect();
        let sent = compress(&values, tensor.geometry(), layout.spec()).unwrap();
        (Upload::pack(&layout, &expected, 1, &[sent], &key).unwrap(), expected)
    }

    #[test]
    fn what_is_packed_is_what_others_open_before_and_after_a_restart() {
        for sealed in [false, true] {
            let (upload, expected) = packed(sealed);
            assert_eq!(upload.key.is_some(), sealed);
            let opened = upload.open(&layout(), &expected).unwrap();
            assert_eq!((opened.hash(), Upload::of(&opened)), (upload.hash, upload.clone()));
            assert_eq!(Upload::from_file(upload.to_file(), sealed), Some(upload));
        }
    }

    #[test]
    fn no_key_seals_twice() {
        assert_ne!(packed(true).0.bytes, packed(true).0.bytes);
    }

    #[test]
    fn a_file_that_is_cut_off_is_no_upload() {
        let (upload, expected) = packed(true);
        assert_eq!(Upload::from_file(vec![0; KEY_BYTES - 1], true), None);
        let mut cut = upload.to_file();
        cut.pop();
        assert!(Upload::from_file(cut, true).unwrap().open(&layout(), &expected).is_err());
    }
}
