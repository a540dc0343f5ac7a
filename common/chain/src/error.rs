//! Errors between a node and the client. Refusals by the chain itself are in [`crate::refusal`].

use std::time::Duration;

use base::{BlockHash, Height, Netuid, Uid};
use chain_metadata::report::Unusable;

/// An error of connecting to the chain for the first time.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The options hold no endpoint.
    #[error("no endpoint is given: name at least one, like wss://entrypoint-finney.opentensor.ai:443")]
    NoEndpoints,
    /// An option has a value that cannot work. Nothing was sent.
    #[error("the option {field} {demand}")]
    Options {
        /// The name of the option.
        field: &'static str,
        /// The requirement that it does not meet.
        demand: &'static str,
    },
    /// No endpoint answers.
    #[error("no endpoint of the chain can be reached: {}", tried(.0))]
    Unreachable(Vec<EndpointError>),
    /// The endpoints together took too long.
    #[error("the chain's endpoints gave no answer within {} s: name others", .after.as_secs_f32())]
    Silent {
        /// The time that the client waited.
        after: Duration,
    },
    /// An endpoint is a node of another chain.
    #[error("{endpoint} is a node of another chain: its genesis is {found}, not {expected}")]
    WrongChain {
        /// The endpoint.
        endpoint: String,
        /// The genesis hash in the options.
        expected: BlockHash,
        /// The genesis hash of the node.
        found: BlockHash,
    },
    /// The node's metadata cannot be read.
    #[error("cannot read the runtime of the chain")]
    Runtime(#[from] ReadError),
}

impl ConnectError {
    /// Returns whether a later attempt may succeed with the same options.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoEndpoints | Self::Options { .. } | Self::WrongChain { .. } => false,
            Self::Unreachable(_) | Self::Silent { .. } => true,
            Self::Runtime(error) => error.is_retryable(),
        }
    }

    /// Returns whether an endpoint only limits requests, or is overloaded: a later attempt helps.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Unreachable(errors) => errors.iter().any(|error| error.fault == EndpointFault::Busy),
            Self::Runtime(error) => error.is_busy(),
            _ => false,
        }
    }
}

/// An error of one endpoint: it could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: {reason}")]
pub struct EndpointError {
    /// The endpoint.
    pub endpoint: String,
    /// The reason, in the words of the layer below.
    pub reason: String,
    /// The kind of the error.
    pub fault: EndpointFault,
}

/// The kind of an endpoint's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointFault {
    /// It accepts connections or packets, and answers nothing.
    Silent,
    /// It limits requests, or is overloaded: HTTP status 429 or 503, or a JSON-RPC error of this meaning.
    /// A pause helps.
    Busy,
    /// It refuses, breaks the connection, or is a node of another chain.
    Broken,
}

fn tried(errors: &[EndpointError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// An error of a request to a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The connection broke during the request, at each attempt.
    #[error("the connection to {endpoint} broke during {method}: {reason}")]
    Lost {
        /// The node.
        endpoint: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The error of the connection.
        reason: String,
    },
    /// The node did not answer in time.
    #[error("{endpoint} has not answered {method} within {} s", .after.as_secs_f32())]
    TimedOut {
        /// The node.
        endpoint: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The time that the client waited.
        after: Duration,
    },
    /// There is no connection, and none was made in time.
    #[error("could not reach any node of the chain for {} s; last attempt", .waited.as_secs_f32())]
    Unreachable {
        /// The time that the client waited.
        waited: Duration,
        /// The last attempt to connect.
        #[source]
        last: EndpointError,
    },
    /// The node answered with an error.
    #[error("the node refused {method}: {message} (code {code}{})", .data.as_deref().map(|data| format!(", {data}")).unwrap_or_default())]
    Refused {
        /// The JSON-RPC method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i32,
        /// The message of the error.
        message: String,
        /// The details that the node adds.
        data: Option<String>,
    },
    /// The answer does not have the form that the method promises.
    #[error("cannot use the node's answer to {method}: {reason}")]
    Unintelligible {
        /// The JSON-RPC method.
        method: &'static str,
        /// The fault in the answer.
        reason: String,
    },
}

impl RequestError {
    /// Returns whether the same request may succeed later.
    ///
    /// Most refusals are retryable: rate limits, a busy node and internal errors pass, or another node does
    /// not have them. A refusal of the request itself is not.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::TimedOut { .. } | Self::Unreachable { .. } => true,
            Self::Refused { code, .. } => !is_about_the_request(*code),
            Self::Unintelligible { .. } => false,
        }
    }

    /// Returns whether the node only limits requests, or is overloaded: the same request helps after a pause.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Refused { code, message, .. } => is_busy(*code, message),
            Self::Unreachable { last, .. } => last.fault == EndpointFault::Busy,
            _ => false,
        }
    }

    /// Returns whether the node, or the block's runtime, does not have the method that was called.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Refused { code: METHOD_NOT_FOUND, .. } => true,
            Self::Refused { .. } => self.says("Exported method") && self.says("is not found"),
            _ => false,
        }
    }

    /// Returns whether the node's error message, or its details, contain this text.
    pub(crate) fn says(&self, text: &str) -> bool {
        match self {
            Self::Refused { message, data, .. } => {
                message.contains(text) || data.as_deref().is_some_and(|data| data.contains(text))
            }
            _ => false,
        }
    }
}

/// Returns whether a JSON-RPC error means that the node limits requests, or is overloaded.
///
/// There is no common code: nodes and the proxies before them use -32005 (limit exceeded), -32029 (too many
/// requests), -32009 (server busy), the HTTP status as code, or only a text.
pub(crate) fn is_busy(code: i32, message: &str) -> bool {
    const TEXTS: [&str; 4] = ["too many requests", "rate limit", "429", "server is busy"];
    let says = || {
        let message = message.to_ascii_lowercase();
        TEXTS.iter().any(|text| message.contains(text))
    };
    matches!(code, 429 | 503 | -32005 | -32009 | -32029) || (!is_about_the_request(code) && says())
}

/// JSON-RPC: the node does not have the method.
const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the parameters are wrong.
const INVALID_PARAMS: i32 = -32602;

/// Returns whether every healthy node would answer with this code. Substrate's own codes are 1000 to 1999
/// (the transaction pool) and 4000 to 4999 (state).
pub(crate) fn is_about_the_request(code: i32) -> bool {
    matches!(code, METHOD_NOT_FOUND | INVALID_PARAMS | 1000..=1999 | 4000..=4999)
}

/// An error of reading from the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The node gave no answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The live runtime lacks the item to read, or has it in another form.
    #[error(transparent)]
    Unusable(Box<Unusable>),
    /// The node no longer has the state of this block.
    #[error(
        "the node no longer has the state of block {0}: all but archive nodes keep about 300 blocks; name an archive \
         node (--archive URL), or read the block sooner"
    )]
    Pruned(BlockHash),
    /// The node does not know this block.
    #[error("the node does not know block {0}")]
    UnknownBlock(BlockHash),
    /// There is no block of this height yet.
    #[error("the chain has no block {0} yet")]
    NoBlockYet(Height),
    /// A value on chain cannot be decoded by the runtime's own metadata.
    #[error("cannot decode {item} at block {at}: {reason}")]
    Decode {
        /// The item.
        item: String,
        /// The block.
        at: BlockHash,
        /// The error of the decoder.
        reason: String,
    },
    /// The runtime's metadata is damaged.
    #[error("cannot use the metadata of spec {spec_version}: {reason}")]
    Metadata {
        /// The runtime's spec version.
        spec_version: u32,
        /// The fault in the metadata.
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
        /// The number of neurons of the subnet.
        neurons: u16,
    },
}

impl From<Unusable> for ReadError {
    fn from(unusable: Unusable) -> Self {
        Self::Unusable(Box::new(unusable))
    }
}

impl ReadError {
    /// Returns whether the same read may succeed later. A runtime that lacks an item may be upgraded, as it
    /// was before.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retryable(),
            Self::NoBlockYet(_) | Self::Unusable(_) => true,
            _ => false,
        }
    }

    /// Returns whether the node only limits requests, or is overloaded.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Request(error) if error.is_busy())
    }

    /// Returns whether the node lacks a block that another node may have.
    pub(crate) fn is_of_a_lagging_node(&self) -> bool {
        matches!(self, Self::NoBlockYet(_) | Self::UnknownBlock(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i32, message: &str) -> RequestError {
        RequestError::Refused { method: "state_call", code, message: message.into(), data: None }
    }

    #[test]
    fn refusals_of_an_unwell_node_pass_and_others_do_not() {
        for code in [-32029, -32005, -32999, -32009, -32603, -32000] {
            assert!(refused(code, "").is_retryable(), "{code}");
        }
        for code in [-32601, -32602, 1010, 1012, 1014, 4003] {
            assert!(!refused(code, "").is_retryable(), "{code}");
        }
    }

    #[test]
    fn limits_are_known_by_code_or_text() {
        for (code, message) in [
            (-32029, ""),
            (-32005, "limit exceeded"),
            (429, ""),
            (503, ""),
            (-32000, "Too many requests, slow down"),
            (-32603, "HTTP 429"),
            (-32000, "Rate limit reached"),
        ] {
            assert!(refused(code, message).is_busy(), "{code} {message}");
        }
        for (code, message) in [(-32603, "internal error"), (1010, "Custom error: 429"), (4003, "pruned")] {
            assert!(!refused(code, message).is_busy(), "{code} {message}");
        }
    }

    #[test]
    fn only_a_missing_method_is_absent() {
        let missing = "Client error: Execution failed: Exported method Some_call is not found";
        assert!(refused(4003, missing).is_absent());
        assert!(refused(-32601, "Method not found").is_absent());
        assert!(!refused(4003, "Client error: State already discarded").is_absent());
        assert!(!refused(-32029, "Too many requests").is_absent());
    }
}
