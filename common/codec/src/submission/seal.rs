//! Sealing: a submission that nobody can read before the claims of its window are closed.
//!
//! Table and body of a sealed submission are encrypted with ChaCha20 under a key that is drawn for it alone. The header
//! stays readable and commits to the hashes of the key and of the plaintext: there is one key that opens the object, and
//! one body that it opens to. The miner publishes the [`KeyObject`] between `D_w` and `K_w`; an object without one by
//! then is a missing submission. Whoever downloads a sealed submission earlier learns who made it and how long it is.
//!
//! The nonce is zero, since no key encrypts twice. ChaCha20 alone does not notice changes; the digest, which the claim
//! names, and the hash of the plaintext do.

use super::{Expected, HEADER_BYTES, Header, Layout, Submission, SubmissionError, TRAILER_BYTES, check};
use base::{
    NeuronId, Window,
    digest::{KeyHash, KeyObjectHash, ObjectHash, PlaintextHash, RunHash},
    object::{self, kind},
    signature::{SIGNATURE_BYTES, Signature, SignatureError, SigningKey},
    wire::{Reader, WireError, Writer},
};
use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use std::{fmt, sync::Arc};

/// The version of key objects that this program writes and reads.
pub const KEY_VERSION: u8 = 1;
/// Bytes of a key object: kind, version, run, neuron, window, object, key, signature.
pub const KEY_BYTES: usize = 2 + 32 + 40 + 8 + 32 + 32 + SIGNATURE_BYTES;
/// The context that key objects are signed under.
pub const KEY_SIGNATURE_CONTEXT: &str = "muster v1 key object";

/// The key of a sealed submission: 32 bytes of the operating system's randomness, used once.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

/// What the header of a sealed submission commits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The hash of the key.
    pub key: KeyHash,
    /// The hash of table and body before they were encrypted.
    pub plaintext: PlaintextHash,
}

/// What opens a sealed submission: its key, signed by who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyObject {
    /// The run.
    pub run: RunHash,
    /// Who sealed the submission.
    pub neuron: NeuronId,
    /// The window that it is for.
    pub window: Window,
    /// The sealed submission, as its claim names it.
    pub object: ObjectHash,
    /// The key.
    pub key: SealKey,
}

/// Why an object is not the key of a sealed submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Of another length.
    #[error("the key object has {0} bytes: it has {KEY_BYTES}")]
    Length(usize),
    /// It is no key object, or of an unknown version.
    #[error("the key object is malformed: {0}")]
    Wire(#[from] WireError),
    /// From another run.
    #[error("the key object is from run {found}, not {expected}")]
    Run {
        /// The submission's.
        expected: RunHash,
        /// The key's.
        found: RunHash,
    },
    /// For another window.
    #[error("the key object is for window {found}, not {expected}")]
    Window {
        /// The submission's.
        expected: Window,
        /// The key's.
        found: Window,
    },
    /// From another hotkey, or another registration of it.
    #[error("the key object is from hotkey {found}, not {expected}")]
    Neuron {
        /// Who made the submission.
        expected: NeuronId,
        /// Who the key object says it is from.
        found: NeuronId,
    },
    /// For another submission.
    #[error("the key object is for submission {found}, not {expected}")]
    Object {
        /// The submission at hand.
        expected: ObjectHash,
        /// The one that the key object names.
        found: ObjectHash,
    },
    /// Another key than the one that the submission commits to.
    #[error("the key has the hash {found}: the submission was sealed with the key of hash {expected}")]
    Key {
        /// As the submission's header has it.
        expected: KeyHash,
        /// That of the key.
        found: KeyHash,
    },
    /// Not signed by who made the submission.
    #[error("the key object's signature does not stand: {0}")]
    Signature(#[from] SignatureError),
}

impl SealKey {
    /// A key of 32 random bytes, which must come from the operating system and be used for one submission only.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// What headers commit to.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&[&self.0])
    }

    /// Encrypts, or decrypts again.
    fn apply(&self, bytes: &mut [u8]) {
        ChaCha20::new(&self.0.into(), &[0; 12].into()).apply_keystream(bytes);
    }

    /// Encrypts table and body in place; what the header must say.
    pub(super) fn seal(&self, content: &mut [u8]) -> Seal {
        let seal = Seal { key: self.hash(), plaintext: PlaintextHash::of(&[content]) };
        self.apply(content);
        seal
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey(of hash {})", self.hash())
    }
}

impl KeyObject {
    /// The object as it lies in buckets.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> [u8; KEY_BYTES] {
        let mut writer = Writer::new();
        writer.u8(kind::KEY).u8(KEY_VERSION).raw(&self.run.0);
        self.neuron.write(&mut writer);
        writer.u64(self.window.0).raw(&self.object.0).raw(&self.key.0);
        let signed = writer.into_bytes();
        let signature = key.sign(KEY_SIGNATURE_CONTEXT, &KeyObjectHash::of(&[&signed]).0);
        let mut bytes = [0; KEY_BYTES];
        let (content, trailer) = bytes.split_at_mut(KEY_BYTES - SIGNATURE_BYTES);
        content.copy_from_slice(&signed);
        trailer.copy_from_slice(&signature.0);
        bytes
    }

    /// Reads a key object, and checks that it is the one of this submission.
    ///
    /// # Errors
    /// Says what it is for if it is for something else; otherwise what is wrong with it.
    fn open(
        bytes: &[u8; KEY_BYTES],
        submission: &Header,
        seal: &Seal,
        hash: ObjectHash,
    ) -> Result<Self, KeyError> {
        let mut from = Reader::new(bytes);
        object::open(&mut from, "the key object", kind::KEY, KEY_VERSION)?;
        let read = Self {
            run: RunHash(from.array("the run")?),
            neuron: NeuronId::read(&mut from)?,
            window: Window(from.u64("the window")?),
            object: ObjectHash(from.array("the submission")?),
            key: SealKey(from.array("the key")?),
        };
        let signed = &bytes[..from.offset()];
        let signature = Signature(from.array("the signature")?);
        from.finish("the key object")?;
        read.check(submission, seal, hash)?;
        signature.verify(read.neuron.hotkey, KEY_SIGNATURE_CONTEXT, &KeyObjectHash::of(&[signed]).0)?;
        Ok(read)
    }

    fn check(&self, submission: &Header, seal: &Seal, hash: ObjectHash) -> Result<(), KeyError> {
        if self.run != submission.run {
            return Err(KeyError::Run { expected: submission.run, found: self.run });
        }
        if self.window != submission.window {
            return Err(KeyError::Window { expected: submission.window, found: self.window });
        }
        if self.neuron != submission.neuron {
            return Err(KeyError::Neuron { expected: submission.neuron, found: self.neuron });
        }
        if self.object != hash {
            return Err(KeyError::Object { expected: hash, found: self.object });
        }
        match self.key.hash() {
            found if found == seal.key => Ok(()),
            found => Err(KeyError::Key { expected: seal.key, found }),
        }
    }
}

/// A sealed submission whose key is not known yet: the expected one, unchanged and signed; what is in it, nobody knows.
#[derive(Clone, Debug)]
pub struct Sealed {
    bytes: Vec<u8>,
    layout: Arc<Layout>,
    header: Header,
    seal: Seal,
    digest: ObjectHash,
}

impl Sealed {
    /// Checks what can be checked before the key is known.
    ///
    /// # Errors
    /// As [`Submission::open`], or the submission is not sealed.
    pub fn open(bytes: Vec<u8>, layout: Arc<Layout>, expected: &Expected) -> Result<Self, SubmissionError> {
        let (header, digest) = check(&bytes, &layout, expected)?;
        let seal = header.seal.ok_or(SubmissionError::Sealing { sealed: false })?;
        Ok(Self { bytes, layout, header, seal, digest })
    }

    /// Who made it, for which window, from which state.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The hash that claims name.
    #[must_use]
    pub fn hash(&self) -> ObjectHash {
        self.digest
    }

    /// Decrypts it in place with the bytes of its [`KeyObject`], and checks the rest.
    ///
    /// # Errors
    /// They are no key of this submission, or what it opens to is not what the header says, or malformed.
    pub fn unseal<B: AsRef<[u8]> + From<Vec<u8>>>(
        mut self,
        key: &[u8],
    ) -> Result<Submission<B>, SubmissionError> {
        let key: &[u8; KEY_BYTES] = key.try_into().map_err(|_| KeyError::Length(key.len()))?;
        let opened = KeyObject::open(key, &self.header, &self.seal, self.digest)?;
        let content = content(&mut self.bytes);
        opened.key.apply(content);
        let (stated, found) = (self.seal.plaintext, PlaintextHash::of(&[content]));
        if stated != found {
            return Err(SubmissionError::Plaintext { stated, found });
        }
        let opener = Opener { key: opened.key, object: Box::new(*key) };
        let Self { bytes, layout, header, digest, .. } = self;
        Submission::checked(B::from(bytes), layout, header, digest, Some(opener))
    }
}

/// Table and body of an object that is long enough to have them.
fn content(object: &mut [u8]) -> &mut [u8] {
    let end = object.len().saturating_sub(TRAILER_BYTES).max(HEADER_BYTES);
    object.get_mut(HEADER_BYTES..end).unwrap_or_default()
}

/// What opened a submission.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    key: SealKey,
    object: Box<[u8; KEY_BYTES]>,
}

impl Opener {
    /// The bytes of the key object.
    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.object
    }

    /// The object as it was before it was opened.
    pub(super) fn seal_again(&self, opened: &[u8]) -> Vec<u8> {
        let mut sealed = opened.to_vec();
        self.key.apply(content(&mut sealed));
        sealed
    }
}
