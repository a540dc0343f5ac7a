//! A model in memory: its parameters in one flat buffer, its losses and its gradients.

use crate::{
    adamw::Moments,
    batch::Batch,
    error::EngineError,
    layout::{self, int},
    llama::{Llama, nats},
    raw,
    start::{Place, check_denormals},
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
    /// Returns the defaults: one thread, f32, 8 sequences at a time, on a GPU if there is one.
    fn default() -> Self {
        Self { place: Place::Auto, compute: Compute::F32, micro_batch: 8, threads: 1 }
    }
}

/// A model in memory. It belongs to one thread. Other threads reach it through [`Handle`](crate::Handle).
#[derive(Debug)]
pub struct Model {
    pub(crate) spec: ModelSpec,
    pub(crate) layout: ParameterLayout,
    pub(crate) device: Device,
    /// All parameters, f32, in the order of the layout.
    pub(crate) parameters: Tensor,
    /// AdamW's moments: `None` before the first inner step.
    pub(crate) moments: Option<Moments>,
    options: Options,
    llama: Llama,
    sizes: Vec<i64>,
    shapes: Vec<Vec<i64>>,
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
        let layout = ParameterLayout::new(&spec);
        Ok(Self {
            llama: Llama::new(spec, &layout, device)?,
            parameters: Tensor::f_zeros([int(layout.len())], (Kind::Float, device))?,
            moments: None,
            sizes: layout::sizes(&layout),
            shapes: layout::shapes(&layout),
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
        Ok(to_vec(&self.parameters)?)
    }

    /// Returns a copy of some parameters, by their places in the [`ParameterLayout`].
    ///
    /// # Errors
    /// The places are not all within the layout, or libtorch could not copy them.
    pub fn values(&self, places: Range<usize>) -> Result<Vec<f32>, EngineError> {
        Ok(to_vec(&self.parameters.f_narrow(0, int(places.start), int(places.len()))?)?)
    }

    /// Lets a function read all parameters, f32 in the order of [`ParameterLayout`]: to hash or to write
    /// them. On the CPU the function reads the parameters themselves, on a GPU a copy.
    ///
    /// # Errors
    /// libtorch could not copy them.
    pub fn read_parameters<T>(&self, f: impl FnOnce(&[f32]) -> T) -> Result<T, EngineError> {
        match raw::floats(&self.parameters) {
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
        match raw::floats_mut(&mut self.parameters) {
            Some(parameters) => parameters.copy_from_slice(values),
            None => self.parameters.f_copy_(&Tensor::f_from_slice(values)?)?,
        }
        Ok(())
    }

    /// Lets a function read and change all parameters. On a GPU it works on a copy, which is then written
    /// back.
    pub(crate) fn change_parameters<T>(&mut self, f: impl FnOnce(&mut [f32]) -> T) -> Result<T, EngineError> {
        if let Some(values) = raw::floats_mut(&mut self.parameters) {
            return Ok(f(values));
        }
        let mut values = self.parameters()?;
        let result = f(&mut values);
        self.parameters.f_copy_(&Tensor::f_from_slice(&values)?)?;
        Ok(result)
    }

    /// Returns the logits of a batch: `[sequences, sequence, vocab]`, row-major.
    ///
    /// # Errors
    /// The batch does not fit the model, or memory runs out.
    pub fn logits(&self, batch: &Batch) -> Result<Vec<f32>, EngineError> {
        batch.check(&self.spec)?;
        let _guard = tch::no_grad_guard();
        let weights = self.weights(&self.parameters)?;
        let mut values = Vec::new();
        for part in batch.parts(self.micro_batch()) {
            let logits = self.llama.logits(&weights, &batch.tensor(part, self.device)?)?;
            values.extend(to_vec::<f32>(&logits.f_to_kind(Kind::Float)?)?);
        }
        Ok(values)
    }

    /// Returns the loss of each sequence of a batch: nats per target, summed up in f64.
    ///
    /// # Errors
    /// The batch does not fit the model, or memory runs out.
    pub fn losses(&self, batch: &Batch) -> Result<Vec<f64>, EngineError> {
        batch.check(&self.spec)?;
        let _guard = tch::no_grad_guard();
        let weights = self.weights(&self.parameters)?;
        let mut losses = Vec::with_capacity(batch.sequences());
        for part in batch.parts(self.micro_batch()) {
            let nats = self.nats(&weights, &batch.tensor(part, self.device)?)?;
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

    /// Returns the loss of a batch and its gradient, accumulated over micro-batches. The gradient is
    /// flat, f32, on the model's device.
    pub(crate) fn gradient(&self, batch: &Batch) -> Result<(f64, Tensor), EngineError> {
        batch.check(&self.spec)?;
        let leaf = self.parameters.f_detach()?.f_set_requires_grad(true)?;
        let mut sum: Option<Tensor> = None;
        let mut nats = 0.0;
        for part in batch.parts(self.micro_batch()) {
            // All weights are one split of one leaf. The backward pass then writes all gradients into
            // one buffer at once.
            let weights = self.weights(&leaf)?;
            let part = self.nats(&weights, &batch.tensor(part, self.device)?)?.f_sum(Kind::Float)?;
            let loss = part.f_div_scalar(int(batch.targets()))?;
            let gradient = Tensor::f_run_backward(&[&loss], &[&leaf], false, false)?.remove(0);
            nats += part.f_double_value(&[])?;
            sum = Some(match sum {
                None => gradient,
                Some(mut sum) => sum.f_add_(&gradient)?,
            });
        }
        #[allow(clippy::cast_precision_loss)] // A batch has fewer than 2^53 targets.
        let loss = nats / batch.targets() as f64;
        Ok((loss, sum.expect("a batch has at least one sequence")))
    }

    /// Returns the cross-entropy of all tokens after the first: `[batch, length]` of tokens to
    /// `[batch, length - 1]` of nats.
    fn nats(&self, weights: &[Tensor], tokens: &Tensor) -> Result<Tensor, TchError> {
        let (_, length) = tokens.size2()?;
        let logits = self.llama.logits(weights, &tokens.f_narrow(1, 0, length - 1)?)?;
        nats(&logits, &tokens.f_narrow(1, 1, length - 1)?)
    }

    /// Returns all tensors as views of a flat buffer, converted to the number format of the passes.
    fn weights(&self, flat: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let flat = flat.f_to_kind(self.options.compute.kind())?;
        let parts = flat.f_split_with_sizes(&self.sizes[..], 0)?;
        parts.iter().zip(&self.shapes).map(|(part, shape)| part.f_reshape(&shape[..])).collect()
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
