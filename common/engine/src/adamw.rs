//! AdamW (Loshchilov, Hutter 2019) over flat buffers. Each step equals a step of `torch.optim.AdamW`.

use crate::layout::int;
use protocol::train::AdamW;
use std::ops::Range;
use tch::{Device, Kind, TchError, Tensor};

/// The number of values processed at a time. It limits the temporary tensors to 64 MB each.
const BLOCK: usize = 1 << 24;

/// The optimizer's state: two moving averages per parameter, and the number of steps that they include.
#[derive(Debug)]
pub(crate) struct Moments {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
    pub(crate) steps: u64,
}

/// The settings of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) optimizer: AdamW,
    /// The learning rate.
    pub(crate) rate: f64,
    /// The factor applied to gradients before anything else: less than 1 where they are clipped.
    pub(crate) scale: f64,
}

impl Moments {
    /// Creates the state before the first step.
    pub(crate) fn new(len: usize, device: Device) -> Result<Self, TchError> {
        let zeros = || Tensor::f_zeros([int(len)], (Kind::Float, device));
        Ok(Self { first: zeros()?, second: zeros()?, steps: 0 })
    }

    /// Moves the parameters by one step along the gradient. Weight decay applies to the ranges in
    /// `decayed`.
    pub(crate) fn step(
        &mut self,
        parameters: &Tensor,
        gradient: &Tensor,
        decayed: &[Range<usize>],
        step: Step,
    ) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        for place in decayed {
            let mut values = cut(parameters, place.clone())?;
            let _ = values.f_mul_scalar_(1.0 - step.rate * step.optimizer.weight_decay)?;
        }
        self.steps += 1;
        for block in blocks(parameters.numel()) {
            self.step_block(parameters, gradient, block, step)?;
        }
        Ok(())
    }

    fn step_block(
        &self,
        parameters: &Tensor,
        gradient: &Tensor,
        block: Range<usize>,
        step: Step,
    ) -> Result<(), TchError> {
        // Methods that end with `_` change a tensor and return it. Here they change a view of a
        // longer tensor.
        let AdamW { beta1, beta2, epsilon, .. } = step.optimizer;
        let correction = |beta: f64| 1.0 - beta.powf(steps(self.steps));
        let gradient = cut(gradient, block.clone())?.f_mul_scalar(step.scale)?;
        let mut first = cut(&self.first, block.clone())?;
        let mut second = cut(&self.second, block.clone())?;
        let _ = first.f_lerp_(&gradient, 1.0 - beta1)?;
        let _ = second.f_mul_scalar_(beta2)?.f_add_(&gradient.f_square()?.f_mul_scalar_(1.0 - beta2)?)?;
        let root = second.f_sqrt()?.f_div_scalar_(correction(beta2).sqrt())?.f_add_scalar_(epsilon)?;
        let change = first.f_div(&root)?.f_mul_scalar_(step.rate / correction(beta1))?;
        let _ = cut(parameters, block)?.f_sub_(&change)?;
        Ok(())
    }
}

/// Returns the norm of a flat tensor: the square root of the sum of its squares, summed up in f64
/// over blocks.
pub(crate) fn norm(flat: &Tensor) -> Result<f64, TchError> {
    let mut sum = 0.0;
    for block in blocks(flat.numel()) {
        sum += cut(flat, block)?.f_norm()?.f_double_value(&[])?.powi(2);
    }
    Ok(sum.sqrt())
}

/// Returns a part of a flat tensor as a view, which shares its memory.
pub(crate) fn cut(flat: &Tensor, place: Range<usize>) -> Result<Tensor, TchError> {
    flat.f_narrow(0, int(place.start), int(place.len()))
}

fn blocks(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(BLOCK).map(move |start| start..len.min(start + BLOCK))
}

#[allow(clippy::cast_precision_loss)] // Step counts stay below 2^53.
fn steps(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
