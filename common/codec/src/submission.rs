//! Submissions: what a miner uploads for a window.
//!
//! A submission is a [`Header`] that says whose it is and what it was trained from, a table of tensors, the chosen
//! values of every chunk, a digest and the miner's signature. `FORMATS.md` has the layout byte by byte, `CODEC.md` says
//! why it is that. A [`Layout`] follows from the run spec alone; with it the largest possible size is known before
//! anything is downloaded ([`Layout::most_bytes`]), and [`Submission::open`] checks every byte in the memory of one
//! group: whoever holds a `Submission` holds one that decodes.
//!
//! There is one way to write a submission: each bit that is changed makes it another's, unsigned or malformed.

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
pub use layout::{GROUP_CHUNKS, GROUP_VALUES, Layout, LayoutError, TensorLayout};
pub use seal::{KEY_BYTES, KEY_SIGNATURE_CONTEXT, KEY_VERSION, KeyError, KeyObject, Seal, SealKey, Sealed};

use crate::sparse::SparseTensor;
use base::{
    NeuronId, Window,
    digest::{ObjectHash, RunHash, State},
    signature::{SIGNATURE_BYTES, Signature},
    wire::{Reader, WireError},
};
pub(crate) use body::{GroupBuffer, TensorReader};
use seal::Opener;
use std::sync::Arc;

/// The context that submissions are signed under.
pub const SIGNATURE_CONTEXT: &str = "muster v1 submission";
/// Bytes after the body: digest and signature.
pub const TRAILER_BYTES: usize = 32 + SIGNATURE_BYTES;

/// What a submission must be to count: the same for all nodes, from the chain and the run spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The run.
    pub run: RunHash,
    /// The spec in force: the run's hash as long as nothing was amended.
    pub spec: RunHash,
    /// Who claimed it.
    pub neuron: NeuronId,
    /// The window of the claim.
    pub window: Window,
    /// The state at the start of that window.
    pub base: State,
    /// Sequences that must have been trained on at least.
    pub least_samples: u64,
    /// Whether the run's submissions are sealed.
    pub sealed: bool,
}

/// A submission that was checked from the first byte to the last.
#[derive(Clone, Debug)]
pub struct Submission<B> {
    bytes: B,
    layout: Arc<Layout>,
    header: Header,
    digest: ObjectHash,
    /// Where each tensor begins, and the end of the last.
    offsets: Vec<usize>,
    /// What opened it, if it was sealed. `bytes` are then the opened ones.
    opener: Option<Opener>,
}

impl<B: AsRef<[u8]>> Submission<B> {
    /// Checks a submission that is not [`Sealed`]: that it is the expected one, unchanged, signed, and well-formed to the last
    /// bit.
    ///
    /// # Errors
    /// Says which run, window, hotkey or state it is from if it is from another; otherwise what is wrong and where.
    pub fn open(bytes: B, layout: Arc<Layout>, expected: &Expected) -> Result<Self, SubmissionError> {
        let (header, digest) = check(bytes.as_ref(), &layout, expected)?;
        match header.seal {
            None => Self::checked(bytes, layout, header, digest, None),
            Some(_) => Err(SubmissionError::Locked),
        }
    }

    /// Checks the body of an object of which the rest is checked.
    fn checked(
        bytes: B,
        layout: Arc<Layout>,
        header: Header,
        digest: ObjectHash,
        opener: Option<Opener>,
    ) -> Result<Self, SubmissionError> {
        let (signed, _) = split_trailer(bytes.as_ref())?;
        let offsets = check_body(signed, &layout)?;
        Ok(Self { bytes, layout, header, digest, offsets, opener })
    }

    /// The object as it lies in buckets, and the bytes of its key object if it is sealed there.
    #[must_use]
    pub fn stored(&self) -> (Vec<u8>, Option<&[u8; KEY_BYTES]>) {
        let bytes = self.bytes.as_ref();
        match &self.opener {
            None => (bytes.to_vec(), None),
            Some(opener) => (opener.seal_again(bytes), Some(opener.bytes())),
        }
    }

    /// Who made it, for which window, from which state.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The hash that claims name: of all bytes before it, so not of the signature.
    #[must_use]
    pub fn hash(&self) -> ObjectHash {
        self.digest
    }

    /// What the run spec says about its layout.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Its bytes, opened if they were sealed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// What holds its bytes.
    #[must_use]
    pub fn object(&self) -> &B {
        &self.bytes
    }

    /// Decodes what was sent of a tensor, by its number in the layout.
    ///
    /// # Errors
    /// The layout has no such tensor, or the bytes are not those that were checked (a file that has changed).
    pub fn tensor(&self, number: usize) -> Result<SparseTensor, SubmissionError> {
        let (tensor, body) = self.body(number)?;
        tensor.decode(body).map_err(|error| SubmissionError::tensor(tensor, error))
    }

    /// What decodes a tensor group by group.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub(crate) fn reader(&self, number: usize) -> Result<TensorReader<'_>, SubmissionError> {
        let (tensor, body) = self.body(number)?;
        TensorReader::new(tensor, body).map_err(|error| SubmissionError::tensor(tensor, error))
    }

    /// A tensor's layout and bytes.
    fn body(&self, number: usize) -> Result<(&TensorLayout, &[u8]), SubmissionError> {
        let Some(tensor) = self.layout.tensors().get(number) else {
            let expected = self.layout.tensors().len();
            return Err(SubmissionError::Tensors { found: number.saturating_add(1) as u64, expected });
        };
        let range = self.offsets[number]..self.offsets[number + 1];
        Ok((tensor, self.bytes.as_ref().get(range).unwrap_or_default()))
    }
}

/// Checks all of an object but its table and body: that it is the expected one, unchanged and signed.
fn check(all: &[u8], layout: &Layout, expected: &Expected) -> Result<(Header, ObjectHash), SubmissionError> {
    if all.len() as u64 > layout.most_bytes() {
        return Err(SubmissionError::TooLarge { bytes: all.len() as u64, most: layout.most_bytes() });
    }
    let header = Header::read(&mut Reader::new(all), all.len() as u64)?;
    header.check(expected, layout.spec())?;
    let (found, model) = (u64::from(header.tensors), layout.tensors().len());
    if found != model as u64 {
        return Err(SubmissionError::Tensors { found, expected: model });
    }
    let (signed, trailer) = split_trailer(all)?;
    let digest = check_trailer(signed, trailer, &header)?;
    Ok((header, digest))
}

/// Parts what is signed from digest and signature.
fn split_trailer(all: &[u8]) -> Result<(&[u8], &[u8; TRAILER_BYTES]), SubmissionError> {
    let whole = WireError::Truncated {
        what: "the digest and the signature",
        offset: HEADER_BYTES.min(all.len()),
        needed: TRAILER_BYTES,
        left: all.len().saturating_sub(HEADER_BYTES),
    };
    all.split_last_chunk().filter(|(signed, _)| signed.len() >= HEADER_BYTES).ok_or(whole.into())
}

/// Checks digest and signature.
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

/// Checks the table and the body; where each tensor begins, and where the last ends.
fn check_body(signed: &[u8], layout: &Layout) -> Result<Vec<usize>, SubmissionError> {
    let mut table = Reader::new(signed);
    table.raw("the header", HEADER_BYTES)?;
    let mut offsets = Vec::with_capacity(layout.tensors().len() + 1);
    let mut cursor = layout.body_offset();
    let mut buffer = GroupBuffer::default();
    for tensor in layout.tensors() {
        tensor.check_entry(&mut table, cursor as u64)?;
        offsets.push(cursor);
        let body = signed.get(cursor..).unwrap_or_default();
        let length =
            tensor.check(body, &mut buffer).map_err(|error| SubmissionError::tensor(tensor, error))?;
        cursor += length;
    }
    offsets.push(cursor);
    match signed.len().checked_sub(cursor) {
        Some(0) => Ok(offsets),
        left => {
            Err(WireError::Trailing { what: "the body", offset: cursor, left: left.unwrap_or_default() }
                .into())
        }
    }
}
