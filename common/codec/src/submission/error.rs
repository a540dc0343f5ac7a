//! Why an object is not the submission that it should be.

use super::{KeyError, TensorLayout, VERSION};
use crate::positions::PositionsError;
use base::{
    NeuronId, Window,
    digest::{ObjectHash, PlaintextHash, RunHash, State},
    signature::SignatureError,
    wire::WireError,
};

/// Why an object is not the submission that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    /// Another kind of object.
    #[error("the object is no submission: its kind is {0:#04x}")]
    Kind(u8),
    /// A version that this program does not read.
    #[error("the submission has version {0}, this program reads version {VERSION}: update it")]
    Version(u8),
    /// More bytes than any submission of this run has.
    #[error("the object has {bytes} bytes: a submission of this run has at most {most}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The largest possible length.
        most: u64,
    },
    /// Cut off, or followed by something.
    #[error("the submission says that it has {stated} bytes: the object has {found}")]
    Length {
        /// As the header has it.
        stated: u64,
        /// As it is.
        found: u64,
    },
    /// From another run.
    #[error("the submission is from run {found}, not {expected}")]
    Run {
        /// The run of this node.
        expected: RunHash,
        /// The submission's.
        found: RunHash,
    },
    /// Made under another spec of the run.
    #[error("the submission was made under spec {found}: {expected} is in force")]
    Spec {
        /// The spec in force.
        expected: RunHash,
        /// The submission's.
        found: RunHash,
    },
    /// From another window.
    #[error("the submission is from window {found}, not {expected}")]
    Window {
        /// The window of the claim.
        expected: Window,
        /// The submission's.
        found: Window,
    },
    /// From another hotkey, or another registration of it.
    #[error("the submission is from hotkey {found}, not {expected}")]
    Neuron {
        /// Who claimed it.
        expected: NeuronId,
        /// Who the submission says made it.
        found: NeuronId,
    },
    /// Trained from another state.
    #[error("the submission was trained from state {found}: this window began with {expected}")]
    State {
        /// The state at the start of the window.
        expected: State,
        /// The submission's.
        found: State,
    },
    /// Trained on too little.
    #[error("the submission was trained on {found} sequences: at least {least} are asked for")]
    Samples {
        /// What the run spec asks for.
        least: u64,
        /// What the submission says.
        found: u64,
    },
    /// Written in another way than the run spec says.
    #[error("the submission's {what} is number {found}: the run's is {expected}")]
    Codec {
        /// Codec or quantizer.
        what: &'static str,
        /// The submission's.
        found: u8,
        /// The run's.
        expected: u8,
    },
    /// A byte that is kept free is not 0.
    #[error("the byte at offset {offset} is reserved and must be 0")]
    Reserved {
        /// Where it stands.
        offset: usize,
    },
    /// Sealed in a run whose submissions are open, or open in a run whose submissions are sealed.
    #[error("the submission is {}: this run's are {}", sealing(*sealed), sealing(!*sealed))]
    Sealing {
        /// Whether it is sealed.
        sealed: bool,
    },
    /// Sealed, and its key is not given.
    #[error("the submission is sealed: it cannot be read without its key")]
    Locked,
    /// The key does not open it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It opens to something else than its header says.
    #[error("the submission opens to a body of hash {found}: its header says {stated}")]
    Plaintext {
        /// As the header has it.
        stated: PlaintextHash,
        /// As it is.
        found: PlaintextHash,
    },
    /// Another number of tensors than the model has.
    #[error("the submission has {found} tensors: the model has {expected}")]
    Tensors {
        /// The submission's.
        found: u64,
        /// The model's.
        expected: usize,
    },
    /// A tensor of another shape than the model's.
    #[error("tensor {tensor} has the shape {found:?}: the model's is {expected:?}")]
    Shape {
        /// Its name.
        tensor: String,
        /// Rows (0 for a vector) and columns in the table.
        found: [u32; 2],
        /// Those of the model.
        expected: [u32; 2],
    },
    /// A tensor that the table looks for elsewhere.
    #[error("tensor {tensor} is said to begin at offset {stated}: it begins at {found}")]
    Offset {
        /// Its name.
        tensor: String,
        /// As the table has it.
        stated: u64,
        /// The end of what is before it.
        found: u64,
    },
    /// Bytes were changed after they were hashed.
    #[error("the submission's digest is {stated}, that of its bytes {found}: it was changed")]
    Digest {
        /// The digest in the submission.
        stated: ObjectHash,
        /// The digest of its bytes.
        found: ObjectHash,
    },
    /// Not signed by who it says it is from.
    #[error("the submission's signature does not stand: {0}")]
    Signature(#[from] SignatureError),
    /// The values of a tensor are malformed.
    #[error("tensor {tensor}: {source}")]
    Body {
        /// Its name.
        tensor: String,
        /// What is wrong.
        source: BodyError,
    },
    /// It ends too early or too late.
    #[error("the submission is malformed: {0}")]
    Wire(#[from] WireError),
}

/// Why the bytes of a tensor are malformed. Groups are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The bytes end before the tensor does.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Codes or positions of a group that are longer than any can be.
    #[error("group {group}: a part is said to have {stated} bytes: it has at most {most}")]
    GroupLength {
        /// The group.
        group: usize,
        /// The length of its codes or its positions, in the table.
        stated: u16,
        /// What those of any group of as many chunks have at most.
        most: usize,
    },
    /// Codes that are not written in the one way that they are to be.
    #[error("group {0}: its codes are written in another way than the only one there is")]
    Codes(usize),
    /// A table that is not the one of the tensor's codes.
    #[error("the table of the codes is not the one that follows from them")]
    Table,
    /// Positions that cannot be read.
    #[error("group {group}: {source}")]
    Positions {
        /// The group.
        group: usize,
        /// What is wrong.
        source: PositionsError,
    },
    /// Positions that end before their bytes do or after them, or bits behind them that are not 0.
    #[error("group {0} does not end with its positions and zeros up to the next byte")]
    Padding(usize),
    /// A level, a scale or a value that is infinite or no number, or a negative scale.
    #[error("{0} is not finite, or a negative scale")]
    NotFinite(&'static str),
    /// The smaller magnitude of a chunk is the larger one.
    #[error("group {0}: the small magnitude of a chunk is larger than its large one")]
    Magnitudes(usize),
}

fn sealing(sealed: bool) -> &'static str {
    if sealed { "sealed" } else { "open" }
}

impl SubmissionError {
    /// An error within a tensor's bytes.
    pub(super) fn tensor(tensor: &TensorLayout, source: BodyError) -> Self {
        Self::Body { tensor: tensor.name().to_owned(), source }
    }

    /// Whether the object may be fine for a newer program: to be ignored, not held against its maker.
    #[must_use]
    pub fn is_unknown_version(&self) -> bool {
        matches!(self, Self::Version(_))
    }
}
