//! A sparse step on trial: applied to the f32 parameters, looked at, and undone to the last bit.

use crate::{error::EngineError, layout::int, model::Model};
use tch::{TchError, Tensor};

/// A step along some coordinates: `parameter -= change`, one rounding each.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseStep {
    /// Places among the flat parameters, ascending.
    places: Vec<i64>,
    /// What is taken away there.
    changes: Vec<f32>,
}

/// Why numbers are no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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

    fn check(&self, parameters: usize) -> Result<(), TrialError> {
        match self.places.last() {
            Some(&last) if last >= int(parameters) => {
                Err(TrialError::Outside { found: last.unsigned_abs(), parameters })
            }
            _ => Ok(()),
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
