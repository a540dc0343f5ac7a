//! Downloads checkpoints file by file. Each file is verified, and the folder appears only when it is
//! complete.

use super::{FetchError, Fetcher};
use crate::BlockState;
use base::{Hotkey, NeuronId, digest::RunHash};
use protocol::{
    bucket_layout,
    checkpoint::{MANIFEST, Manifest, PROGRESS, Part, Pointer},
    model::ParameterLayout,
    progress::Progress,
};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use storage::{Bucket, Limits};
use tokio::fs;

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
    /// verified and on the disk. `layout` is the layout of the run's model. A checkpoint that is too
    /// large for this model is refused before its files are downloaded.
    ///
    /// [`read_parameters`](crate::read_parameters) checks later that the parameters have the state
    /// root of the progress.
    ///
    /// # Errors
    /// A file cannot be downloaded or differs from the manifest, or the folder exists already or cannot
    /// be written.
    pub async fn checkpoint(
        &self,
        state: &BlockState,
        validator: &NeuronId,
        pointer: &Pointer,
        layout: &ParameterLayout,
        into: &Path,
    ) -> Result<(Manifest, Progress), FetchError> {
        let partial = begin(into).await?;
        let from = Source { owner: validator.hotkey, bucket: self.bucket(state, validator)?, pointer };
        let fetched = self.checkpoint_into(&from, layout, &partial).await;
        let done = match fetched {
            Ok(done) => finish(&partial, into).await.map(|()| done),
            Err(error) => Err(error),
        };
        if done.is_err() {
            let _ = fs::remove_dir_all(&partial).await; // The first error is the one to report.
        }
        done
    }

    async fn checkpoint_into(
        &self,
        from: &Source<'_>,
        layout: &ParameterLayout,
        folder: &Path,
    ) -> Result<(Manifest, Progress), FetchError> {
        let owner = from.owner;
        let (manifest, bytes) = self.manifest(from, layout).await?;
        for part in &manifest.parts {
            self.part(from, part, folder).await?;
        }
        let progress = read_progress(owner, &folder.join(PROGRESS)).await?;
        manifest.check_progress(&progress).map_err(|source| FetchError::Manifest { owner, source })?;
        let path = folder.join(MANIFEST);
        fs::write(&path, bytes).await.map_err(local(&path))?;
        sync(&path).await?;
        Ok((manifest, progress))
    }

    /// Downloads the manifest that the pointer names. Returns it with its bytes.
    async fn manifest(
        &self,
        from: &Source<'_>,
        layout: &ParameterLayout,
    ) -> Result<(Manifest, Vec<u8>), FetchError> {
        let owner = from.owner;
        let got = from.bucket.get(&from.key(MANIFEST), &self.limits(bucket_layout::LARGEST_MANIFEST)).await;
        let (bytes, fetched) = got.map_err(|source| FetchError::Storage { owner, source })?;
        if *fetched.hash.as_bytes() != from.pointer.manifest {
            return Err(FetchError::OtherManifest { owner });
        }
        let wrong = |source| FetchError::Manifest { owner, source };
        let manifest = Manifest::read(&bytes).map_err(wrong)?;
        from.pointer.check(&manifest).map_err(wrong)?;
        manifest.check_size(layout.len() as u64).map_err(wrong)?;
        Ok((manifest, bytes))
    }

    async fn part(&self, from: &Source<'_>, part: &Part, folder: &Path) -> Result<(), FetchError> {
        let limits = self.limits_of_part(part.bytes);
        let key = from.key(&part.file);
        let path = folder.join(&part.file);
        let expected = blake3::Hash::from_bytes(part.blake3);
        let got = from.bucket.get_file_as(&key, &path, &limits, expected).await;
        got.map(|_| ()).map_err(|source| FetchError::Storage { owner: from.owner, source })
    }

    /// Returns the limits for a file. They add the time that the bytes take at the floor, or at 64
    /// KiB/s if the floor is lower.
    fn limits_of_part(&self, bytes: u64) -> Limits {
        let limits = self.limits(bytes);
        let slowest = limits.floor.bytes_per_second.max(64 << 10);
        let time = limits.time.saturating_add(Duration::from_secs(bytes / slowest));
        Limits { time, ..limits }
    }
}

/// The source of a checkpoint.
struct Source<'a> {
    owner: Hotkey,
    bucket: Bucket,
    pointer: &'a Pointer,
}

impl Source<'_> {
    fn key(&self, file: &str) -> String {
        bucket_layout::checkpoint(self.pointer.run.id(), self.pointer.window, file)
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

async fn read_progress(owner: Hotkey, path: &Path) -> Result<Progress, FetchError> {
    let bytes = fs::read(path).await.map_err(local(path))?; // The manifest limits its size.
    Progress::read(&bytes).map_err(|source| FetchError::Progress { owner, source })
}

/// Waits until the contents of a file or folder are on the disk.
async fn sync(path: &Path) -> Result<(), FetchError> {
    let opened = fs::File::open(path).await.map_err(local(path))?;
    opened.sync_all().await.map_err(local(path))
}

fn local(path: &Path) -> impl Fn(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Local { path: path.clone(), source }
}
