//! Rotary positions (Su et al. 2021), arranged as in Hugging Face's Llama: the first half of a head
//! is paired with the second half.

use protocol::model::ModelSpec;
use tch::{Device, Kind, TchError, Tensor};

/// Cosines and sines for all positions of a model: `[sequence, 1, head_dim / 2]`.
#[derive(Debug)]
pub(crate) struct Rope {
    cos: Tensor,
    sin: Tensor,
    minus_sin: Tensor,
}

impl Rope {
    /// Computes the tables in f32, with the operations of `transformers`.
    pub(crate) fn new(spec: &ModelSpec, device: Device) -> Result<Self, TchError> {
        let float = (Kind::Float, Device::Cpu);
        let exponents = Tensor::f_arange_start_step(0, i64::from(spec.head_dim), 2, float)?
            .f_div_scalar(f64::from(spec.head_dim))?;
        let frequencies = Tensor::f_pow_scalar(spec.rope_theta, &exponents)?.f_reciprocal()?;
        let positions = Tensor::f_arange(i64::from(spec.sequence), float)?;
        let angles = positions.f_outer(&frequencies)?.f_unsqueeze(1)?.f_to_device(device)?;
        let sin = angles.f_sin()?;
        Ok(Self { cos: angles.f_cos()?, minus_sin: sin.f_neg()?, sin })
    }

    /// Returns the tables for the first `length` positions, in the number type of the pass.
    pub(crate) fn first(&self, length: i64, kind: Kind) -> Result<Self, TchError> {
        let cut = |table: &Tensor| table.f_narrow(0, 0, length)?.f_to_kind(kind);
        Ok(Self { cos: cut(&self.cos)?, sin: cut(&self.sin)?, minus_sin: cut(&self.minus_sin)? })
    }

    /// Rotates queries or keys: `[batch, length, heads, head_dim]`.
    pub(crate) fn turn(&self, heads: &Tensor) -> Result<Tensor, TchError> {
        self.rotate(heads, &self.minus_sin, &self.sin)
    }

    /// Rotates the other way: the gradient of [`Self::turn`] by its input, for the gradient by its output.
    pub(crate) fn turn_back(&self, heads: &Tensor) -> Result<Tensor, TchError> {
        self.rotate(heads, &self.sin, &self.minus_sin)
    }

    /// Multiplies both halves of all heads by the cosine, and adds the other half times a table.
    fn rotate(&self, heads: &Tensor, to_first: &Tensor, to_second: &Tensor) -> Result<Tensor, TchError> {
        let half = heads.size().last().copied().unwrap_or_default() / 2;
        let halves = |tensor: &Tensor| {
            Ok::<_, TchError>([tensor.f_narrow(-1, 0, half)?, tensor.f_narrow(-1, half, half)?])
        };
        let turned = Tensor::f_empty(heads.size(), (heads.kind(), heads.device()))?;
        let [first, second] = halves(heads)?;
        let [to_first_half, to_second_half] = halves(&turned)?;
        let _ = first.f_mul_out(&to_first_half, &self.cos)?.f_addcmul_(&second, to_first)?;
        let _ = second.f_mul_out(&to_second_half, &self.cos)?.f_addcmul_(&first, to_second)?;
        Ok(turned)
    }
}
