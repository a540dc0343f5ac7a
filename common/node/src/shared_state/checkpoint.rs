//! Checkpoints: the offers of validators, the download, and the load into the model.

use super::{SharedState, Transaction};
use crate::{Network, NodeError, files};
use base::{NeuronId, Window};
use engine::{EngineError, Model};
use exchange::{BlockState, FetchError};
use futures::{StreamExt as _, stream};
use protocol::{
    checkpoint::{Manifest, Pointer},
    progress::Progress,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use telemetry::target::NODE;

/// The number of validators that are asked for their pointers at once.
const AT_ONCE: usize = 8;
/// The approximate size of a checkpoint's files, in bytes.
const PART_BYTES: usize = 1 << 30;
/// The folder of all checkpoints, in the node's folder.
const FOLDER: &str = "checkpoints";

/// A checkpoint that a validator offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The validator's pointer.
    pub pointer: Pointer,
    /// The validator.
    pub owner: NeuronId,
    /// Its stake (65535 for the largest).
    pub stake: u16,
    /// All validators that offer the same checkpoint, this one first.
    pub owners: Vec<NeuronId>,
}

/// A checkpoint's files on this disk. They are deleted when it is dropped.
#[derive(Debug)]
pub struct CheckpointFiles<T> {
    folder: PathBuf,
    content: T,
}

impl<T> CheckpointFiles<T> {
    /// Returns the folder of the files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns what the files contain: a [`Progress`] after a download, a manifest after a save.
    #[must_use]
    pub fn content(&self) -> &T {
        &self.content
    }
}

impl<T> Drop for CheckpointFiles<T> {
    fn drop(&mut self) {
        discard(&self.folder);
    }
}

impl SharedState {
    /// Asks all validators for the checkpoints that they offer.
    ///
    /// # Errors
    /// The node is being stopped.
    pub async fn offers(&self, network: &Network, state: &BlockState) -> Result<Vec<Offer>, NodeError> {
        let asked = stream::iter(state.permitted()).map(|(owner, stake)| async move {
            let pointer = network.fetcher.checkpoint_pointer(state, &owner, &self.run.hash);
            (owner, stake, Box::pin(pointer).await)
        });
        let answers: Vec<_> = network.unless_stopped(asked.buffer_unordered(AT_ONCE).collect()).await?;
        let offer = |(owner, stake, answer): (NeuronId, u16, Result<Pointer, FetchError>)| match answer {
            Ok(pointer) => Some(Offer { pointer, owner, stake, owners: vec![owner] }),
            Err(error) => {
                tracing::debug!(target: NODE, error = %base::ErrorChain(&error), "no checkpoint");
                None
            }
        };
        Ok(joined(answers.into_iter().filter_map(offer).collect()))
    }

    /// Downloads a checkpoint. Returns `None` if that fails or the checkpoint is not valid.
    ///
    /// # Errors
    /// The disk cannot be written, or the node is being stopped.
    pub async fn download(
        &self,
        network: &Network,
        state: &BlockState,
        offer: &Offer,
    ) -> Result<Option<CheckpointFiles<Progress>>, NodeError> {
        let Offer { pointer, owner, owners, .. } = offer;
        let sources = owners.len();
        tracing::info!(target: NODE, window = %pointer.window, state = %pointer.state, from = %owner, sources, "downloading a checkpoint");
        let folder = self.incoming()?;
        let fetched = network.fetcher.checkpoint(state, owners, pointer, &self.run.flat, &folder);
        match network.unless_stopped(Box::pin(fetched)).await? {
            Ok((_, content)) => Ok(Some(CheckpointFiles { folder, content })),
            Err(FetchError::Local { path, source }) => Err(files::at(&path)(source).into()),
            Err(error) => {
                tracing::warn!(target: NODE, error = %base::ErrorChain(&error), "checkpoint not downloaded");
                Ok(None)
            }
        }
    }

    /// Loads a checkpoint. Returns whether its parameters have the root of its progress.
    ///
    /// # Errors
    /// The model fails, or the journal cannot be written.
    pub async fn load(&self, checkpoint: CheckpointFiles<Progress>) -> Result<bool, NodeError> {
        let load = move |mut transaction: Transaction<'_>| {
            let progress = checkpoint.content.clone();
            match load(transaction.model(), &checkpoint.folder) {
                Ok(root) if root == progress.root => transaction.commit(progress).map(|()| true),
                Ok(_) => Ok(false),
                Err(EngineError::Checkpoint(error)) => {
                    tracing::warn!(target: NODE, error = %base::ErrorChain(&error), "checkpoint not loaded");
                    Ok(false)
                }
                Err(error) => Err(error.into()),
            }
        };
        self.change(load).await
    }

    /// Saves the state as a checkpoint on this disk.
    ///
    /// # Errors
    /// The state is torn, or the disk cannot be written.
    pub async fn save(&self) -> Result<CheckpointFiles<Manifest>, NodeError> {
        let folders = self.folder.join(FOLDER);
        let save = move |model: &mut Model, progress: &Progress| {
            let folder = unused(&folders, progress.window());
            let content = model.save(&folder, progress, PART_BYTES)?;
            Ok(CheckpointFiles { folder, content })
        };
        self.read(save).await
    }

    /// Returns the folder for a download, which does not exist.
    fn incoming(&self) -> Result<PathBuf, NodeError> {
        let folder = self.folder.join(FOLDER);
        fs::create_dir_all(&folder).map_err(files::at(&folder))?;
        let folder = folder.join("incoming");
        discard(&folder); // Left by a download that failed.
        Ok(folder)
    }

    /// Deletes the checkpoints that a process left when it was killed. No other process may use the folder.
    pub(crate) fn discard_checkpoints(&self) {
        discard(&self.folder.join(FOLDER));
    }
}

/// Adds to each offer all validators that offer the same checkpoint.
fn joined(mut offers: Vec<Offer>) -> Vec<Offer> {
    let all: Vec<(Pointer, NeuronId)> = offers.iter().map(|offer| (offer.pointer, offer.owner)).collect();
    for offer in &mut offers {
        let others = all.iter().filter(|(pointer, owner)| *pointer == offer.pointer && *owner != offer.owner);
        offer.owners.extend(others.map(|(_, owner)| *owner));
    }
    offers
}

fn load(model: &mut Model, folder: &Path) -> Result<base::digest::StateRoot, EngineError> {
    model.load(folder)?;
    model.state_root()
}

/// Returns a folder that does not exist. A node that lost its state and caught up can save a window again
/// while the first checkpoint of that window is still on its way.
fn unused(folders: &Path, window: Window) -> PathBuf {
    let name = |number: u64| folders.join(format!("{:010}-{number}", window.0));
    let mut number = 0;
    while name(number).exists() {
        number += 1;
    }
    name(number)
}

/// Deletes a folder. Files that cannot be deleted now are deleted when the node starts again.
fn discard(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}
