//! The chain client: reads Bittensor's chain and sends transactions to it. It survives broken connections.
//!
//! [`Client::connect`] creates a client from [`Options`]. The client reads finalized blocks
//! ([`Client::blocks`]) and the chain's state after a block ([`Client::at`]: metagraph, commitments,
//! hyperparameters, balances). With a [`wallet::KeyPair`] it registers a hotkey ([`Client::register`]),
//! publishes a commitment ([`Client::set_commitment`]) and sets weights ([`Client::set_weights`]). If the
//! chain refuses a transaction, the error says what the refusal means and what to do
//! ([`refusal::Refusal`]).
//!
//! This crate decides nothing about a training run: other crates choose the contents of commitments and the
//! weights. Only finalized blocks are read; of newer ones it tells the height
//! ([`Heads`]), so that a finality that lags is seen.
//!
//! **Silence.** Every wait has a time limit. A node that accepts a connection and goes silent, in any phase,
//! is left for the next endpoint. If no endpoint gives a sign of life for [`Options::silence`], below 120 s,
//! streams and calls end with an error. **Limits.** A node that limits requests (HTTP status 429 or 503, or a
//! JSON-RPC error of this meaning) is asked again after pauses, on the same connection. **Spread.** With
//! several endpoints, reads take turns on them, and a node that is behind the others is left. **History.**
//! States that nodes no longer have are read from [`Options::archive`]. **Counts.** [`Metrics`] counts each
//! request.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use chain::{Client, Options, wallet::Wallet};
//! use base::{Netuid, commitment::{Field, Fields}};
//!
//! let client = Client::connect(Options::new(["wss://entrypoint-finney.opentensor.ai:443"])).await?;
//! let hotkey = Wallet::new("wallets".as_ref(), "default")?.hotkey("miner", None)?;
//! client.set_commitment(Netuid(3), Fields::new(vec![Field::raw(*b"hello")?])?, &hotkey).await?;
//!
//! let mut blocks = client.blocks().await?;
//! loop {
//!     let block = blocks.next().await?;
//!     let metagraph = client.at(block.hash).metagraph(Netuid(3)).await?;
//!     println!("block {}: {} neurons", block.height, metagraph.neurons.len());
//! }
//! # }
//! ```
//!
//! The modules, from the bottom: `connection` (one session at a time, reconnecting, with the JSON-RPC
//! methods of subxt's legacy backend), `runtime` (the abilities of the live runtime), `storage` (many
//! values in one request), then one file for each thing that is read or sent.

mod archive;
mod backoff;
mod beacon;
mod blocks;
mod calls;
mod client;
mod commitments;
mod connection;
mod contact;
mod costs;
mod dialer;
mod endpoint;
mod epochs;
pub mod error;
mod follower;
#[cfg(test)]
mod golden;
mod metagraph;
mod metrics;
mod network;
mod neuron_status;
mod nonces;
mod options;
mod outcome;
mod pace;
pub mod refusal;
mod register;
mod runtime;
mod snapshot;
mod socket;
mod spread;
mod storage;
mod subnet;
mod transactions;
pub mod wallet;
mod weights;

pub use beacon::{Beacon, TimelockError};
pub use blocks::{Block, Blocks, BlocksError, Heads};
pub use calls::{Call, CallError};
pub use client::Client;
pub use commitments::{CommitError, Commitments, Space};
pub use costs::Costs;
pub use endpoint::Endpoint;
pub use epochs::EpochSchedule;
pub use metagraph::{Metagraph, Neuron, Row, SubnetView};
pub use metrics::Metrics;
pub use network::Network;
pub use neuron_status::NeuronStatus;
pub use options::Options;
pub use outcome::ChainEvent;
pub use register::{RegisterError, Registration, RegistrationPlan};
pub use snapshot::ChainSnapshot;
pub use subnet::Hyperparameters;
pub use transactions::{Included, TransactionError, TransactionHash, TransactionStage};
pub use weights::{
    Commit, CommitKind, PendingCommit, PreparedWeights, SentWeights, WeightsError, WeightsForm,
    WeightsStanding, scale_to_max,
};
