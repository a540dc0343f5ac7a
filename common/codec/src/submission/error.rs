//! Defines the errors of submissions.

use super::{KeyError, TensorLayout, VERSION};
use crate::positions::PositionsError;
use base::{
    NeuronId, Window,
    digest::{ObjectHash, PlaintextHash, RunHash, State},
    signature::SignatureError,
    wire::WireError,
};

/// An error in a submission: the object is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    /// The object is of another kind.
    #[error("the object is not a submission: its kind is {0:#04x}")]
    Kind(u8),
    /// This program does not read the version.
    #[error("the submission has version {0}, this program reads version {VERSION}: update it")]
    Version(u8),
    /// The object has more bytes than any submission of this run.
    #[error("the object has {bytes} bytes: a submission of this run has at most {most}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The largest possible length.
        most: u64,
    },
    /// The object is truncated, or has extra bytes at the end.
    #[error("the header states {stated} bytes: the object has {found}")]
    Length {
        /// The length in the header.
        stated: u64,
        /// The actual length.
        found: u64,
    },
    /// The submission is from another run.
    #[error("the submission is from run {found}, not {expected}")]
    Run {
        /// The run of this node.
        expected: RunHash,
        /// The submission's.
        found: RunHash,
    },
    /// The submission was made under another spec of the run.
    #[error("the submission was made under spec {found}: {expected} is in force")]
    Spec {
        /// The spec in force.
        expected: RunHash,
        /// The submission's.
        found: RunHash,
    },
    /// The submission is from another window.
    #[error("the submission is from window {found}, not {expected}")]
    Window {
        /// The window of the claim.
        expected: Window,
        /// The submission's.
        found: Window,
    },
    /// The submission is from another hotkey, or another registration of it.
    #[error("the submission is from hotkey {found}, not {expected}")]
    Neuron {
        /// The neuron that claimed it.
        expected: NeuronId,
        /// The neuron in the submission's header.
        found: NeuronId,
    },
    /// The submission was trained from another state.
    #[error("the submission was trained from state {found}: this window began with {expected}")]
    State {
        /// The state at the start of the window.
        expected: State,
        /// The submission's.
        found: State,
    },
    /// The submission was trained on too few sequences.
    #[error("the submission was trained on {found} sequences: the run requires at least {least}")]
    Samples {
        /// The number that the run spec requires.
        least: u64,
        /// The number in the submission's header.
        found: u64,
    },
    /// The submission uses another codec or quantizer than the run.
    #[error("the submission's {what} is number {found}: the run's is {expected}")]
    Codec {
        /// The field: codec or quantizer.
        what: &'static str,
        /// The submission's.
        found: u8,
        /// The run's.
        expected: u8,
    },
    /// A reserved byte is not 0.
    #[error("the byte at offset {offset} is reserved and must be 0")]
    Reserved {
        /// The offset of the byte.
        offset: usize,
    },
    /// The submission is sealed in a run whose submissions are open, or open in a run whose
    /// submissions are sealed.
    #[error("the submission is {}: this run's are {}", sealing(*sealed), sealing(!*sealed))]
    Sealing {
        /// Whether it is sealed.
        sealed: bool,
    },
    /// The submission is sealed, and no key was given.
    #[error("the submission is sealed: it cannot be read without its key")]
    Locked,
    /// The key does not open it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The submission opens to a body with another hash than its header states.
    #[error("the submission opens to a body of hash {found}: its header says {stated}")]
    Plaintext {
        /// The hash in the header.
        stated: PlaintextHash,
        /// The actual hash.
        found: PlaintextHash,
    },
    /// The number of tensors is not the model's.
    #[error("the submission has {found} tensors: the model has {expected}")]
    Tensors {
        /// The submission's.
        found: u64,
        /// The model's.
        expected: usize,
    },
    /// A tensor has another shape than the model's.
    #[error("tensor {tensor} has the shape {found:?}: the model's is {expected:?}")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// Rows (0 for a vector) and columns in the table.
        found: [u32; 2],
        /// Rows and columns in the model.
        expected: [u32; 2],
    },
    /// The table states another offset for a tensor.
    #[error("the table puts tensor {tensor} at offset {stated}: it begins at {found}")]
    Offset {
        /// The tensor's name.
        tensor: String,
        /// The offset in the table.
        stated: u64,
        /// The actual offset: the end of the previous tensor.
        found: u64,
    },
    /// The bytes were changed after they were hashed.
    #[error("the submission's digest is {stated}, that of its bytes {found}: it was changed")]
    Digest {
        /// The digest in the submission.
        stated: ObjectHash,
        /// The digest of its bytes.
        found: ObjectHash,
    },
    /// The signature is not one of the hotkey in the header.
    #[error("the submission's signature is invalid")]
    Signature(#[from] SignatureError),
    /// The bytes of a tensor are malformed.
    #[error("tensor {tensor}")]
    Body {
        /// The tensor's name.
        tensor: String,
        /// The error in its bytes.
        source: BodyError,
    },
    /// The submission ends too early or too late.
    #[error("the submission is malformed")]
    Wire(#[from] WireError),
}

/// An error in the bytes of a tensor. Groups are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The bytes end before the tensor does.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The codes or positions of a group are longer than possible.
    #[error("group {group}: the table states {stated} bytes for a part: the most is {most}")]
    GroupLength {
        /// The group.
        group: usize,
        /// The length of its codes or its positions, in the table.
        stated: u16,
        /// The most for a group of this number of chunks.
        most: usize,
    },
    /// The codes are not in their only valid encoding.
    #[error("group {0}: its codes are not in canonical form")]
    Codes(usize),
    /// The table is not the one that the tensor's codes give.
    #[error("the table of the codes does not match the codes")]
    Table,
    /// The positions cannot be decoded.
    #[error("group {group}")]
    Positions {
        /// The group.
        group: usize,
        /// The error in the positions.
        source: PositionsError,
    },
    /// The positions end before the last byte of the group, or after it, or the padding bits are not 0.
    #[error("group {0}: its positions do not end in the last byte, followed by zeros")]
    Padding(usize),
    /// A level, a scale or a value is infinite or NaN, or a scale is negative.
    #[error("{0} is not finite, or is a negative scale")]
    NotFinite(&'static str),
    /// The small magnitude of a chunk is larger than its large one.
    #[error("group {0}: the small magnitude of a chunk is larger than its large one")]
    Magnitudes(usize),
}

fn sealing(sealed: bool) -> &'static str {
    if sealed { "sealed" } else { "open" }
}

impl SubmissionError {
    /// Creates the error for a defect in a tensor's bytes.
    pub(super) fn tensor(tensor: &TensorLayout, source: BodyError) -> Self {
        Self::Body { tensor: tensor.name().to_owned(), source }
    }

    /// Returns whether the object may be valid for a newer program. Such an object is ignored, and
    /// not held against its miner.
    #[must_use]
    pub fn is_unknown_version(&self) -> bool {
        matches!(self, Self::Version(_))
    }
}
