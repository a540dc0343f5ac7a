//! Downloads checkpoints file by file, each from several buckets at once. Each file is verified, and the
//! folder appears only when it is complete.

use super::{
    FetchError, Fetcher,
    incoming::local,
    sources::{Delivered, Sought, Source, Undelivered},
};
use crate::BlockState;
use base::{NeuronId, digest::RunHash};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use protocol::{
    bucket_layout,
    checkpoint::{MANIFEST, Manifest, PROGRESS, Part, Pointer},
    model::ParameterLayout,
    progress::Progress,
};
use std::{
    io,
    path::{Path, PathBuf},
};
use storage::Partial;
use tokio::{fs, task::spawn_blocking};

impl Fetcher {
    /// Downloads the pointer to a validator's newest checkpoint. The pointer is true only if the
    /// votes on its window name its state.
    ///
    /// # Errors
    /// The pointer does not exist, or it is of another run.
    pub async fn checkpoint_pointer(
        &self,
        state: &BlockState,
        validator: &NeuronId,
        run: &RunHash,
    ) -> Result<Pointer, FetchError> {
        let owner = validator.hotkey;
        let key = bucket_layout::checkpoint_pointer(run.id());
        let bytes = self.small(state, validator, &key, bucket_layout::LARGEST_POINTER).await?;
        let pointer = Pointer::read(&bytes).map_err(|source| FetchError::Pointer { owner, source })?;
        if pointer.run == *run {
            Ok(pointer)
        } else {
            Err(FetchError::OtherRun { owner, expected: *run, found: pointer.run })
        }
    }

    /// Downloads the checkpoint of a pointer into a new folder, which appears when all files are
    /// verified and on the disk. `owners` are the nodes that offer this checkpoint: ranges of each file come
    /// from all of them at once, and a slow one is left. So the download has no time limit. `layout` is the
    /// layout of the run's model. A checkpoint that is too large for this model is refused before its files
    /// are downloaded.
    ///
    /// [`read_parameters`](crate::read_parameters) checks later that the parameters have the state
    /// root of the progress.
    ///
    /// # Errors
    /// No owner delivers a file, a file differs from the manifest, or the folder exists already or cannot
    /// be written.
    pub async fn checkpoint(
        &self,
        state: &BlockState,
        owners: &[NeuronId],
        pointer: &Pointer,
        layout: &ParameterLayout,
        into: &Path,
    ) -> Result<(Manifest, Progress), FetchError> {
        let (sources, failures) = self.reachable(state, owners.to_vec());
        if sources.is_empty() {
            return Err(undelivered(MANIFEST, failures));
        }
        let partial = begin(into).await?;
        let mut offered = Offered { fetcher: self, sources, pointer, folder: &partial };
        let done = match offered.download(layout).await {
            Ok(done) => finish(&partial, into).await.map(|()| done),
            Err(error) => Err(error),
        };
        if done.is_err() {
            let _ = fs::remove_dir_all(&partial).await; // The first error is the one to report.
        }
        done
    }
}

/// A checkpoint that several nodes offer.
struct Offered<'a> {
    fetcher: &'a Fetcher,
    /// The nodes, without those that delivered a wrong file.
    sources: Vec<Source>,
    pointer: &'a Pointer,
    folder: &'a Path,
}

impl Offered<'_> {
    async fn download(&mut self, layout: &ParameterLayout) -> Result<(Manifest, Progress), FetchError> {
        let (owner, manifest, bytes) = self.manifest(layout).await?;
        for part in &manifest.parts {
            self.part(part).await?;
        }
        let owner = owner.hotkey;
        let progress = read_progress(owner, &self.folder.join(PROGRESS)).await?;
        manifest.check_progress(&progress).map_err(|source| FetchError::Manifest { owner, source })?;
        let path = self.folder.join(MANIFEST);
        fs::write(&path, bytes).await.map_err(local(&path))?;
        sync(&path).await?;
        Ok((manifest, progress))
    }

    /// Downloads the manifest that the pointer names, from all sources at once. Returns the first right one
    /// with its bytes.
    async fn manifest(&self, layout: &ParameterLayout) -> Result<(NeuronId, Manifest, Vec<u8>), FetchError> {
        let key = self.key(MANIFEST);
        let mut limits = self.fetcher.limits(bucket_layout::LARGEST_MANIFEST);
        limits.floor.bytes_per_second = 0; // The first that arrives ends the others.
        let ask = |source: &Source| {
            let (source, key) = (source.clone(), key.clone());
            async move {
                let (mut bytes, mut partial) = (Vec::new(), Partial::default());
                let got = source.bucket.attempt_into(&key, None, &mut partial, &limits, &mut bytes).await;
                (source.owner, got.map(|()| bytes))
            }
        };
        let mut answers: FuturesUnordered<_> = self.sources.iter().map(ask).collect();
        let mut failures = Vec::new();
        while let Some((id, answer)) = answers.next().await {
            let owner = id.hotkey;
            let error = match answer {
                Ok(bytes) if *blake3::hash(&bytes).as_bytes() == self.pointer.manifest => {
                    let wrong = |source| FetchError::Manifest { owner, source };
                    let manifest = Manifest::read(&bytes).map_err(wrong)?;
                    self.pointer.check(&manifest).map_err(wrong)?;
                    manifest.check_size(layout.len() as u64).map_err(wrong)?;
                    return Ok((id, manifest, bytes));
                }
                Ok(_) => FetchError::OtherManifest { owner },
                Err(source) => FetchError::Storage { owner, source },
            };
            failures.push((id, error));
        }
        Err(undelivered(MANIFEST, failures))
    }

    /// Downloads a file. A source that delivers a wrong copy of it is not used again.
    async fn part(&mut self, part: &Part) -> Result<(), FetchError> {
        let key = self.key(&part.file);
        let expected = part.blake3;
        let file = part.file.clone();
        let check = move |bytes: Bytes| {
            let file = file.clone();
            async move {
                let found = spawn_blocking(move || blake3::hash(&bytes)).await;
                let found = found.map_err(|_| FetchError::Ended)?;
                if *found.as_bytes() == expected { Ok(()) } else { Err(FetchError::WrongFile { file }) }
            }
            .boxed()
        };
        let sought = Sought {
            sources: &self.sources,
            key: &key,
            size: Some(part.bytes),
            limits: self.fetcher.unhurried(part.bytes),
            folder: self.folder,
        };
        let Delivered { file, liars, .. } = sought.download(&check).await.map_err(|error| match error {
            Undelivered::Local(error) => *error,
            Undelivered::Nowhere(failures) => undelivered(&part.file, failures),
        })?;
        file.keep(&self.folder.join(&part.file)).await?;
        let mut place = 0;
        self.sources.retain(|_| {
            place += 1;
            !liars.contains(&(place - 1))
        });
        Ok(())
    }

    fn key(&self, file: &str) -> String {
        bucket_layout::checkpoint(self.pointer.run.id(), self.pointer.window, file)
    }
}

/// Returns the error of a file that no source delivers: that of the source, if there is only one.
fn undelivered(file: &str, mut failures: Vec<(NeuronId, FetchError)>) -> FetchError {
    match failures.pop() {
        Some((_, error)) if failures.is_empty() => error,
        last => {
            failures.extend(last);
            FetchError::NoCheckpoint { file: file.to_owned(), failures }
        }
    }
}

/// Creates an empty folder next to the target, under a temporary name.
async fn begin(into: &Path) -> Result<PathBuf, FetchError> {
    if fs::try_exists(into).await.map_err(local(into))? {
        let there = "a checkpoint never overwrites another; remove it or choose another folder";
        return Err(local(into)(io::Error::new(io::ErrorKind::AlreadyExists, there)));
    }
    let mut name = into.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = into.with_file_name(name);
    match fs::remove_dir_all(&partial).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(local(&partial)(error)),
        _ => {} // A killed process may have left one.
    }
    fs::create_dir_all(&partial).await.map_err(local(&partial))?;
    Ok(partial)
}

/// Renames the folder to its target when all of it is on the disk.
async fn finish(partial: &Path, into: &Path) -> Result<(), FetchError> {
    sync(partial).await?;
    fs::rename(partial, into).await.map_err(local(into))
}

async fn read_progress(owner: base::Hotkey, path: &Path) -> Result<Progress, FetchError> {
    let bytes = fs::read(path).await.map_err(local(path))?; // The manifest limits its size.
    Progress::read(&bytes).map_err(|source| FetchError::Progress { owner, source })
}

/// Waits until the contents of a file or folder are on the disk.
async fn sync(path: &Path) -> Result<(), FetchError> {
    let opened = fs::File::open(path).await.map_err(local(path))?;
    opened.sync_all().await.map_err(local(path))
}
