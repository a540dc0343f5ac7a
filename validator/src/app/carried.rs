//! The values of a window that the state machine carries for the driver.

use crate::fetched_window::{FetchedWindow, Measured};
use base::NeuronId;
use protocol::{
    acceptance::Decision,
    machine::validator::{ValidatorAction, ValidatorEvent, WindowValues},
};
use std::{collections::BTreeSet, fmt, ops::Deref, sync::Arc};

/// The driver's values of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values;

impl WindowValues for Values {
    type Fetched = Carried<FetchedWindow>;
    type Good = Carried<BTreeSet<NeuronId>>;
    type Measured = Carried<Measured>;
    type Decision = Carried<Decision>;
    type Applied = Carried<Decision>;
}

pub(super) type Action = ValidatorAction<Values>;
pub(super) type Event = ValidatorEvent<Values>;

/// A shared value. Logs print actions and events, so its debug form leaves the contents out.
pub(super) struct Carried<T>(Arc<T>);

impl<T> Clone for Carried<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Carried<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}

impl<T> Deref for Carried<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Carried<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}
