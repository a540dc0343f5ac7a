//! What can go wrong between a node and us. What the chain itself refuses is in [`crate::refusal`].

use std::time::Duration;

use chain_metadata::report::Unusable;
use common::{BlockHash, Height, Netuid, Uid};

/// Why no connection was made at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The options hold no endpoint.
    #[error("no endpoint is given: name at least one, like wss://entrypoint-finney.opentensor.ai:443")]
    NoEndpoints,
    /// No endpoint answers.
    #[error("no endpoint of the chain can be reached: {}", tried(.0))]
    Unreachable(Vec<EndpointError>),
    /// An endpoint is a node of another chain.
    #[error("{endpoint} is a node of another chain: its genesis is {found}, but {expected} is asked for")]
    WrongChain {
        /// The endpoint.
        endpoint: String,
        /// The genesis hash in the options.
        expected: BlockHash,
        /// The genesis hash of the node.
        found: BlockHash,
    },
    /// The node's metadata cannot be read.
    #[error("the runtime of the chain cannot be read: {0}")]
    Runtime(#[from] ReadError),
}

impl ConnectError {
    /// May it work later, with nothing changed on our side?
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoEndpoints | Self::WrongChain { .. } => false,
            Self::Unreachable(_) => true,
            Self::Runtime(error) => error.is_retryable(),
        }
    }
}

/// Why one endpoint could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: {reason}")]
pub struct EndpointError {
    /// The endpoint.
    pub endpoint: String,
    /// What went wrong, in the words of the layer below.
    pub reason: String,
}

fn tried(errors: &[EndpointError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The connection broke while the request was under way, each time that it was tried.
    #[error("the connection to {endpoint} broke during {method}: {reason}")]
    Lost {
        /// The node.
        endpoint: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// What the connection says.
        reason: String,
    },
    /// The node did not answer in time.
    #[error("{endpoint} has not answered {method} within {} s", .after.as_secs_f32())]
    TimedOut {
        /// The node.
        endpoint: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// How long we waited.
        after: Duration,
    },
    /// There is no connection, and none came back in time.
    #[error("no node of the chain could be reached for {} s (last: {last})", .waited.as_secs_f32())]
    Unreachable {
        /// How long we waited.
        waited: Duration,
        /// The last attempt to connect.
        last: EndpointError,
    },
    /// The node answered with an error.
    #[error("the node refused {method}: {message} (code {code}{})", .data.as_deref().map(|data| format!(", {data}")).unwrap_or_default())]
    Refused {
        /// The JSON-RPC method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i32,
        /// Its message.
        message: String,
        /// What the node adds to it.
        data: Option<String>,
    },
    /// The answer is not what this method answers.
    #[error("the node's answer to {method} makes no sense: {reason}")]
    Unintelligible {
        /// The JSON-RPC method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl RequestError {
    /// May the same request work later?
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::TimedOut { .. } | Self::Unreachable { .. })
    }
}

/// Why something could not be read from the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The node gave no answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The live runtime does not have what this reads, or has it in another form.
    #[error(transparent)]
    Unusable(Box<Unusable>),
    /// The node no longer has the state of this block.
    #[error("the node no longer has the state of block {0}: ask an archive node, or read earlier")]
    Pruned(BlockHash),
    /// The node does not know this block.
    #[error("the node does not know block {0}")]
    UnknownBlock(BlockHash),
    /// There is no block of this height yet.
    #[error("the chain has no block {0} yet")]
    NoBlockYet(Height),
    /// A value on chain does not decode as the runtime's own metadata says.
    #[error("{item} at block {at} does not decode: {reason}")]
    Decode {
        /// The item.
        item: String,
        /// The block.
        at: BlockHash,
        /// What the decoder says.
        reason: String,
    },
    /// The runtime's metadata is damaged.
    #[error("the metadata of spec {spec_version}: {reason}")]
    Metadata {
        /// The runtime's spec version.
        spec_version: u32,
        /// What is wrong.
        reason: String,
    },
    /// The subnet does not exist.
    #[error("subnet {0} does not exist")]
    NoSubnet(Netuid),
    /// The subnet has no such neuron.
    #[error("subnet {netuid} has no uid {uid}: it has {neurons} neurons")]
    NoNeuron {
        /// The subnet.
        netuid: Netuid,
        /// The uid asked for.
        uid: Uid,
        /// How many neurons the subnet has.
        neurons: u16,
    },
}

impl From<Unusable> for ReadError {
    fn from(unusable: Unusable) -> Self {
        Self::Unusable(Box::new(unusable))
    }
}

impl ReadError {
    /// May the same read work later?
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retryable(),
            Self::NoBlockYet(_) => true,
            _ => false,
        }
    }
}
