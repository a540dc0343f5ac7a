//! [`Unknown`]: the reason why an audit cannot know a fact.

use super::objects::Missing;
use crate::AuditError;
use base::{
    Height, Uid, Window,
    digest::{ObjectHash, StateRoot},
};
use codec::aggregate::AggregateError;
use protocol::{acceptance::CannotDecide, history::HistoryError};
use std::sync::Arc;

/// The reason why an audit cannot know a fact. The rest of the audit goes on.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unknown {
    #[error(transparent)]
    Read(Arc<AuditError>),
    #[error(transparent)]
    Undecided(#[from] CannotDecide),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("the initial parameters have the state root {found}, but the run spec has {expected}")]
    Initial { expected: StateRoot, found: StateRoot },
    #[error("the decision on window {window} is unknown")]
    Window { window: Window, source: Arc<Unknown> },
    #[error("cannot compute the outer step of window {window}")]
    Step { window: Window, source: Arc<StepError> },
    #[error(
        "the weights committed in block {height} are not revealed yet: they can be from block {reveal} on"
    )]
    Hidden { height: Height, reveal: Height },
    #[error("the chain shows no weights")]
    NoWeights,
    #[error("cannot read the weights of uid {uid} in block {height}")]
    Weights { uid: Uid, height: Height },
}

/// The reason why an outer step cannot be computed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("cannot use the object {object}")]
    Object { object: ObjectHash, source: Missing },
    #[error(transparent)]
    Aggregate(Arc<AggregateError>),
}
