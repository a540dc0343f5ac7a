//! The errors of a node, and the exit code of each.

use crate::{BucketError, ConfigError, FileError, JournalError, RunError, events::EventsError};
use base::{
    Exit, Hotkey, Netuid, Window,
    digest::{ObjectHash, State, StateRoot},
};
use chain::{
    BlocksError,
    error::{ConnectError, ReadError},
};
use engine::EngineError;
use exchange::{AnnounceError, ExchangeError, FetchError, OwnBucketError};
use protocol::{clock::ClockError, history::HistoryError, run_spec::LiveProblem};

/// An error that stops a node. [`exit`](Self::exit) is the exit code of its program.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A shutdown was requested.
    #[error("the node is being stopped")]
    Shutdown,
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The run or its data cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file of the node's own cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Events cannot be written.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// Metrics cannot be served.
    #[error("cannot use the setting node.metrics")]
    Metrics(#[from] telemetry::EndpointError),
    /// No endpoint of the chain can be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The chain cannot be read.
    #[error(transparent)]
    Chain(Box<ExchangeError>),
    /// The chain can no longer be followed.
    #[error(transparent)]
    Blocks(Box<BlocksError>),
    /// The run does not fit the chain in its present state.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Live(Vec<LiveProblem>),
    /// The hotkey has no uid.
    #[error(
        "hotkey {hotkey} is not registered on subnet {netuid}: register it with `{program} register --hotkey {name} \
         --max-price TAO`"
    )]
    NotRegistered {
        /// The hotkey.
        hotkey: Hotkey,
        /// The subnet.
        netuid: Netuid,
        /// The program.
        program: crate::NodeRole,
        /// The hotkey's name in the wallet.
        name: String,
    },
    /// The node's own bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The node's own bucket did not accept an object.
    #[error(transparent)]
    OwnBucket(#[from] OwnBucketError),
    /// The chain did not accept an announcement.
    #[error(transparent)]
    Announce(Box<AnnounceError>),
    /// The model cannot compute.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// The initial parameters differ from the run's.
    #[error(
        "the initial parameters have the state root {found}, the run spec says {expected}: the spec's model or seed was \
         changed after its launch, or this machine computes otherwise than others"
    )]
    Initial {
        /// The root in the run spec.
        expected: StateRoot,
        /// The root of the parameters made here.
        found: StateRoot,
    },
    /// The state is not the stake majority's: updates trained on it are of no use.
    #[error("window {window}: this node has state {ours}, the stake majority has {majority}")]
    Diverged {
        /// The window.
        window: Window,
        /// The node's state at its start.
        ours: State,
        /// The majority's state.
        majority: State,
    },
    /// An accepted object cannot be downloaded. The window cannot be applied, and a part of it never is.
    #[error("window {window}: cannot download the accepted object {object}")]
    Unavailable {
        /// The window.
        window: Window,
        /// The object.
        object: ObjectHash,
        /// The error of the last attempt.
        source: Box<FetchError>,
    },
    /// The chain's nodes have forgotten the states that a window's decision needs, and no validator has
    /// its record.
    #[error(
        "window {0}: the chain's nodes no longer have its votes, and no validator has its record: name an \
         archive node (chain.archive), or wait for a checkpoint"
    )]
    Forgotten(Window),
    /// An earlier change of the shared state failed half-way: the parameters belong to no known state.
    #[error("window {0}: the shared state is torn, since its last change failed; it must be loaded again")]
    Torn(Window),
    /// The window is not the next one.
    #[error(transparent)]
    Order(#[from] HistoryError),
    /// The run has no such window.
    #[error(transparent)]
    Clock(#[from] ClockError),
}

impl NodeError {
    /// Checks whether the node must get the shared state from elsewhere, with
    /// [`Node::resync`](crate::Node::resync).
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Diverged { .. } | Self::Unavailable { .. } | Self::Forgotten(_) | Self::Torn(_))
    }

    /// Checks whether the chain's nodes have forgotten the state that was asked for.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        matches!(self, Self::Chain(error) if error.is_pruned())
    }

    /// Checks whether the chain's node only limits requests, or is overloaded: the same helps after a pause.
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            Self::Chain(error) => matches!(&**error, ExchangeError::Read(error) if error.is_busy()),
            Self::Announce(error) => error.is_busy(),
            _ => false,
        }
    }

    /// Returns the exit code of the program.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Shutdown => Exit::Good,
            Self::Config(_) | Self::Metrics(_) => Exit::Usage,
            Self::Run(error) => error.exit(),
            Self::Connect(error) => chain_commands::connect_exit(error),
            Self::Chain(error) => chain_exit(error),
            Self::Blocks(error) => blocks_exit(error),
            Self::Live(problems) => live_exit(problems),
            Self::NotRegistered { .. } => Exit::NotPermitted,
            Self::Bucket(error) => error.exit(),
            Self::OwnBucket(error) => crate::bucket::storage_exit(error.storage()),
            Self::Announce(error) => announce_exit(error),
            Self::Initial { .. } | Self::Diverged { .. } => Exit::Disagreement,
            Self::Unavailable { .. } | Self::Forgotten(_) => Exit::Unreachable,
            Self::Journal(_)
            | Self::File(_)
            | Self::Events(_)
            | Self::Engine(_)
            | Self::Torn(_)
            | Self::Order(_)
            | Self::Clock(_) => Exit::Failed,
        }
    }
}

fn chain_exit(error: &ExchangeError) -> Exit {
    match error {
        ExchangeError::Read(error) => chain_commands::read_exit(error),
        ExchangeError::NotFinal { .. } => Exit::Unreachable,
        ExchangeError::Snapshot(_) => Exit::Disagreement,
        ExchangeError::Assignment(_) => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn blocks_exit(error: &BlocksError) -> Exit {
    match error {
        BlocksError::Forked { .. } => Exit::Disagreement,
        BlocksError::Read { source, .. } => chain_commands::read_exit(source),
        BlocksError::Silent { .. } => Exit::Unreachable,
        BlocksError::Stopped { .. } => Exit::Good,
    }
}

/// Returns the exit code of a run that does not fit. Another chain, subnet or run is an error of the
/// configuration. A subnet without voters is not.
fn live_exit(problems: &[LiveProblem]) -> Exit {
    let is_permit = |problem: &LiveProblem| matches!(problem, LiveProblem::NoPermits(_));
    if problems.iter().all(is_permit) { Exit::NotPermitted } else { Exit::Usage }
}

fn announce_exit(error: &AnnounceError) -> Exit {
    match error {
        AnnounceError::Read(error) => chain_commands::read_exit(error),
        AnnounceError::Foreign(_) | AnnounceError::Fields(_) => Exit::Usage,
        AnnounceError::Commit(error) if error.is_retryable() || error.is_unknown() => Exit::Unreachable,
        AnnounceError::Commit(_) => Exit::NotPermitted,
    }
}

impl From<ExchangeError> for NodeError {
    fn from(error: ExchangeError) -> Self {
        Self::Chain(Box::new(error))
    }
}

impl From<ReadError> for NodeError {
    fn from(error: ReadError) -> Self {
        ExchangeError::from(error).into()
    }
}

impl From<BlocksError> for NodeError {
    fn from(error: BlocksError) -> Self {
        match error {
            BlocksError::Stopped { .. } => Self::Shutdown,
            error => Self::Blocks(Box::new(error)),
        }
    }
}

impl From<AnnounceError> for NodeError {
    fn from(error: AnnounceError) -> Self {
        Self::Announce(Box::new(error))
    }
}

impl From<EngineError> for NodeError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}
