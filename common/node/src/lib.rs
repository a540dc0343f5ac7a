//! What miner and validator do alike: what they are told, what they check before they begin, and how they keep the same
//! parameters as everybody else.
//!
//! A [`Config`] comes from a file, the environment and flags. [`Node::open`] checks all of it against the chain, the data
//! and the bucket. [`Node::start`] gets the shared state (from the journal, a checkpoint, or the run's beginning) and
//! catches up; then, window by window, [`Node::decide`] reads what all apply and [`Node::apply`] makes the outer step.
//! A node whose state is not the majority's is told so ([`NodeError::is_lost`]) and calls [`Node::resync`].
//!
//! It neither trains nor judges, and it claims and votes for nothing: that is what miner and validator add, by the parts
//! of the node that are public.
//!
//! ```no_run
//! # async fn example(flags: node::ConfigFlags) -> Result<(), node::NodeError> {
//! use node::{Config, Node, NodeRole};
//! use telemetry::Shutdown;
//!
//! let config = Config::load(NodeRole::Miner, &flags)?;
//! let mut node = Node::open(config, Shutdown::default()).await?;
//! node.start().await?;
//! while node.window() <= node.run.clock.last_window() {
//!     let decision = node.decide(node.window()).await?; // waits until block M_w is final
//!     match node.apply(&decision).await {
//!         Err(error) if error.is_lost() => println!("again from {:?}", node.resync().await?),
//!         result => println!("state {}", result?.state),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Next: [`config`](Config), [`Node`], [`Journal`], [`events`].

mod apply;
mod bucket;
mod catch_up;
mod config;
mod error;
pub mod events;
mod files;
mod journal;
mod metrics;
mod node;
mod open;
mod run;
mod subnet;
mod tip;

pub use apply::Applied;
pub use bucket::BucketError;
pub use config::{
    BucketConfig, ChainConfig, Config, ConfigError, ConfigFlags, Environment, FetchConfig, NodeConfig,
    NodeRole, Origin, Settings, ValidatorConfig, ValidatorFlags, WalletConfig, environment,
};
pub use error::NodeError;
pub use events::{Events, MinerScore, NodeEvent, Source};
pub use files::{FileError, replace};
pub use journal::{Journal, JournalError, Kept};
pub use metrics::NodeMetrics;
pub use node::Node;
pub use run::{Run, RunError};
pub use tip::Tip;
