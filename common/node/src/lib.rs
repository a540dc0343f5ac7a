//! Provides the common part of miners and validators: configuration, checks at the start, and the shared
//! model that is the same on all nodes.
//!
//! A [`Config`] comes from a file, the environment and flags. [`Node::open`] checks all of it against the
//! chain, the data and the bucket. [`Node::start`] gets the shared state (from the journal, a checkpoint,
//! or the run's beginning) and catches up. Then, window by window, [`Node::prefetch`] downloads the
//! candidates' submissions in the background, [`Node::decide`] reads the decision and [`Node::apply`] makes
//! the outer step: [`Node::collect`] and [`Node::step`], between which a miner waits for its training. A node
//! whose state is not the majority's gets an error ([`NodeError::is_lost`]) and calls [`Node::resync`].
//!
//! A node has four parts. [`Identity`] is its keys, its neuron, and the places where it publishes.
//! [`Network`] reads the chain and the buckets of other nodes. [`SharedState`] holds parameters, progress
//! and journal; `validator replay` uses it without a node. [`Observability`] is events, metrics and
//! health.
//!
//! This crate neither trains nor judges, and it claims and votes for nothing: miner and validator add that.
//!
//! ```no_run
//! # #![recursion_limit = "256"] // The futures are nested deeply.
//! # async fn example(flags: node::ConfigFlags) -> Result<(), node::NodeError> {
//! use node::{Config, Node, NodeRole};
//! use telemetry::Shutdown;
//!
//! let config = Config::load(NodeRole::Miner, &flags)?;
//! let mut node = Node::open(config, Shutdown::default()).await?;
//! node.start().await?;
//! while node.shared.window() <= node.shared.run().clock.last_window() {
//!     let decision = node.decide(node.shared.window()).await?; // waits until block M_w is final
//!     let clock = node.shared.run().clock;
//!     let until = clock.objects_wait(&clock.heights(decision.window)?);
//!     match node.apply(&decision, until).await {
//!         Err(error) if error.is_lost() => println!("again from {:?}", node.resync().await?),
//!         result => println!("state {}", result?.state),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Next: [`config`](Config), [`Node`], [`SharedState`], [`Journal`], [`events`].

mod background;
mod bucket;
mod catch_up;
mod config;
mod error;
pub mod events;
mod files;
mod identity;
mod journal;
mod metrics;
mod network;
mod node;
mod observability;
mod open;
mod own_clock;
mod prefetch;
mod requests;
mod run;
mod saved_checkpoint;
mod shared_state;
mod subnet;
mod tip;

pub use background::Background;
pub use bucket::BucketError;
pub use config::{
    BucketConfig, ChainConfig, Config, ConfigError, ConfigFlags, Environment, FetchConfig, NodeConfig,
    NodeRole, Origin, Settings, ValidatorConfig, ValidatorFlags, WalletConfig, environment,
};
pub use error::NodeError;
pub use events::{Events, MinerScore, NodeEvent, Source};
pub use files::{FileError, replace};
pub use identity::{Identity, Registration};
pub use journal::{Journal, JournalError, Kept};
pub use metrics::NodeMetrics;
pub use network::Network;
pub use node::{Applied, Node};
pub use observability::Observability;
pub use prefetch::{Arrivals, Prefetching};
pub use run::{Run, RunError};
pub use saved_checkpoint::SavedCheckpoint;
pub use shared_state::{CheckpointFiles, Collected, Offer, SharedState, Transaction};
pub use tip::Tip;
