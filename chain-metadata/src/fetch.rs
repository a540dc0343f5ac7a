//! Fetches the metadata of a live runtime from a node.

use std::future::Future;
use std::time::{Duration, Instant};

use parity_scale_codec::{Decode, Encode};
use subxt::Metadata;
use subxt::config::{RpcConfigFor, SubstrateConfig};
use subxt_rpcs::client::RpcClient;
use subxt_rpcs::methods::LegacyRpcMethods;

use crate::decode::{self, DecodeError, VERSIONS};

type Methods = LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>;

/// The error of a node or a connection.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of fetching a node's metadata.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not a WebSocket address.
    #[error("{url} is not a node's address: it must begin with ws:// or wss://, as in ws://127.0.0.1:9944")]
    BadUrl {
        /// The address.
        url: String,
    },
    /// There is no answer at the address.
    #[error("cannot reach a node at {url} (is it running, and is the port right?)")]
    Unreachable {
        /// The address.
        url: String,
        /// The error of the connection.
        source: Cause,
    },
    /// The node did not answer in time.
    #[error("{url} did not answer within {seconds} s ({during}); try again, or allow more time")]
    TimedOut {
        /// The address.
        url: String,
        /// The time limit of the whole fetch.
        seconds: u64,
        /// The step that was running.
        during: &'static str,
    },
    /// The node refused a request, or the connection broke.
    #[error("{url} did not answer {method} (is it a Substrate node?)")]
    Request {
        /// The address.
        url: String,
        /// The JSON-RPC method or runtime API.
        method: &'static str,
        /// The error of the node or the connection.
        source: Cause,
    },
    /// The node's answer does not have the form that the method promises.
    #[error("cannot decode the answer of {url} to {method}")]
    Answer {
        /// The address.
        url: String,
        /// The runtime API.
        method: &'static str,
        /// The error of the decoder.
        source: parity_scale_codec::Error,
    },
    /// The node offers a metadata version, but does not deliver it.
    #[error("{url} offers metadata V{version} but does not deliver it")]
    Withheld {
        /// The address.
        url: String,
        /// The version asked for.
        version: u32,
    },
    /// The metadata is damaged or of an unknown version.
    #[error("cannot use the metadata of {url}")]
    Metadata {
        /// The address.
        url: String,
        /// The fault.
        source: DecodeError,
    },
}

/// Returns the innermost error. subxt wraps a connection error in itself, each time with the same prefix.
fn innermost(error: subxt_rpcs::Error) -> Cause {
    match error {
        subxt_rpcs::Error::Client(inner) => match inner.downcast::<subxt_rpcs::Error>() {
            Ok(nested) => innermost(*nested),
            Err(inner) => inner,
        },
        other => Box::new(other),
    }
}

/// Metadata from a node.
#[derive(Debug)]
pub struct Fetched {
    /// The decoded metadata.
    pub metadata: Metadata,
    /// The version of the metadata: 14, 15 or 16.
    pub version: u32,
    /// The bytes of the metadata, with their `meta` prefix.
    pub bytes: Vec<u8>,
}

/// Fetches the newest metadata of V16, V15 and V14 that the node at `url` offers, for its newest block.
///
/// `limit` bounds the time of the whole fetch, from connecting to the last byte.
pub async fn fetch(url: &str, limit: Duration) -> Result<Fetched, FetchError> {
    let node = Node::new(url, limit)?;
    let methods = node.connect().await?;
    let bytes = match node.best_version(&methods).await? {
        Some(version) => node.metadata_at(&methods, version).await?,
        None => node.metadata_without_version(&methods).await?,
    };
    let (metadata, version) = decode::decode_with_version(&bytes)
        .map_err(|source| FetchError::Metadata { url: url.into(), source })?;
    Ok(Fetched { metadata, version, bytes })
}

/// Metadata V15 from a node, with the identity of its chain.
#[derive(Debug)]
pub struct FetchedV15 {
    /// The bytes of the metadata, with their `meta` prefix.
    pub bytes: Vec<u8>,
    /// The genesis hash of the node's chain, in hex with 0x.
    pub genesis: String,
}

/// Fetches metadata V15, from which the pin is made, for the newest block of the node at `url`.
///
/// `limit` bounds the time of the whole fetch, from connecting to the last byte.
pub async fn fetch_v15(url: &str, limit: Duration) -> Result<FetchedV15, FetchError> {
    let node = Node::new(url, limit)?;
    let methods = node.connect().await?;
    let bytes = node.metadata_at(&methods, 15).await?;
    let method = "chain_getBlockHash";
    let genesis = node.within(method, methods.genesis_hash()).await?;
    let genesis = genesis.map_err(|source| node.refused(method, source))?;
    Ok(FetchedV15 { bytes, genesis: format!("0x{}", hex::encode(genesis.0)) })
}

/// One node, with the time limit for it.
struct Node<'a> {
    url: &'a str,
    limit: Duration,
    start: Instant,
}

impl<'a> Node<'a> {
    fn new(url: &'a str, limit: Duration) -> Result<Self, FetchError> {
        if url.starts_with("ws://") || url.starts_with("wss://") {
            Ok(Self { url, limit, start: Instant::now() })
        } else {
            Err(FetchError::BadUrl { url: url.into() })
        }
    }

    async fn connect(&self) -> Result<Methods, FetchError> {
        let client = self.within("connecting", RpcClient::from_insecure_url(self.url)).await?;
        let unreachable =
            |source| FetchError::Unreachable { url: self.url.into(), source: innermost(source) };
        Ok(Methods::new(client.map_err(unreachable)?))
    }

    async fn within<F: Future>(&self, during: &'static str, future: F) -> Result<F::Output, FetchError> {
        let left = self.limit.saturating_sub(self.start.elapsed());
        tokio::time::timeout(left, future).await.map_err(|_| FetchError::TimedOut {
            url: self.url.into(),
            seconds: self.limit.as_secs(),
            during,
        })
    }

    /// Returns the best supported version that the node offers. Returns `None` if it offers no supported
    /// version, or does not know the question.
    async fn best_version(&self, methods: &Methods) -> Result<Option<u32>, FetchError> {
        let method = "Metadata_metadata_versions";
        match self.within(method, methods.state_call(method, None, None)).await? {
            Ok(answer) => {
                let offered: Vec<u32> = self.decode(method, &answer)?;
                Ok(VERSIONS.into_iter().find(|version| offered.contains(version)))
            }
            // The runtime is from before 2023 and has only V14.
            Err(subxt_rpcs::Error::User(_)) => Ok(None),
            Err(source) => Err(self.refused(method, source)),
        }
    }

    async fn metadata_at(&self, methods: &Methods, version: u32) -> Result<Vec<u8>, FetchError> {
        let method = "Metadata_metadata_at_version";
        let argument = version.encode();
        let answer = self
            .within(method, methods.state_call(method, Some(&argument), None))
            .await?
            .map_err(|source| self.refused(method, source))?;
        let metadata: Option<Vec<u8>> = self.decode(method, &answer)?;
        metadata.ok_or_else(|| FetchError::Withheld { url: self.url.into(), version })
    }

    async fn metadata_without_version(&self, methods: &Methods) -> Result<Vec<u8>, FetchError> {
        let method = "state_getMetadata";
        let answer = self
            .within(method, methods.state_get_metadata(None))
            .await?
            .map_err(|source| self.refused(method, source))?;
        Ok(answer.into_raw())
    }

    fn decode<T: Decode>(&self, method: &'static str, bytes: &[u8]) -> Result<T, FetchError> {
        T::decode(&mut &bytes[..]).map_err(|source| FetchError::Answer {
            url: self.url.into(),
            method,
            source,
        })
    }

    fn refused(&self, method: &'static str, source: subxt_rpcs::Error) -> FetchError {
        FetchError::Request { url: self.url.into(), method, source: innermost(source) }
    }
}
