//! A model in memory: its parameters in one flat buffer, its losses and its gradients.

use crate::{
    batch::Batch,
    decoder::Decoder,
    error::EngineError,
    raw,
    start::{Place, check_denormals},
    store::{MemoryStore, cut},
};
use protocol::model::{ModelSpec, ParameterLayout};
use std::ops::Range;
use tch::{Device, Kind, TchError, Tensor};

/// The compute settings of a node. They change only speed and precision, not the computation itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The device of the model.
    pub place: Place,
    /// The number format of forward and backward passes. Parameters, gradients and moments are always f32.
    pub compute: Compute,
    /// Sequences computed at a time, at least 1. Memory grows with it. Results differ by rounding only.
    pub micro_batch: u32,
    /// CPU threads of libtorch, at least 1. With 1 thread, repeated computations give the same bytes.
    pub threads: u32,
    /// The layers that are computed again in the backward pass. It saves memory and costs time. Results
    /// have the same bits with any setting.
    pub recompute: Recompute,
}

/// The layers whose forward pass is computed again in the backward pass, instead of keeping all of its
/// intermediate results in memory. With all of them, a training computes about a third more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// No layer.
    #[default]
    None,
    /// All layers: only the inputs of the layers are kept.
    All,
    /// This number of layers, from the first one up. The backward pass reaches them last, when it has freed
    /// the results of all others.
    Layers(u32),
}

/// The number format of forward and backward passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compute {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16: halves the memory of activations, and is fast on hardware that supports it.
    Bf16,
}

impl Default for Options {
    /// Returns the defaults: one thread, f32, 8 sequences at a time, on a GPU if there is one, no layer
    /// computed twice.
    fn default() -> Self {
        Self {
            place: Place::Auto,
            compute: Compute::F32,
            micro_batch: 8,
            threads: 1,
            recompute: Recompute::None,
        }
    }
}

/// A model in memory. It belongs to one thread. Other threads reach it through [`Handle`](crate::Handle).
#[derive(Debug)]
pub struct Model {
    pub(crate) spec: ModelSpec,
    pub(crate) layout: ParameterLayout,
    pub(crate) device: Device,
    /// All parameters and moments.
    pub(crate) store: MemoryStore,
    options: Options,
    decoder: Decoder,
}

impl Model {
    /// Creates a model whose parameters are all zero, until they are set or loaded.
    ///
    /// # Errors
    /// The spec or an option is out of range, the device is not available, or memory runs out.
    pub fn new(spec: ModelSpec, options: Options) -> Result<Self, EngineError> {
        spec.check()?;
        let device = options.place.device()?;
        check_denormals()?;
        tch::set_num_threads(options.threads()?);
        let recomputed = options.recompute.layers(spec.layers)?;
        let layout = ParameterLayout::new(&spec);
        Ok(Self {
            decoder: Decoder::new(spec, recomputed, device)?,
            store: MemoryStore::new(&spec, &layout, recomputed, options.compute.kind(), device)?,
            spec,
            layout,
            device,
            options,
        })
    }

    /// Returns the model's spec.
    #[must_use]
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Returns the place of each tensor among the parameters.
    #[must_use]
    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// Returns a copy of all parameters, f32 in the order of [`ParameterLayout`].
    ///
    /// # Errors
    /// libtorch could not copy them.
    pub fn parameters(&self) -> Result<Vec<f32>, EngineError> {
        Ok(to_vec(self.store.parameters())?)
    }

    /// Returns a copy of some parameters, by their places in the [`ParameterLayout`].
    ///
    /// # Errors
    /// The places are not all within the layout, or libtorch could not copy them.
    pub fn values(&self, places: Range<usize>) -> Result<Vec<f32>, EngineError> {
        Ok(to_vec(&cut(self.store.parameters(), places)?)?)
    }

    /// Lets a function read all parameters, f32 in the order of [`ParameterLayout`]: to hash or to write
    /// them. On the CPU the function reads the parameters themselves, on a GPU a copy.
    ///
    /// # Errors
    /// libtorch could not copy them.
    pub fn read_parameters<T>(&self, f: impl FnOnce(&[f32]) -> T) -> Result<T, EngineError> {
        match raw::floats(self.store.parameters()) {
            Some(values) => Ok(f(values)),
            None => Ok(f(&self.parameters()?)),
        }
    }

    /// Sets all parameters, f32 in the order of [`ParameterLayout`].
    ///
    /// # Errors
    /// There are more or fewer values than parameters, or libtorch could not copy them.
    pub fn set_parameters(&mut self, values: &[f32]) -> Result<(), EngineError> {
        let found = values.len();
        let expected = self.layout.len();
        if found != expected {
            return Err(EngineError::Parameters { found, expected });
        }
        let parameters = self.store.parameters_mut();
        match raw::floats_mut(parameters) {
            Some(parameters) => parameters.copy_from_slice(values),
            None => parameters.f_copy_(&Tensor::f_from_slice(values)?)?,
        }
        Ok(())
    }

    /// Lets a function read and change all parameters. On a GPU it works on a copy, which is then written
    /// back.
    pub(crate) fn change_parameters<T>(&mut self, f: impl FnOnce(&mut [f32]) -> T) -> Result<T, EngineError> {
        self.change_values(0..self.layout.len(), f)
    }

    /// Lets a function read and change some parameters, by their places in the [`ParameterLayout`]. On a GPU
    /// it works on a copy of them, which is then written back.
    pub(crate) fn change_values<T>(
        &mut self,
        places: Range<usize>,
        f: impl FnOnce(&mut [f32]) -> T,
    ) -> Result<T, EngineError> {
        let mut parameters = cut(self.store.parameters_mut(), places)?;
        if let Some(values) = raw::floats_mut(&mut parameters) {
            return Ok(f(values));
        }
        let mut values = to_vec(&parameters)?;
        let result = f(&mut values);
        parameters.f_copy_(&Tensor::f_from_slice(&values)?)?;
        Ok(result)
    }

    /// Returns the logits of a batch: `[sequences, sequence, vocab]`, row-major.
    ///
    /// # Errors
    /// The batch does not fit the model, or memory runs out.
    pub fn logits(&self, batch: &Batch) -> Result<Vec<f32>, EngineError> {
        batch.check(&self.spec)?;
        let mut values = Vec::new();
        for part in batch.parts(self.micro_batch()) {
            self.decoder.logits(&self.store, &batch.tensor(part, self.device)?, |logits| {
                values.extend(to_vec::<f32>(&logits.f_to_kind(Kind::Float)?)?);
                Ok(())
            })?;
        }
        Ok(values)
    }

    /// Returns the loss of each sequence of a batch: nats per target, summed up in f64.
    ///
    /// # Errors
    /// The batch does not fit the model, or memory runs out.
    pub fn losses(&self, batch: &Batch) -> Result<Vec<f64>, EngineError> {
        batch.check(&self.spec)?;
        let mut losses = Vec::with_capacity(batch.sequences());
        for part in batch.parts(self.micro_batch()) {
            let nats = self.decoder.nats(&self.store, &batch.tensor(part, self.device)?)?;
            losses.extend(to_vec::<f64>(&nats.f_mean_dim(1, false, Kind::Double)?)?);
        }
        Ok(losses)
    }

    /// Returns the loss of a batch: the mean of its sequences' losses.
    ///
    /// # Errors
    /// The batch does not fit the model, or memory runs out.
    #[allow(clippy::cast_precision_loss)] // A batch has fewer than 2^53 sequences.
    pub fn loss(&self, batch: &Batch) -> Result<f64, EngineError> {
        let losses = self.losses(batch)?;
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    }

    /// Computes the gradient of a batch's loss, accumulated over micro-batches in the store's sums. Returns
    /// the loss.
    #[allow(clippy::cast_precision_loss)] // A batch has fewer than 2^53 targets.
    pub(crate) fn gradient(&mut self, batch: &Batch) -> Result<f64, EngineError> {
        batch.check(&self.spec)?;
        let targets = batch.targets() as f64;
        let mut nats = 0.0;
        for part in batch.parts(self.micro_batch()) {
            let tokens = batch.tensor(part, self.device)?;
            nats += self.decoder.gradient(&mut self.store, &tokens, 1.0 / targets)?;
        }
        Ok(nats / targets)
    }

    /// Returns the number of threads for the arithmetic of `codec` and `base`: the same as for libtorch.
    pub(crate) fn threads(&self) -> usize {
        self.options.threads as usize
    }

    fn micro_batch(&self) -> usize {
        self.options.micro_batch as usize
    }
}

impl Options {
    /// Returns the number of threads in libtorch's type, after it has checked all options.
    fn threads(&self) -> Result<i32, EngineError> {
        for (what, found) in [("micro_batch", self.micro_batch), ("threads", self.threads)] {
            if found == 0 {
                let expected = "at least 1";
                return Err(EngineError::Option { what, found: 0, expected });
            }
        }
        let refuse = |_| EngineError::Option {
            what: "threads",
            found: self.threads.into(),
            expected: "less than 2147483648",
        };
        i32::try_from(self.threads).map_err(refuse)
    }
}

impl Recompute {
    /// Returns the number of layers to compute again, of `layers`.
    fn layers(self, layers: u32) -> Result<usize, EngineError> {
        match self {
            Self::None => Ok(0),
            Self::All => Ok(layers as usize),
            Self::Layers(count) if count <= layers => Ok(count as usize),
            Self::Layers(count) => {
                let expected = "at most the number of layers of the model";
                Err(EngineError::Option { what: "recompute", found: count.into(), expected })
            }
        }
    }
}

impl Compute {
    fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

/// Returns the values of a tensor, row-major.
pub(crate) fn to_vec<T: tch::kind::Element + Clone + Default>(tensor: &Tensor) -> Result<Vec<T>, TchError> {
    let mut values = vec![T::default(); tensor.numel()];
    tensor.f_contiguous()?.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}
