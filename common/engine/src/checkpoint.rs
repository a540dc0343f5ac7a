//! Checkpoints: folders in Hugging Face's layout, with a manifest of Muster's own.
//!
//! ```text
//! config.json                        the model, as `transformers` reads it
//! model-00001-of-00002.safetensors   parameters, f32, in the order of their names
//! model.safetensors.index.json       the file of each tensor
//! muster.progress                    the progress of the parameters: run, history, state root, last norms
//! muster.json                        the run, window and state; size and hash of each file
//! ```
//!
//! These checkpoints load in `transformers`. A checkpoint from `transformers` loads here without a
//! manifest: f32, bf16 or f16, in one file or several. A folder gets its name only when all of its
//! contents are on the disk.

mod config;
mod manifest;
mod optimizer;
mod read;
mod write;

pub use manifest::check;

use protocol::{checkpoint::ManifestError, model::ModelError, progress::ProgressError};
use safetensors::{Dtype, SafeTensorError};
use std::{
    io,
    path::{Path, PathBuf},
};
use tch::TchError;

const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// The reason why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file that cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A checkpoint folder that exists already.
    #[error("{}: a checkpoint never overwrites another; remove it or choose another folder", .0.display())]
    Exists(PathBuf),
    /// A file that is not JSON of the expected form.
    #[error("cannot read {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The place and the cause.
        source: serde_json::Error,
    },
    /// A file that is not complete safetensors: it is cut off, in most cases.
    #[error("{} is not a complete safetensors file", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SafeTensorError,
    },
    /// A model that this engine does not support.
    #[error("{}: {what} is {found}: this engine supports {expected}", path.display())]
    Unsupported {
        /// The configuration.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// Its value.
        found: String,
        /// The supported value.
        expected: &'static str,
    },
    /// A configuration that is not a valid model.
    #[error("cannot use the model of {}", path.display())]
    Model {
        /// The configuration.
        path: PathBuf,
        /// The cause.
        source: ModelError,
    },
    /// A checkpoint of another model.
    #[error("{}: model.{what} is {found}, the run's is {expected}: this is a checkpoint of another model", path.display())]
    OtherModel {
        /// The configuration.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// Its value in the checkpoint.
        found: String,
        /// Its value in the run.
        expected: String,
    },
    /// A tensor that no file contains.
    #[error("{}: the tensor {name} is missing", path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than the model's.
    #[error("{}: the tensor {name} has shape {found:?}, the model's has {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// Its shape in the model.
        expected: Vec<usize>,
    },
    /// A tensor of a number type that cannot be loaded.
    #[error("{}: the tensor {name} has type {found:?}: only F32, BF16 and F16 can be read", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its number type.
        found: Dtype,
    },
    /// A file name that leads out of the folder.
    #[error("{}: {name:?} is not the name of a file in the same folder", path.display())]
    Name {
        /// The file that names it.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A manifest that is not valid, or does not belong to these files.
    #[error("cannot use the manifest {}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        source: ManifestError,
    },
    /// A progress file that cannot be read.
    #[error("cannot read {}", path.display())]
    Progress {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ProgressError,
    },
    /// A file that differs from the manifest.
    #[error("{}: the file differs from the manifest ({what}): download the checkpoint again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The property that differs.
        what: &'static str,
    },
    /// An error of libtorch while it copied the values.
    #[error("libtorch failed")]
    Torch(#[from] TchError),
}

/// Returns a function that makes an error for this file.
fn file(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    |source| CheckpointError::File { path, source }
}

/// Returns a function that makes an error for this JSON file.
fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> CheckpointError {
    let path = path.to_owned();
    |source| CheckpointError::Json { path, source }
}

/// Returns a function that makes an error for this safetensors file.
fn safetensors(path: &Path) -> impl FnOnce(SafeTensorError) -> CheckpointError {
    let path = path.to_owned();
    |source| CheckpointError::Safetensors { path, source }
}

/// Returns the path of a file that another file names. Both lie in the same folder.
fn beside(path: &Path, name: &str) -> Result<PathBuf, CheckpointError> {
    let plain = Path::new(name).file_name().is_some_and(|last| last == name);
    if plain {
        Ok(path.with_file_name(name))
    } else {
        Err(CheckpointError::Name { path: path.to_owned(), name: name.to_owned() })
    }
}
