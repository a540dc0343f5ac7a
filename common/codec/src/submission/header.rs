//! Reads, writes and checks the header: the first 288 bytes, which describe a submission before any
//! of it is decoded.

use super::{Expected, Seal, SubmissionError};
use crate::sparse::SparseSpec;
use base::{
    NeuronId, Window,
    digest::{KeyHash, PlaintextHash, RunHash, State},
    wire::{Reader, Writer},
};

/// The first byte of every submission.
pub const KIND: u8 = 0xe4;
/// The version of the format that this program writes. It reads no other.
pub const VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 288;

/// Reserved bytes after codec, quantizer and sealing.
const FREE_AFTER_SEALING: usize = 3;
/// Reserved bytes after the samples, for an audit root.
const FREE_AFTER_SAMPLES: usize = 32;
/// Reserved bytes after the hashes of a seal.
const FREE_AFTER_SEAL: usize = 20;

/// The header of a submission: its miner, its window, its base state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The run that it is for.
    pub run: RunHash,
    /// The spec in force when it was made.
    pub spec: RunHash,
    /// The miner.
    pub neuron: NeuronId,
    /// The window in which it was trained.
    pub window: Window,
    /// The state that it was trained from.
    pub base: State,
    /// The number of sequences that it was trained on: the first ones of those assigned.
    pub samples: u64,
    /// The encoding of positions; [`Codec::id`](crate::sparse::Codec::id).
    pub codec: u8,
    /// The encoding of values; [`Quantizer::id`](crate::sparse::Quantizer::id).
    pub quantizer: u8,
    /// The number of tensors in the body.
    pub tensors: u32,
    /// The seal of table and body, if they are encrypted.
    pub seal: Option<Seal>,
}

impl Header {
    /// Creates the header of a submission that meets `expected`, trained on `samples` sequences.
    #[must_use]
    pub fn new(expected: &Expected, samples: u64, layout: &super::SubmissionLayout) -> Self {
        Self {
            run: expected.run,
            spec: expected.spec,
            neuron: expected.neuron,
            window: expected.window,
            base: expected.base,
            samples,
            codec: layout.spec().codec.id(),
            quantizer: layout.spec().quantizer.id(),
            tensors: layout.tensors().len() as u32,
            seal: None,
        }
    }

    /// Appends the header of an object of `length` bytes in total.
    pub(super) fn write(&self, length: u64, to: &mut Writer) {
        to.u8(KIND).u8(VERSION).u8(self.codec).u8(self.quantizer);
        to.u8(self.seal.is_some().into()).raw(&[0; FREE_AFTER_SEALING]);
        to.raw(&self.run.0).raw(&self.spec.0);
        self.neuron.write(to);
        to.u64(self.window.0).raw(&self.base.0).u64(self.samples).raw(&[0; FREE_AFTER_SAMPLES]);
        let (key, plaintext) = self.seal.map_or(([0; 32], [0; 32]), |seal| (seal.key.0, seal.plaintext.0));
        to.raw(&key).raw(&plaintext).raw(&[0; FREE_AFTER_SEAL]);
        to.u32(self.tensors).u64(length);
    }

    /// Reads the header of an object of `length` bytes.
    ///
    /// # Errors
    /// Fails if it is not a submission, has another version, or states another length.
    pub fn read(from: &mut Reader<'_>, length: u64) -> Result<Self, SubmissionError> {
        match from.u8("the kind")? {
            KIND => {}
            found => return Err(SubmissionError::Kind(found)),
        }
        match from.u8("the version")? {
            VERSION => {}
            found => return Err(SubmissionError::Version(found)),
        }
        let (codec, quantizer) = (from.u8("the codec")?, from.u8("the quantizer")?);
        let is_sealed = from.flag("the sealing")?;
        zeros(from, FREE_AFTER_SEALING)?;
        let header = Self {
            codec,
            quantizer,
            run: RunHash(from.array("the run")?),
            spec: RunHash(from.array("the spec")?),
            neuron: NeuronId::read(from)?,
            window: Window(from.u64("the window")?),
            base: State(from.array("the base state")?),
            samples: from.u64("the samples")?,
            seal: {
                zeros(from, FREE_AFTER_SAMPLES)?;
                read_seal(from, is_sealed)?
            },
            tensors: {
                zeros(from, FREE_AFTER_SEAL)?;
                from.u32("the number of tensors")?
            },
        };
        match from.u64("the length")? {
            stated if stated == length => Ok(header),
            stated => Err(SubmissionError::Length { stated, found: length }),
        }
    }

    /// Checks that the header is the expected one.
    pub(super) fn check(&self, expected: &Expected, spec: &SparseSpec) -> Result<(), SubmissionError> {
        if self.run != expected.run {
            return Err(SubmissionError::Run { expected: expected.run, found: self.run });
        }
        if self.window != expected.window {
            return Err(SubmissionError::Window { expected: expected.window, found: self.window });
        }
        if self.neuron != expected.neuron {
            return Err(SubmissionError::Neuron { expected: expected.neuron, found: self.neuron });
        }
        if self.base != expected.base {
            return Err(SubmissionError::State { expected: expected.base, found: self.base });
        }
        if self.spec != expected.spec {
            return Err(SubmissionError::Spec { expected: expected.spec, found: self.spec });
        }
        if self.samples < expected.least_samples {
            return Err(SubmissionError::Samples { least: expected.least_samples, found: self.samples });
        }
        let sealed = self.seal.is_some();
        if sealed != expected.sealed {
            return Err(SubmissionError::Sealing { sealed });
        }
        let kinds =
            [("codec", self.codec, spec.codec.id()), ("quantizer", self.quantizer, spec.quantizer.id())];
        for (what, found, expected) in kinds {
            if found != expected {
                return Err(SubmissionError::Codec { what, found, expected });
            }
        }
        Ok(())
    }
}

/// Reads the hashes of a seal, or zeros if there is no seal.
fn read_seal(from: &mut Reader<'_>, is_sealed: bool) -> Result<Option<Seal>, SubmissionError> {
    if !is_sealed {
        return zeros(from, 2 * 32).map(|()| None);
    }
    let key = KeyHash(from.array("the hash of the key")?);
    Ok(Some(Seal { key, plaintext: PlaintextHash(from.array("the hash of the plaintext")?) }))
}

/// Reads reserved bytes, all zero in this version.
fn zeros(from: &mut Reader<'_>, count: usize) -> Result<(), SubmissionError> {
    let start = from.offset();
    match from.raw("the reserved bytes", count)?.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => Err(SubmissionError::Reserved { offset: start + at }),
    }
}
