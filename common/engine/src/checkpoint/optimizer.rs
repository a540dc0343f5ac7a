//! The file of AdamW's moments. With it and the shared parameters, a miner continues after a restart.

use super::{CheckpointError, file, safetensors};
use crate::{
    adamw::Moments,
    error::EngineError,
    model::{Model, to_vec},
    raw,
};
use ::safetensors::{Dtype, SafeTensors, serialize_to_file, tensor::TensorView};
use std::{
    fs::{self, File},
    path::Path,
};
use tch::Tensor;

const NAMES: [&str; 2] = ["adamw.first", "adamw.second"];
const STEPS: &str = "adamw.steps";

impl Model {
    /// Saves AdamW's moments to a file, which it replaces atomically. Returns `false` and writes
    /// nothing before the first step.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_moments(&self, path: &Path) -> Result<bool, EngineError> {
        let Some(moments) = self.store.moments() else { return Ok(false) };
        let first = to_vec::<f32>(&moments.first)?;
        let second = to_vec::<f32>(&moments.second)?;
        Ok(write(path, [&first, &second], moments.steps)?)
    }

    /// Loads AdamW's moments from a file.
    ///
    /// # Errors
    /// The file is missing, cut off, or of another model.
    pub fn load_moments(&mut self, path: &Path) -> Result<(), EngineError> {
        let bytes = File::open(path).and_then(|file| raw::map(&file)).map_err(file(path))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(safetensors(path))?;
        let [first, second] = NAMES;
        let first = values(path, &tensors, first, self.layout.len())?;
        let second = values(path, &tensors, second, self.layout.len())?;
        let steps = find(path, &tensors, STEPS, Dtype::U64, 1)?;
        let steps = u64::from_le_bytes(steps.try_into().expect("one u64 has 8 bytes"));
        let tensor = |values: Vec<f32>| Tensor::f_from_slice(&values)?.f_to_device(self.device);
        self.store.set_moments(Moments { first: tensor(first)?, second: tensor(second)?, steps });
        Ok(())
    }
}

fn write(path: &Path, values: [&[f32]; 2], steps: u64) -> Result<bool, CheckpointError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let steps = steps.to_le_bytes();
    let mut views = Vec::new();
    for (name, values) in NAMES.into_iter().zip(values) {
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values));
        views.push((name, view.map_err(safetensors(path))?));
    }
    views.push((STEPS, TensorView::new(Dtype::U64, vec![1], &steps).map_err(safetensors(path))?));
    serialize_to_file(views, None, &partial).map_err(safetensors(path))?;
    File::open(&partial).and_then(|opened| opened.sync_all()).map_err(file(&partial))?;
    fs::rename(&partial, path).map_err(file(path))?;
    Ok(true)
}

fn values(
    path: &Path,
    tensors: &SafeTensors<'_>,
    name: &str,
    len: usize,
) -> Result<Vec<f32>, CheckpointError> {
    let bytes = find(path, tensors, name, Dtype::F32, len)?;
    Ok(bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect())
}

/// Returns the bytes of a tensor, after it has checked type and length.
fn find<'a>(
    path: &Path,
    tensors: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    len: usize,
) -> Result<&'a [u8], CheckpointError> {
    let path = path.to_owned();
    let name = name.to_owned();
    let Ok(tensor) = tensors.tensor(&name) else { return Err(CheckpointError::Missing { path, name }) };
    if tensor.dtype() != dtype {
        return Err(CheckpointError::Kind { path, name, found: tensor.dtype() });
    }
    if tensor.shape() != [len] {
        return Err(CheckpointError::Shape {
            path,
            name,
            found: tensor.shape().to_vec(),
            expected: vec![len],
        });
    }
    Ok(tensor.data())
}
