//! Opens downloaded submissions: the check of their bytes, and the decryption of sealed ones into a file.

use super::{Claimed, FetchError, incoming::IncomingFile};
use base::{Hotkey, digest::ObjectHash};
use bytes::Bytes;
use codec::submission::{Expected, Sealed, Submission, SubmissionError, SubmissionLayout, TRAILER_BYTES};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Semaphore;

/// The size of the buffer of a decryption, in bytes.
const BUFFER: usize = 1 << 20;
/// The most decryptions at once: each keeps a core and the disk busy.
const AT_ONCE: usize = 2;
static DECRYPTIONS: Semaphore = Semaphore::const_new(AT_ONCE);

/// The requirements on a claimed object.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) object: ObjectHash,
    pub(crate) expected: Expected,
    pub(crate) layout: Arc<SubmissionLayout>,
}

impl Wanted {
    /// Opens a claimed object as far as possible without a key.
    pub(crate) async fn open(&self, owner: Hotkey, bytes: Bytes) -> Result<Claimed, FetchError> {
        let wanted = self.clone();
        on_a_thread(owner, move || wanted.open_now(owner, bytes)).await
    }

    fn open_now(&self, owner: Hotkey, bytes: Bytes) -> Result<Claimed, FetchError> {
        let layout = Arc::clone(&self.layout);
        let opened = if self.expected.sealed {
            Sealed::open(bytes.clone(), layout, &self.expected)
                .map(|sealed| (sealed.hash(), Claimed::Sealed(sealed)))
        } else {
            let opened = Submission::open(bytes.clone(), layout, &self.expected);
            opened.map(|submission| (submission.hash(), Claimed::Open(submission)))
        };
        match opened {
            Ok((found, claimed)) if found == self.object => Ok(claimed),
            // If the hash differs from the claimed one, the bytes prove nothing else about the miner.
            Ok((found, _)) => Err(FetchError::Mismatch { owner, claimed: self.object, found }),
            Err(source) => match found(&bytes) {
                found if found == self.object => Err(FetchError::Submission { owner, source }),
                found => Err(FetchError::Mismatch { owner, claimed: self.object, found }),
            },
        }
    }
}

/// Returns the hash of the bytes found under the name of an object.
fn found(bytes: &[u8]) -> ObjectHash {
    ObjectHash::of(&[&bytes[..bytes.len().saturating_sub(TRAILER_BYTES)]])
}

/// Decrypts a submission into a new file, and maps it. At most two decryptions run at the same time.
pub(crate) async fn unseal(
    sealed: Sealed<Bytes>,
    key: Vec<u8>,
    path: PathBuf,
) -> Result<Submission<Bytes>, FetchError> {
    let owner = sealed.header().neuron.hotkey;
    // The semaphore is never closed.
    let _permit = DECRYPTIONS.acquire().await;
    on_a_thread(owner, move || unseal_now(owner, sealed, &key, path)).await
}

fn unseal_now(
    owner: Hotkey,
    sealed: Sealed<Bytes>,
    key: &[u8],
    path: PathBuf,
) -> Result<Submission<Bytes>, FetchError> {
    let wrong = |source: SubmissionError| FetchError::Submission { owner, source };
    let mut unsealing = sealed.unsealing(key).map_err(wrong)?;
    let file = IncomingFile::create(path)?;
    let mut buffer = vec![0; BUFFER];
    let mut written = 0;
    loop {
        let count = unsealing.read(&mut buffer);
        if count == 0 {
            break;
        }
        file.write_now(written, &buffer[..count])?;
        written += count as u64;
    }
    unsealing.finish(file.map(written)?).map_err(wrong)
}

/// Hashes, decrypts and checks on a thread for blocking work.
async fn on_a_thread<T: Send + 'static>(
    owner: Hotkey,
    check: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(check).await.unwrap_or(Err(FetchError::Stopped { owner }))
}
