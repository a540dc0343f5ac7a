//! Seals submissions: no node can read a sealed submission before the claims of its window are closed.
//!
//! Table and body of a sealed submission are encrypted with ChaCha20, under a key drawn for it alone. The
//! header stays readable and commits to the hashes of the key and of the plaintext. So only one key opens the
//! object, and it opens to only one body. The miner publishes the [`KeyObject`] between `D_w` and `K_w`. An
//! object without one by `K_w` counts as a missing submission. Before that, a download of a sealed submission
//! reveals only its miner and its length.
//!
//! The nonce is zero, since no key encrypts twice. ChaCha20 alone does not detect changes. The
//! digest, which the claim names, and the hash of the plaintext detect them.

use super::{
    Expected, HEADER_BYTES, Header, Submission, SubmissionError, SubmissionLayout, TRAILER_BYTES, check,
};
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
use std::{fmt, ops::Range, sync::Arc};

/// The version of key objects that this program writes and reads.
pub const KEY_VERSION: u8 = 1;
/// Bytes of a key object: kind, version, run, neuron, window, object, key, signature.
pub const KEY_BYTES: usize = 2 + 32 + 40 + 8 + 32 + 32 + SIGNATURE_BYTES;
/// The signature context of key objects.
pub const KEY_SIGNATURE_CONTEXT: &str = "muster v1 key object";

/// The key of a sealed submission: 32 bytes of the operating system's randomness, used once.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

/// The commitment in the header of a sealed submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The hash of the key.
    pub key: KeyHash,
    /// The hash of table and body before they were encrypted.
    pub plaintext: PlaintextHash,
}

/// The object that opens a sealed submission: its key, signed by its miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyObject {
    /// The run.
    pub run: RunHash,
    /// The neuron that sealed the submission.
    pub neuron: NeuronId,
    /// The window that it is for.
    pub window: Window,
    /// The hash of the sealed submission, as its claim names it.
    pub object: ObjectHash,
    /// The key.
    pub key: SealKey,
}

/// An error in the key object of a sealed submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The length is wrong.
    #[error("the key object has {0} bytes: it must have {KEY_BYTES}")]
    Length(usize),
    /// The object is not a key object, or has an unknown version.
    #[error("the key object is malformed")]
    Wire(#[from] WireError),
    /// The key object is from another run.
    #[error("the key object is from run {found}, not {expected}")]
    Run {
        /// The submission's.
        expected: RunHash,
        /// The key's.
        found: RunHash,
    },
    /// The key object is for another window.
    #[error("the key object is for window {found}, not {expected}")]
    Window {
        /// The submission's.
        expected: Window,
        /// The key's.
        found: Window,
    },
    /// The key object is from another hotkey, or another registration of it.
    #[error("the key object is from hotkey {found}, not {expected}")]
    Neuron {
        /// The neuron that made the submission.
        expected: NeuronId,
        /// The neuron that the key object names.
        found: NeuronId,
    },
    /// The key object is for another submission.
    #[error("the key object is for submission {found}, not {expected}")]
    Object {
        /// The submission to open.
        expected: ObjectHash,
        /// The submission that the key object names.
        found: ObjectHash,
    },
    /// The submission commits to another key.
    #[error("the key has the hash {found}: the submission was sealed with the key of hash {expected}")]
    Key {
        /// The hash in the submission's header.
        expected: KeyHash,
        /// The hash of the key.
        found: KeyHash,
    },
    /// The signature is not one of the submission's miner.
    #[error("the key object's signature is invalid")]
    Signature(#[from] SignatureError),
}

impl SealKey {
    /// Creates a key from 32 random bytes. They must come from the operating system and be used for
    /// one submission only.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Returns the hash that headers commit to.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&[&self.0])
    }

    /// Encrypts or decrypts; the two are the same operation.
    fn apply(&self, bytes: &mut [u8]) {
        self.cipher().apply_keystream(bytes);
    }

    fn cipher(&self) -> ChaCha20 {
        ChaCha20::new(&self.0.into(), &[0; 12].into())
    }

    /// Encrypts table and body in place. Returns the seal for the header.
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
    /// Signs the key object. Returns its bytes in the form stored in buckets.
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

    /// Reads a key object and checks that it belongs to this submission.
    ///
    /// # Errors
    /// Fails with the actual run, window, neuron or submission if it belongs to another, otherwise
    /// with the defect.
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

/// A sealed submission whose key is not known yet. It is the expected one, unchanged and signed.
/// Its contents are unknown.
#[derive(Clone, Debug)]
pub struct Sealed<B = Vec<u8>> {
    bytes: B,
    layout: Arc<SubmissionLayout>,
    header: Header,
    seal: Seal,
    digest: ObjectHash,
}

impl<B: AsRef<[u8]>> Sealed<B> {
    /// Checks everything that can be checked before the key is known.
    ///
    /// # Errors
    /// Fails as [`Submission::open`] does, or if the submission is not sealed.
    pub fn open(
        bytes: B,
        layout: Arc<SubmissionLayout>,
        expected: &Expected,
    ) -> Result<Self, SubmissionError> {
        let (header, digest) = check(bytes.as_ref(), &layout, expected)?;
        let seal = header.seal.ok_or(SubmissionError::Sealing { sealed: false })?;
        Ok(Self { bytes, layout, header, seal, digest })
    }

    /// Returns the header: the miner, the window, and the base state.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the hash that claims name.
    #[must_use]
    pub fn hash(&self) -> ObjectHash {
        self.digest
    }

    /// Checks whether these are the bytes of its [`KeyObject`].
    ///
    /// # Errors
    /// Fails if they are not.
    pub fn check_key(&self, key: &[u8]) -> Result<(), SubmissionError> {
        self.opener(key).map(|_| ())
    }

    /// Begins to decrypt it piece by piece with the bytes of its [`KeyObject`], so that the decrypted object
    /// needs no memory beside it.
    ///
    /// # Errors
    /// Fails if the bytes are not the key object of this submission.
    pub fn unsealing(self, key: &[u8]) -> Result<Unsealing<B>, SubmissionError> {
        let opener = self.opener(key)?;
        let cipher = opener.key.cipher();
        Ok(Unsealing { sealed: self, opener, cipher, at: 0 })
    }

    fn opener(&self, key: &[u8]) -> Result<Opener, SubmissionError> {
        let key: &[u8; KEY_BYTES] = key.try_into().map_err(|_| KeyError::Length(key.len()))?;
        let opened = KeyObject::open(key, &self.header, &self.seal, self.digest)?;
        Ok(Opener { key: opened.key, object: Box::new(*key) })
    }
}

impl Sealed<Vec<u8>> {
    /// Decrypts it in place with the bytes of its [`KeyObject`], and checks the rest.
    ///
    /// # Errors
    /// Fails if the bytes are not the key object of this submission. Fails if the decrypted
    /// contents are malformed, or do not match the header.
    pub fn unseal<B: AsRef<[u8]> + From<Vec<u8>>>(
        mut self,
        key: &[u8],
    ) -> Result<Submission<B>, SubmissionError> {
        let opener = self.opener(key)?;
        opener.key.apply(content_mut(&mut self.bytes));
        let Self { bytes, layout, header, seal, digest } = self;
        finish(B::from(bytes), layout, header, &seal, digest, opener)
    }
}

/// A sealed submission that is being decrypted. Its key is the right one.
pub struct Unsealing<B> {
    sealed: Sealed<B>,
    opener: Opener,
    cipher: ChaCha20,
    /// The number of bytes that were returned.
    at: usize,
}

impl<B: AsRef<[u8]>> Unsealing<B> {
    /// Writes the next bytes of the decrypted object into the buffer, as many as fit. Returns their number,
    /// which is 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let bytes = self.sealed.bytes.as_ref();
        let count = buffer.len().min(bytes.len() - self.at);
        let range = self.at..self.at + count;
        let buffer = &mut buffer[..count];
        buffer.copy_from_slice(&bytes[range.clone()]);
        let encrypted = content_range(bytes.len());
        let start = encrypted.start.clamp(range.start, range.end) - range.start;
        let end = encrypted.end.clamp(range.start, range.end) - range.start;
        self.cipher.apply_keystream(buffer.get_mut(start..end).unwrap_or_default());
        self.at = range.end;
        count
    }

    /// Checks the decrypted object: all bytes that [`Self::read`] returned.
    ///
    /// # Errors
    /// Fails if the contents are malformed, or do not match the header.
    pub fn finish<C: AsRef<[u8]>>(self, opened: C) -> Result<Submission<C>, SubmissionError> {
        let Sealed { layout, header, seal, digest, .. } = self.sealed;
        finish(opened, layout, header, &seal, digest, self.opener)
    }
}

impl<B: fmt::Debug> fmt::Debug for Unsealing<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsealing")
            .field("sealed", &self.sealed)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Checks a decrypted object.
fn finish<B: AsRef<[u8]>>(
    bytes: B,
    layout: Arc<SubmissionLayout>,
    header: Header,
    seal: &Seal,
    digest: ObjectHash,
    opener: Opener,
) -> Result<Submission<B>, SubmissionError> {
    let content = bytes.as_ref().get(content_range(bytes.as_ref().len())).unwrap_or_default();
    let found = PlaintextHash::of(&[content]);
    if seal.plaintext != found {
        return Err(SubmissionError::Plaintext { stated: seal.plaintext, found });
    }
    Submission::checked(bytes, layout, header, digest, Some(opener))
}

/// Returns the range of table and body in an object of `length` bytes. It is empty if the object is too short
/// to have them.
fn content_range(length: usize) -> Range<usize> {
    HEADER_BYTES..length.saturating_sub(TRAILER_BYTES).max(HEADER_BYTES)
}

/// Returns table and body of an object, or nothing if it is too short to have them.
fn content_mut(object: &mut [u8]) -> &mut [u8] {
    object.get_mut(content_range(object.len())).unwrap_or_default()
}

/// The key and the key object that opened a submission.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    key: SealKey,
    object: Box<[u8; KEY_BYTES]>,
}

impl Opener {
    /// Returns the bytes of the key object.
    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.object
    }

    /// Returns the object in its sealed form.
    pub(super) fn seal_again(&self, opened: &[u8]) -> Vec<u8> {
        let mut sealed = opened.to_vec();
        self.key.apply(content_mut(&mut sealed));
        sealed
    }
}
