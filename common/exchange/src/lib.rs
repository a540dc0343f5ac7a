//! Reads the chain and the buckets for all node types, and writes to them.
//!
//! A [`ChainReader`] reads the chain's state after a block, in the form that the pure functions of
//! `protocol` need, and decides windows with it. A [`Fetcher`] downloads objects from the buckets of
//! other nodes. It returns only fully verified objects, or a [`FetchError`] that says who is at
//! fault. An [`OwnBucket`] uploads objects to this node's own bucket. A [`CommitmentWriter`] writes
//! claims and votes to the chain.
//!
//! This crate decides nothing that `protocol` decides, and it neither trains nor evaluates. It also
//! never waits: a block that is not finalized is an error, since only the caller knows how long to
//! wait. The crate does not use libtorch. Programs that only recompute results read the parameters of
//! a checkpoint with [`read_parameters`].
//!
//! ```no_run
//! # async fn example(
//! #     client: chain::Client,
//! #     spec: protocol::run_spec::RunSpec,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use base::Window;
//! use exchange::ChainReader;
//!
//! let chain_reader = ChainReader::new(client, spec.network.netuid, spec.network.mechanism);
//! let decision = chain_reader.decide(&spec, Window(0)).await?;
//! let (applied, candidates) = (decision.applied().len(), decision.candidates.len());
//! println!("window 0: {applied} of {candidates} candidates are applied");
//! # Ok(())
//! # }
//! ```
//!
//! Next: [`ChainReader`], [`BlockState`], [`Fetcher`].

mod chain_reader;
mod commitment_writer;
mod error;
mod fetch;
mod key;
mod mapped;
mod own_bucket;
mod parameters;
mod state;

pub use chain_reader::{ChainReader, WindowEvidence};
pub use commitment_writer::{AnnounceError, CommitmentWriter};
pub use error::ExchangeError;
pub use fetch::{AcceptedObject, FetchError, FetchLimits, Fetcher, PrefetchPlan, Prefetched, Prefetcher};
pub use key::signing_key;
pub use own_bucket::{OwnBucket, OwnBucketError};
pub use parameters::{ParametersError, read_parameters};
pub use state::BlockState;
