//! A sparse step on trial: applied to the f32 parameters, looked at, and undone to the last bit.

use crate::{error::EngineError, layout::int, model::Model};
use codec::{
    chunks::{Geometry, GeometryError},
    sparse::SparseTensor,
};
use protocol::model::Layout;
use tch::{TchError, Tensor};

/// A step along some coordinates: `parameter -= change`, one rounding each.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseStep {
    /// Places among the flat parameters, each once.
    places: Vec<i64>,
    /// What is taken away there.
    changes: Vec<f32>,
}

/// Why numbers are no step.
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
    /// A place that comes twice, or before a smaller one.
    #[error("place {found} of a sparse step follows place {before}: places must ascend")]
    Order {
        /// The place.
        found: u64,
        /// The one before it.
        before: u64,
    },
    /// Another number of tensors than the model's.
    #[error("a sparse step of {found} tensors: the model has {expected}")]
    Tensors {
        /// Tensors given.
        found: usize,
        /// Tensors of the model.
        expected: usize,
    },
    /// A tensor that was cut into other chunks.
    #[error("what was sent of {0} is not cut into chunks as the model's tensor is")]
    Tensor(String),
    /// A tensor that cannot be cut into chunks.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// A place behind the last parameter.
    #[error("place {found} of a sparse step: the model has {parameters} parameters")]
    Outside {
        /// The place.
        found: u64,
        /// Parameters of the model.
        parameters: usize,
    },
}

impl SparseStep {
    /// A step that takes `changes` away from the parameters at `places`.
    ///
    /// # Errors
    /// The places do not ascend, or there are not as many changes.
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

    /// A step along the update of one miner, as the outer step would make with it alone: for each tensor of the model, in
    /// order, what was sent and the factor that clips it; `value x factor x rate`, each product rounded. `edge` is the
    /// edge of a full chunk.
    ///
    /// # Errors
    /// The tensors are not those of the model.
    pub fn along<'a>(
        layout: &Layout,
        edge: usize,
        tensors: impl ExactSizeIterator<Item = (&'a SparseTensor, f32)>,
        rate: f32,
    ) -> Result<Self, TrialError> {
        let (found, expected) = (tensors.len(), layout.iter().len());
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

    fn check(&self, parameters: usize) -> Result<(), TrialError> {
        match self.places.iter().find(|&&place| place >= int(parameters)) {
            Some(place) => Err(TrialError::Outside { found: place.unsigned_abs(), parameters }),
            None => Ok(()),
        }
    }
}

impl Model {
    /// Makes a step, lets a function look at the model, and undoes the step: only the coordinates that it touches are
    /// saved and put back, with all their bits. A coordinate whose result would not be finite is left as it is, as in
    /// the outer step.
    ///
    /// # Errors
    /// The step does not fit the model, the function fails, or there is no memory. The step is undone then as well.
    pub fn trial<T>(
        &mut self,
        step: &SparseStep,
        f: impl FnOnce(&Self) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        step.check(self.layout.len())?;
        let places = Tensor::f_from_slice(&step.places)?.f_to_device(self.device)?;
        let before = self.parameters.f_index_select(0, &places)?;
        let after = after(&before, &step.changes)?;
        let _undone = self.parameters.f_index_copy_(0, &places, &after)?;
        let result = f(self);
        let _undone = self.parameters.f_index_copy_(0, &places, &before)?;
        result
    }
}

fn after(before: &Tensor, changes: &[f32]) -> Result<Tensor, TchError> {
    let changes = Tensor::f_from_slice(changes)?.f_to_device(before.device())?;
    let moved = before.f_sub(&changes)?;
    moved.f_where_self(&moved.f_isfinite()?, before)
}
