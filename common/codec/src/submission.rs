//! Encodes, checks and decodes submissions: a miner's upload for a window.
//!
//! A submission consists of a [`Header`] that names its miner and the state it was trained from, a
//! table of tensors, the selected values of every chunk, a digest, and the miner's signature.
//! `FORMATS.md` specifies the layout byte by byte, and `CODEC.md` gives the reasons. A [`SubmissionLayout`]
//! follows from the run spec alone. It gives the largest possible size before anything is
//! downloaded ([`SubmissionLayout::most_bytes`]). [`Submission::open`] checks every byte in the memory of one
//! group, so every `Submission` value decodes.
//!
//! Each submission has exactly one encoding. A change of any bit makes it a different submission,
//! unsigned, or malformed.

mod body;
mod codes;
mod encode;
mod error;
mod header;
mod layout;
mod seal;
mod signs;
#[cfg(test)]
mod tests;

pub use encode::{EncodeError, encode, encode_sealed};
pub use error::{BodyError, SubmissionError};
pub use header::{HEADER_BYTES, Header, KIND, VERSION};
pub use layout::{GROUP_CHUNKS, GROUP_VALUES, LayoutError, SubmissionLayout, TensorLayout};
pub use seal::{
    KEY_BYTES, KEY_SIGNATURE_CONTEXT, KEY_VERSION, KeyError, KeyObject, Seal, SealKey, Sealed, Unsealing,
};

use crate::{
    aggregate::{AggregateError, check_arithmetic},
    sparse::SparseTensor,
};
use base::{
    NeuronId, Window,
    digest::{ObjectHash, RunHash, State},
    signature::{SIGNATURE_BYTES, Signature},
    wire::{Reader, WireError},
};
pub(crate) use body::{GroupBuffer, TensorReader};
use seal::Opener;
use std::sync::Arc;

/// The signature context of submissions.
pub const SIGNATURE_CONTEXT: &str = "muster v1 submission";
/// Bytes after the body: digest and signature.
pub const TRAILER_BYTES: usize = 32 + SIGNATURE_BYTES;

/// The requirements on a submission, the same for all nodes, from the chain and the run spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The run.
    pub run: RunHash,
    /// The spec in force: the run's hash until an amendment.
    pub spec: RunHash,
    /// The neuron that claimed it.
    pub neuron: NeuronId,
    /// The window of the claim.
    pub window: Window,
    /// The state at the start of that window.
    pub base: State,
    /// The fewest sequences that it must have been trained on.
    pub least_samples: u64,
    /// Whether the run's submissions are sealed.
    pub sealed: bool,
}

/// A submission that was checked from the first byte to the last.
#[derive(Clone, Debug)]
pub struct Submission<B> {
    bytes: B,
    layout: Arc<SubmissionLayout>,
    header: Header,
    digest: ObjectHash,
    /// The start of each tensor, and the end of the last.
    offsets: Vec<usize>,
    /// The Euclidean norm of each tensor's values, or `None` if the thread that opened it has
    /// arithmetic other than IEEE's default.
    norms: Option<Vec<f64>>,
    /// The key object and key that opened it, if it was sealed. `bytes` are then the opened ones.
    opener: Option<Opener>,
}

impl<B: AsRef<[u8]>> Submission<B> {
    /// Checks a submission that is not [`Sealed`]: it must be the expected one, unchanged, signed,
    /// and well-formed to the last bit.
    ///
    /// # Errors
    /// Fails with the run, window, hotkey or state of the submission if it is not the expected one,
    /// otherwise with the defect and its place.
    pub fn open(
        bytes: B,
        layout: Arc<SubmissionLayout>,
        expected: &Expected,
    ) -> Result<Self, SubmissionError> {
        let (header, digest) = check(bytes.as_ref(), &layout, expected)?;
        match header.seal {
            None => Self::checked(bytes, layout, header, digest, None),
            Some(_) => Err(SubmissionError::Locked),
        }
    }

    /// Checks the body of an object whose other parts are already checked.
    fn checked(
        bytes: B,
        layout: Arc<SubmissionLayout>,
        header: Header,
        digest: ObjectHash,
        opener: Option<Opener>,
    ) -> Result<Self, SubmissionError> {
        let (signed, _) = split_trailer(bytes.as_ref())?;
        let (offsets, norms) = check_body(signed, &layout)?;
        // Norms of flushed denormals would clip differently. Only the outer step may fail for it: the
        // submission is well-formed.
        let norms = check_arithmetic().is_ok().then_some(norms);
        Ok(Self { bytes, layout, header, digest, offsets, norms, opener })
    }

    /// Returns the object in the form stored in buckets, and the bytes of its key object if it is
    /// sealed there.
    #[must_use]
    pub fn stored(&self) -> (Vec<u8>, Option<&[u8; KEY_BYTES]>) {
        let bytes = self.bytes.as_ref();
        match &self.opener {
            None => (bytes.to_vec(), None),
            Some(opener) => (opener.seal_again(bytes), Some(opener.bytes())),
        }
    }

    /// Returns the header: the miner, the window, and the base state.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the hash that claims name. It covers all bytes before the digest, so not the signature.
    #[must_use]
    pub fn hash(&self) -> ObjectHash {
        self.digest
    }

    /// Returns its layout, which follows from the run spec.
    #[must_use]
    pub fn layout(&self) -> &Arc<SubmissionLayout> {
        &self.layout
    }

    /// Returns its bytes, decrypted if they were sealed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Returns the owner of its bytes.
    #[must_use]
    pub fn object(&self) -> &B {
        &self.bytes
    }

    /// Returns the Euclidean norm of each tensor's values, as it was computed when the submission was opened.
    ///
    /// # Errors
    /// Fails if the thread that opened it has arithmetic other than IEEE's default.
    pub fn norms(&self) -> Result<&[f64], AggregateError> {
        self.norms.as_deref().ok_or(AggregateError::Norms(self.header.neuron.hotkey))
    }

    /// Decodes the sent values of a tensor, given its number in the layout.
    ///
    /// # Errors
    /// Fails if the layout has no such tensor, or if the bytes have changed since the check (as a file can).
    pub fn tensor(&self, number: usize) -> Result<SparseTensor, SubmissionError> {
        let (tensor, body) = self.body(number)?;
        tensor.decode(body).map_err(|error| SubmissionError::tensor(tensor, error))
    }

    /// Returns a reader that decodes a tensor group by group.
    ///
    /// # Errors
    /// Fails as [`tensor`](Self::tensor) does.
    pub(crate) fn reader(&self, number: usize) -> Result<TensorReader<'_>, SubmissionError> {
        let (tensor, body) = self.body(number)?;
        TensorReader::new(tensor, body).map_err(|error| SubmissionError::tensor(tensor, error))
    }

    /// Returns a tensor's layout and bytes.
    fn body(&self, number: usize) -> Result<(&TensorLayout, &[u8]), SubmissionError> {
        let Some(tensor) = self.layout.tensors().get(number) else {
            let expected = self.layout.tensors().len();
            return Err(SubmissionError::Tensors { found: number.saturating_add(1) as u64, expected });
        };
        let range = self.offsets[number]..self.offsets[number + 1];
        Ok((tensor, self.bytes.as_ref().get(range).unwrap_or_default()))
    }
}

/// Checks an object except its table and body: it must be the expected one, unchanged and signed.
fn check(
    all: &[u8],
    layout: &SubmissionLayout,
    expected: &Expected,
) -> Result<(Header, ObjectHash), SubmissionError> {
    if all.len() as u64 > layout.most_bytes() {
        return Err(SubmissionError::TooLarge { bytes: all.len() as u64, most: layout.most_bytes() });
    }
    let header = Header::read(&mut Reader::new(all), all.len() as u64)?;
    header.check(expected, layout.spec())?;
    let found = u64::from(header.tensors);
    let model = layout.tensors().len();
    if found != model as u64 {
        return Err(SubmissionError::Tensors { found, expected: model });
    }
    let (signed, trailer) = split_trailer(all)?;
    let digest = check_trailer(signed, trailer, &header)?;
    Ok((header, digest))
}

/// Splits the signed bytes from digest and signature.
fn split_trailer(all: &[u8]) -> Result<(&[u8], &[u8; TRAILER_BYTES]), SubmissionError> {
    let whole = WireError::Truncated {
        what: "the digest and the signature",
        offset: HEADER_BYTES.min(all.len()),
        needed: TRAILER_BYTES,
        left: all.len().saturating_sub(HEADER_BYTES),
    };
    all.split_last_chunk().filter(|(signed, _)| signed.len() >= HEADER_BYTES).ok_or(whole.into())
}

/// Checks digest and signature. Returns the digest.
fn check_trailer(
    signed: &[u8],
    trailer: &[u8; TRAILER_BYTES],
    header: &Header,
) -> Result<ObjectHash, SubmissionError> {
    let mut trailer = Reader::new(trailer);
    let stated = ObjectHash(trailer.array("the digest")?);
    let signature = Signature(trailer.array("the signature")?);
    let found = ObjectHash::of(&[signed]);
    if stated != found {
        return Err(SubmissionError::Digest { stated, found });
    }
    signature.verify(header.neuron.hotkey, SIGNATURE_CONTEXT, &found.0)?;
    Ok(found)
}

/// Checks the table and the body. Returns the start of each tensor and the end of the last, and the norm of
/// each tensor's values.
fn check_body(signed: &[u8], layout: &SubmissionLayout) -> Result<(Vec<usize>, Vec<f64>), SubmissionError> {
    let mut table = Reader::new(signed);
    table.raw("the header", HEADER_BYTES)?;
    let mut offsets = Vec::with_capacity(layout.tensors().len() + 1);
    let mut norms = Vec::with_capacity(layout.tensors().len());
    let mut cursor = layout.body_offset();
    let mut buffer = GroupBuffer::default();
    for tensor in layout.tensors() {
        tensor.check_entry(&mut table, cursor as u64)?;
        offsets.push(cursor);
        let body = signed.get(cursor..).unwrap_or_default();
        let checked = tensor.check(body, &mut buffer);
        let (length, norm) = checked.map_err(|error| SubmissionError::tensor(tensor, error))?;
        norms.push(norm);
        cursor += length;
    }
    offsets.push(cursor);
    match signed.len().checked_sub(cursor) {
        Some(0) => Ok((offsets, norms)),
        left => {
            Err(WireError::Trailing { what: "the body", offset: cursor, left: left.unwrap_or_default() }
                .into())
        }
    }
}
