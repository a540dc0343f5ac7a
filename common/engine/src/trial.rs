//! Sparse trial steps: apply a step to the f32 parameters, evaluate the model, undo the step to the
//! last bit.

use crate::{error::EngineError, layout::int, model::Model};
use codec::{
    chunks::{Geometry, GeometryError},
    sparse::SparseTensor,
};
use protocol::model::ParameterLayout;
use tch::{TchError, Tensor};

/// A step along some coordinates: `parameter -= change`, rounded once for each parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseStep {
    /// Places among the flat parameters, without duplicates.
    places: Vec<i64>,
    /// The value to subtract at each place.
    changes: Vec<f32>,
}

/// The reason why numbers do not form a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    /// Lists of different lengths.
    #[error(
        "a sparse step of {places} places and {changes} changes: there must be one change for each place"
    )]
    Lengths {
        /// Number of places.
        places: usize,
        /// Number of changes.
        changes: usize,
    },
    /// A place that occurs twice, or follows a larger one.
    #[error("place {found} of a sparse step follows place {before}: places must ascend")]
    Order {
        /// The place.
        found: u64,
        /// The previous place.
        before: u64,
    },
    /// Another number of tensors than the model's.
    #[error("a sparse step has {found} tensors: the model has {expected}")]
    Tensors {
        /// Tensors given.
        found: usize,
        /// Tensors of the model.
        expected: usize,
    },
    /// A tensor with other chunks than the model's.
    #[error("tensor {0}: the chunks of the update differ from the model's")]
    Tensor(String),
    /// A tensor that cannot be divided into chunks.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// A place after the last parameter.
    #[error("place {found} of a sparse step is out of range: the model has {parameters} parameters")]
    Outside {
        /// The place.
        found: u64,
        /// Parameters of the model.
        parameters: usize,
    },
}

impl SparseStep {
    /// Creates a step that subtracts `changes` from the parameters at `places`.
    ///
    /// # Errors
    /// The places do not ascend, or the lists have different lengths.
    pub fn new(places: &[u64], changes: Vec<f32>) -> Result<Self, TrialError> {
        if places.len() != changes.len() {
            return Err(TrialError::Lengths { places: places.len(), changes: changes.len() });
        }
        if let Some(pair) = places.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(TrialError::Order { found: pair[1], before: pair[0] });
        }
        let outside = |&found: &u64| TrialError::Outside { found, parameters: usize::MAX };
        let place = |found: &u64| i64::try_from(*found).map_err(|_| outside(found));
        Ok(Self { places: places.iter().map(place).collect::<Result<_, _>>()?, changes })
    }

    /// Creates a step along the update of one miner: the outer step that would result from this
    /// update alone. `tensors` holds, for each tensor of the model in order, the sent values and the
    /// factor that clips them. The change is `value x factor x rate`, and each product is rounded.
    /// `edge` is the edge of a full chunk.
    ///
    /// # Errors
    /// The tensors do not match the model's.
    pub fn along<'a>(
        layout: &ParameterLayout,
        edge: usize,
        tensors: impl ExactSizeIterator<Item = (&'a SparseTensor, f32)>,
        rate: f32,
    ) -> Result<Self, TrialError> {
        let found = tensors.len();
        let expected = layout.iter().len();
        if found != expected {
            return Err(TrialError::Tensors { found, expected });
        }
        let mut step = Self { places: Vec::new(), changes: Vec::new() };
        for ((sent, factor), (tensor, place)) in tensors.zip(layout.iter()) {
            let geometry = Geometry::new(&tensor.shape, edge)?;
            if sent.chunks() != geometry.chunks() || sent.sent() > geometry.size() {
                return Err(TrialError::Tensor(tensor.name.clone()));
            }
            for chunk in 0..sent.chunks() {
                let origin = geometry.origin(chunk);
                sent.visit_chunk(chunk, factor, |position, value| {
                    step.places.push(int(place.start + geometry.coordinate(origin, position.into())));
                    step.changes.push(value * rate);
                });
            }
        }
        Ok(step)
    }

    /// Returns the value to subtract at each place.
    #[must_use]
    pub fn changes(&self) -> &[f32] {
        &self.changes
    }

    /// Returns the bytes that the step takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.places[..]) + size_of_val(&self.changes[..])
    }

    fn check(&self, parameters: usize) -> Result<(), TrialError> {
        match self.places.iter().find(|&&place| place >= int(parameters)) {
            Some(place) => Err(TrialError::Outside { found: place.unsigned_abs(), parameters }),
            None => Ok(()),
        }
    }
}

impl Model {
    /// Applies a step, lets a function evaluate the model, and undoes the step. Only the coordinates
    /// of the step are saved and restored, with all their bits. A coordinate whose result would not
    /// be finite stays unchanged, as in the outer step.
    ///
    /// # Errors
    /// The step does not fit the model, the function fails, or memory runs out. The step is undone in
    /// all cases.
    pub fn trial<T>(
        &mut self,
        step: &SparseStep,
        f: impl FnOnce(&Self) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        step.check(self.layout.len())?;
        let places = Tensor::f_from_slice(&step.places)?.f_to_device(self.device)?;
        let before = self.store.parameters().f_index_select(0, &places)?;
        let after = after(&before, &step.changes)?;
        let _ = self.store.parameters_mut().f_index_copy_(0, &places, &after)?;
        let result = f(self);
        let _ = self.store.parameters_mut().f_index_copy_(0, &places, &before)?;
        result
    }
}

fn after(before: &Tensor, changes: &[f32]) -> Result<Tensor, TchError> {
    let changes = Tensor::f_from_slice(changes)?.f_to_device(before.device())?;
    let moved = before.f_sub(&changes)?;
    moved.f_where_self(&moved.f_isfinite()?, before)
}
