//! Rotary positions (Su et al. 2021), arranged as in Hugging Face's Llama: the first half of a head
//! is paired with the second half.

use protocol::model::ModelSpec;
use tch::{Device, Kind, TchError, Tensor};

/// Cosines and sines for all positions of a model: `[sequence, head_dim]`, f32.
#[derive(Debug)]
pub(crate) struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// Computes the tables in f32, with the operations of `transformers`.
    pub(crate) fn new(spec: &ModelSpec, device: Device) -> Result<Self, TchError> {
        let float = (Kind::Float, Device::Cpu);
        let exponents = Tensor::f_arange_start_step(0, i64::from(spec.head_dim), 2, float)?
            .f_div_scalar(f64::from(spec.head_dim))?;
        let frequencies = Tensor::f_pow_scalar(spec.rope_theta, &exponents)?.f_reciprocal()?;
        let positions = Tensor::f_arange(i64::from(spec.sequence), float)?;
        let angles = positions.f_outer(&frequencies)?;
        let angles = Tensor::f_cat(&[&angles, &angles], -1)?.f_to_device(device)?;
        Ok(Self { cos: angles.f_cos()?, sin: angles.f_sin()? })
    }

    /// Returns the tables for the first `length` positions, in the number type of the pass.
    pub(crate) fn first(&self, length: i64, kind: Kind) -> Result<Self, TchError> {
        let cut = |table: &Tensor| table.f_narrow(0, 0, length)?.f_to_kind(kind);
        Ok(Self { cos: cut(&self.cos)?, sin: cut(&self.sin)? })
    }

    /// Rotates queries or keys: `[batch, heads, length, head_dim]`.
    pub(crate) fn turn(&self, heads: &Tensor) -> Result<Tensor, TchError> {
        let halves = heads.f_chunk(2, -1)?;
        let [first, second] = &halves[..] else {
            return Err(TchError::Shape(format!("{} halves of a head", halves.len())));
        };
        let across = Tensor::f_cat(&[&second.f_neg()?, first], -1)?;
        heads.f_mul(&self.cos)?.f_add(&across.f_mul(&self.sin)?)
    }
}
