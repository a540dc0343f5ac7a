//! Why a node cannot go on, and with which code its program ends.

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

/// Why a node cannot go on. [`exit`](Self::exit) is the code that its program ends with.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Somebody asked it to end.
    #[error("the node is being stopped")]
    Shutdown,
    /// What the operator says makes no configuration.
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
    #[error("node.metrics: {0}")]
    Metrics(#[from] telemetry::EndpointError),
    /// There is no connection to the chain.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The chain does not tell.
    #[error(transparent)]
    Chain(Box<ExchangeError>),
    /// The chain cannot be followed any more.
    #[error(transparent)]
    Blocks(Box<BlocksError>),
    /// The run does not fit the chain as it is now.
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
    /// The node's own bucket did not take an object.
    #[error(transparent)]
    OwnBucket(#[from] OwnBucketError),
    /// The chain did not take an announcement.
    #[error(transparent)]
    Announce(Box<AnnounceError>),
    /// The model cannot compute.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// The initial parameters are others than the run's.
    #[error(
        "the initial parameters have the state root {found}, the run spec says {expected}: the spec's model or seed was \
         changed after its launch, or this machine computes otherwise than others"
    )]
    Initial {
        /// The run's.
        expected: StateRoot,
        /// Those made here.
        found: StateRoot,
    },
    /// The state is not the stake majority's: what is trained on it is of no use.
    #[error("window {window}: this node has state {ours}, the stake majority has {majority}")]
    Diverged {
        /// The window.
        window: Window,
        /// The node's state at its start.
        ours: State,
        /// The majority's.
        majority: State,
    },
    /// An accepted object is not to be had, so the window cannot be applied: never a part of it is.
    #[error("window {window}: the accepted object {object} is not to be had ({source})")]
    Unavailable {
        /// The window.
        window: Window,
        /// The object.
        object: ObjectHash,
        /// What the last attempt said.
        source: Box<FetchError>,
    },
    /// The chain's nodes have forgotten what a window's decision needs, and no validator has kept it.
    #[error(
        "window {0}: the chain's nodes no longer have its votes, and no validator has its record: connect to an archive \
         node, or wait for a checkpoint"
    )]
    Forgotten(Window),
    /// A window that is not the next one.
    #[error(transparent)]
    Order(#[from] HistoryError),
    /// The run has no such window.
    #[error(transparent)]
    Clock(#[from] ClockError),
}

impl NodeError {
    /// Whether the shared state has to be taken from elsewhere: [`Node::resync`](crate::Node::resync) does.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Diverged { .. } | Self::Unavailable { .. } | Self::Forgotten(_))
    }

    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Shutdown => Exit::Good,
            Self::Config(_) | Self::Metrics(_) => Exit::Usage,
            Self::Run(error) => error.exit(),
            Self::Connect(error) => cli::connect_exit(error),
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
            | Self::Order(_)
            | Self::Clock(_) => Exit::Failed,
        }
    }
}

fn chain_exit(error: &ExchangeError) -> Exit {
    match error {
        ExchangeError::Read(error) => cli::read_exit(error),
        ExchangeError::NotFinal { .. } => Exit::Unreachable,
        ExchangeError::Snapshot(_) => Exit::Disagreement,
        ExchangeError::Assignment(_) => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn blocks_exit(error: &BlocksError) -> Exit {
    match error {
        BlocksError::Forked { .. } => Exit::Disagreement,
        BlocksError::Read { source, .. } => cli::read_exit(source),
        BlocksError::Stopped { .. } => Exit::Good,
    }
}

/// Another chain, subnet or run is a matter of configuration; that nobody may vote is not.
fn live_exit(problems: &[LiveProblem]) -> Exit {
    let is_permit = |problem: &LiveProblem| matches!(problem, LiveProblem::NoPermits(_));
    if problems.iter().all(is_permit) { Exit::NotPermitted } else { Exit::Usage }
}

fn announce_exit(error: &AnnounceError) -> Exit {
    match error {
        AnnounceError::Read(error) => cli::read_exit(error),
        AnnounceError::Foreign(_) | AnnounceError::Fields(_) => Exit::Usage,
        AnnounceError::Commit(error) if error.is_retryable() => Exit::Unreachable,
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
