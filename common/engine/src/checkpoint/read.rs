//! Loads parameters from a checkpoint folder.

use super::{CheckpointError, INDEX, SINGLE, beside, check, config, file, json, safetensors};
use crate::{error::EngineError, layout::int, model::Model, raw, store::cut};
use ::safetensors::{Dtype, SafeTensors, tensor::TensorView};
use base::tensor::TensorSpec;
use memmap2::Mmap;
use protocol::{checkpoint::Manifest, model::ModelSpec, progress::Progress};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    ops::Range,
    path::{Path, PathBuf},
};
use tch::{Kind, Tensor};

/// The used part of `model.safetensors.index.json`.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Model {
    /// Reads the model spec of a checkpoint from its `config.json`.
    ///
    /// # Errors
    /// The file is missing, or it describes a model that this engine does not support.
    pub fn checkpoint_spec(folder: &Path) -> Result<ModelSpec, EngineError> {
        Ok(config::read(folder)?)
    }

    /// Loads all parameters from a checkpoint of the same model. Returns the manifest and the
    /// progress if the checkpoint has them. It checks the files against the manifest before it
    /// changes any parameter. AdamW's moments stay unchanged.
    ///
    /// After the load, the caller must check that the parameters have the state root of the progress.
    ///
    /// # Errors
    /// A file is missing, cut off or changed; the model differs; a tensor is missing or has another
    /// shape. If a tensor cannot be read, some parameters may be replaced already.
    pub fn load(&mut self, folder: &Path) -> Result<Option<(Manifest, Progress)>, EngineError> {
        config::check_same(folder, &config::read(folder)?, &self.spec)?;
        let saved = check(folder)?;
        let files = Files::open(folder)?;
        let tensors = files.tensors()?;
        let found: Vec<_> = self
            .layout
            .iter()
            .map(|(wanted, place)| find(folder, &tensors, wanted).map(|tensor| (tensor, place)))
            .collect::<Result<_, _>>()?;
        for (tensor, place) in found {
            self.put(&tensor, place)?;
        }
        Ok(saved)
    }

    fn put(&mut self, tensor: &TensorView<'_>, place: Range<usize>) -> Result<(), EngineError> {
        let kind = kind(tensor.dtype()).expect("the kind was checked when the tensor was found");
        let values = Tensor::f_from_data_size(tensor.data(), &[int(place.len())], kind)?;
        Ok(cut(self.store.parameters_mut(), place)?.f_copy_(&values)?)
    }
}

/// The safetensors files of a checkpoint, mapped into memory.
struct Files(Vec<(PathBuf, Mmap)>);

impl Files {
    fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let index = folder.join(INDEX);
        let names = if index.exists() { names(&index)? } else { vec![folder.join(SINGLE)] };
        let map = |path: PathBuf| {
            let opened = File::open(&path).and_then(|file| raw::map(&file));
            opened.map_err(file(&path)).map(|map| (path, map))
        };
        Ok(Self(names.into_iter().map(map).collect::<Result<_, _>>()?))
    }

    /// Returns all tensors by name, each with its file.
    fn tensors(&self) -> Result<BTreeMap<String, (&Path, TensorView<'_>)>, CheckpointError> {
        let mut all = BTreeMap::new();
        for (path, bytes) in &self.0 {
            let tensors = SafeTensors::deserialize(bytes).map_err(safetensors(path))?.tensors();
            all.extend(tensors.into_iter().map(|(name, tensor)| (name, (path.as_path(), tensor))));
        }
        Ok(all)
    }
}

/// Returns the files that an index names, without duplicates.
fn names(index: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let text = fs::read(index).map_err(file(index))?;
    let listed: Index = serde_json::from_slice(&text).map_err(json(index))?;
    let mut names: Vec<_> = listed.weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    names.iter().map(|name| beside(index, name)).collect()
}

fn find<'a>(
    folder: &Path,
    tensors: &BTreeMap<String, (&Path, TensorView<'a>)>,
    wanted: &TensorSpec,
) -> Result<TensorView<'a>, CheckpointError> {
    let name = &wanted.name;
    let missing = || CheckpointError::Missing { path: folder.to_owned(), name: name.clone() };
    let (path, tensor) = tensors.get(name).ok_or_else(missing)?;
    let path = path.to_path_buf();
    let name = name.clone();
    if tensor.shape() != wanted.shape {
        let found = tensor.shape().to_vec();
        let expected = wanted.shape.clone();
        return Err(CheckpointError::Shape { path, name, found, expected });
    }
    match kind(tensor.dtype()) {
        Some(_) => Ok(tensor.clone()),
        None => Err(CheckpointError::Kind { path, name, found: tensor.dtype() }),
    }
}

/// Returns libtorch's type for a safetensors type, or `None` if parameters cannot be loaded from it.
fn kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F16 => Some(Kind::Half),
        _ => None,
    }
}
