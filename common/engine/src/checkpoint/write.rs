//! Saves parameters to a checkpoint folder.

use super::{CONFIG, CheckpointError, INDEX, config, file, manifest, safetensors};
use crate::{error::EngineError, model::Model};
use ::safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use base::tensor::TensorSpec;
use protocol::{
    checkpoint::{MANIFEST, Manifest, PROGRESS},
    model::ParameterLayout,
    progress::Progress,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    ops::Range,
    path::Path,
};

/// The contents of `model.safetensors.index.json`.
#[derive(Serialize)]
struct Index<'a> {
    metadata: Size,
    weight_map: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Size {
    total_size: usize,
}

type Tensors<'a> = Vec<(&'a TensorSpec, Range<usize>)>;

impl Model {
    /// Saves all parameters to a new folder: parameter files of about `part_bytes` each, the
    /// progress, and the manifest.
    ///
    /// # Errors
    /// The folder exists already or cannot be written. After a write error, no folder of this name exists.
    pub fn save(
        &self,
        folder: &Path,
        progress: &Progress,
        part_bytes: usize,
    ) -> Result<Manifest, EngineError> {
        let spec = self.spec;
        let layout = self.layout.clone();
        let write = |values: &[f32]| {
            into_place(folder, |partial| {
                let mut files = write_parts(partial, &layout, values, part_bytes)?;
                write_file(&partial.join(CONFIG), &config::bytes(&spec))?;
                write_file(&partial.join(PROGRESS), &progress.to_bytes())?;
                files.extend([CONFIG, PROGRESS].map(str::to_owned));
                let manifest = manifest::make(partial, progress, files)?;
                write_file(&partial.join(MANIFEST), &manifest.to_bytes())?;
                Ok(manifest)
            })
        };
        Ok(self.read_parameters(write)??)
    }
}

/// Lets `write` fill a folder with a temporary name, and renames the folder when all of it is on the disk.
fn into_place<T>(
    folder: &Path,
    write: impl FnOnce(&Path) -> Result<T, CheckpointError>,
) -> Result<T, CheckpointError> {
    if folder.exists() {
        return Err(CheckpointError::Exists(folder.to_owned()));
    }
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = folder.with_file_name(name);
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(file(&partial))?; // A killed process left it.
    }
    fs::create_dir_all(&partial).map_err(file(&partial))?;
    let result = write(&partial).and_then(|result| {
        sync(&partial)?;
        fs::rename(&partial, folder).map_err(file(folder))?;
        Ok(result)
    });
    if result.is_err() {
        let _ = fs::remove_dir_all(&partial); // The first error is the one to report.
    }
    result
}

/// Writes the parameters and the index of their files, and returns the names of all files.
fn write_parts(
    folder: &Path,
    layout: &ParameterLayout,
    values: &[f32],
    part_bytes: usize,
) -> Result<Vec<String>, CheckpointError> {
    let parts = parts(layout, part_bytes);
    let name = |number: usize| format!("model-{:05}-of-{:05}.safetensors", number + 1, parts.len());
    let mut names: Vec<_> = (0..parts.len()).map(name).collect();
    let mut weight_map = BTreeMap::new();
    for (name, part) in names.iter().zip(&parts) {
        write_part(&folder.join(name), part, values)?;
        weight_map.extend(part.iter().map(|(tensor, _)| (tensor.name.as_str(), name.as_str())));
    }
    let index = Index { metadata: Size { total_size: size_of_val(values) }, weight_map };
    let index = serde_json::to_vec_pretty(&index).expect("texts and numbers are JSON");
    write_file(&folder.join(INDEX), &index)?;
    names.push(INDEX.to_owned());
    Ok(names)
}

/// Returns the tensors of each file, in order. A file ends before it would exceed its size.
fn parts(layout: &ParameterLayout, part_bytes: usize) -> Vec<Tensors<'_>> {
    let mut parts: Vec<Tensors<'_>> = Vec::new();
    let mut size = 0;
    for (tensor, place) in layout.iter() {
        let bytes = place.len() * size_of::<f32>();
        match parts.last_mut() {
            Some(part) if size + bytes <= part_bytes => part.push((tensor, place)),
            _ => {
                parts.push(vec![(tensor, place)]);
                size = 0;
            }
        }
        size += bytes;
    }
    parts
}

fn write_part(path: &Path, part: &Tensors<'_>, values: &[f32]) -> Result<(), CheckpointError> {
    let view = |(tensor, place): &(&TensorSpec, Range<usize>)| {
        let bytes = bytemuck::cast_slice(&values[place.clone()]);
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(safetensors(path))?;
        Ok((tensor.name.clone(), view))
    };
    let views = part.iter().map(view).collect::<Result<Vec<_>, CheckpointError>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]); // For older `transformers`.
    serialize_to_file(views, Some(metadata), path).map_err(safetensors(path))?;
    sync(path)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    fs::write(path, bytes).map_err(file(path))?;
    sync(path)
}

/// Waits until the contents of a file or folder are on the disk.
fn sync(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|opened| opened.sync_all()).map_err(file(path))
}
