//! A store in the memory of one device.

use super::ShardStore;
use crate::{
    adamw::{self, Moments, Step},
    layout::int,
    unit::Units,
};
use base::tensor::{TensorRole, TensorSpec};
use protocol::model::{ModelSpec, ParameterLayout};
use std::{cell::RefCell, ops::Range};
use tch::{Device, Kind, TchError, Tensor};

/// The shards of a model in the memory of one device, as flat buffers in the order of the
/// [`ParameterLayout`].
#[derive(Debug)]
pub(crate) struct MemoryStore {
    units: Units,
    tensors: Vec<Place>,
    device: Device,
    parameters: Tensor,
    /// AdamW's moments: `None` before the first inner step.
    moments: Option<Moments>,
    /// The sums of gradients, while a window is trained. One buffer for all steps: if each step allocated
    /// them between its temporary tensors, the heap would be full of gaps.
    gradients: Option<Tensor>,
    /// The tensors that have a gradient since the last step.
    has_gradient: Vec<bool>,
    /// The number type of the passes.
    kind: Kind,
    /// The converted weights of the tensors that are kept from one use to the next, until the parameters
    /// change.
    converted: RefCell<Vec<Option<Tensor>>>,
    keeps: Vec<bool>,
}

/// The place of a tensor in the flat buffers.
#[derive(Debug)]
struct Place {
    range: Range<usize>,
    shape: Vec<i64>,
    decays: bool,
}

impl MemoryStore {
    /// Creates a store whose parameters are all zero.
    ///
    /// `recomputed` is the number of layers that are computed again in the backward pass. Their weights are
    /// converted at each use. Those of other units are converted once for all uses between two steps, unless
    /// all layers are computed again: then memory counts more than time.
    pub(crate) fn new(
        spec: &ModelSpec,
        layout: &ParameterLayout,
        recomputed: usize,
        kind: Kind,
        device: Device,
    ) -> Result<Self, TchError> {
        let units = Units::new(spec, layout);
        let place = |(tensor, range): (&TensorSpec, Range<usize>)| Place {
            range,
            shape: tensor.shape.iter().map(|&size| int(size)).collect(),
            decays: tensor.role != TensorRole::Norm,
        };
        let tensors: Vec<_> = layout.iter().map(place).collect();
        let converted = 1..=recomputed; // The units of these layers.
        let keep = |unit: &usize| recomputed + 2 < units.len() && !converted.contains(unit);
        let mut keeps = vec![false; tensors.len()];
        let kept = (0..units.len()).filter(keep).flat_map(|unit| units.tensors(unit));
        kept.for_each(|&tensor| keeps[tensor] = true);
        Ok(Self {
            device,
            parameters: Tensor::f_zeros([int(layout.len())], (Kind::Float, device))?,
            moments: None,
            gradients: None,
            has_gradient: vec![false; tensors.len()],
            kind,
            converted: RefCell::new(tensors.iter().map(|_| None).collect()),
            keeps,
            units,
            tensors,
        })
    }

    /// Returns all parameters.
    pub(crate) fn parameters(&self) -> &Tensor {
        &self.parameters
    }

    /// Returns all parameters, to change them.
    pub(crate) fn parameters_mut(&mut self) -> &mut Tensor {
        self.drop_converted();
        &mut self.parameters
    }

    /// Returns AdamW's moments, or `None` before the first inner step.
    pub(crate) fn moments(&self) -> Option<&Moments> {
        self.moments.as_ref()
    }

    /// Sets AdamW's moments.
    pub(crate) fn set_moments(&mut self, moments: Moments) {
        self.moments = Some(moments);
    }

    fn drop_converted(&mut self) {
        self.converted.get_mut().iter_mut().for_each(|tensor| *tensor = None);
    }

    /// Returns a tensor's part of a flat buffer, which shares its memory.
    fn view(&self, flat: &Tensor, tensor: usize) -> Result<Tensor, TchError> {
        let Place { range, shape, .. } = &self.tensors[tensor];
        cut(flat, range.clone())?.f_view(&shape[..])
    }

    fn weight(&self, tensor: usize) -> Result<Tensor, TchError> {
        if let Some(kept) = &self.converted.borrow()[tensor] {
            return Ok(kept.shallow_clone());
        }
        let weight = self.view(&self.parameters, tensor)?.f_to_kind(self.kind)?;
        if self.keeps[tensor] {
            self.converted.borrow_mut()[tensor] = Some(weight.shallow_clone());
        }
        Ok(weight)
    }
}

impl ShardStore for MemoryStore {
    fn weights(&self, unit: usize) -> Result<Vec<Tensor>, TchError> {
        self.units.tensors(unit).iter().map(|&tensor| self.weight(tensor)).collect()
    }

    fn add_gradient(&mut self, unit: usize, gradient: Vec<Tensor>) -> Result<(), TchError> {
        let sums = match &self.gradients {
            Some(sums) => sums.shallow_clone(),
            None => self.parameters.f_empty_like()?,
        };
        for (&tensor, gradient) in self.units.tensors(unit).iter().zip(gradient) {
            let mut sum = self.view(&sums, tensor)?;
            if std::mem::replace(&mut self.has_gradient[tensor], true) {
                let _ = sum.f_add_(&gradient)?;
            } else {
                sum.f_copy_(&gradient)?;
            }
        }
        self.gradients = Some(sums);
        Ok(())
    }

    fn norm(&self) -> Result<f64, TchError> {
        let Some(sums) = &self.gradients else { return Ok(0.0) };
        let tensors = (0..self.tensors.len()).filter(|&tensor| self.has_gradient[tensor]);
        let bands: Result<Vec<_>, _> =
            tensors.map(|tensor| adamw::band_norms(&self.view(sums, tensor)?)).collect();
        adamw::norm(&bands?)
    }

    fn step(&mut self, step: Step) -> Result<(), TchError> {
        self.drop_converted();
        let mut moments = match self.moments.take() {
            Some(moments) => moments,
            None => Moments::new(self.parameters.numel(), self.device)?,
        };
        moments.steps += 1;
        let result = (0..self.units.len()).try_for_each(|unit| self.step_unit(unit, &moments, step));
        self.moments = Some(moments);
        result
    }

    fn drop_gradients(&mut self) {
        self.gradients = None;
        self.has_gradient.fill(false);
    }
}

impl MemoryStore {
    fn step_unit(&mut self, unit: usize, moments: &Moments, step: Step) -> Result<(), TchError> {
        for decays in [true, false] {
            let own = self.units.own_tensors(unit).filter(|&tensor| self.tensors[tensor].decays == decays);
            let mut parts = adamw::Parts::default();
            for tensor in own.collect::<Vec<_>>() {
                let Some(sums) = self.gradients.as_ref().filter(|_| self.has_gradient[tensor]) else {
                    continue;
                };
                self.has_gradient[tensor] = false;
                parts.gradients.push(self.view(sums, tensor)?);
                parts.parameters.push(self.view(&self.parameters, tensor)?);
                parts.first.push(self.view(&moments.first, tensor)?);
                parts.second.push(self.view(&moments.second, tensor)?);
            }
            parts.step(moments.steps, decays, step)?;
        }
        Ok(())
    }
}

/// Returns a part of a flat tensor as a view, which shares its memory.
pub(crate) fn cut(flat: &Tensor, place: Range<usize>) -> Result<Tensor, TchError> {
    flat.f_narrow(0, int(place.start), int(place.len()))
}
