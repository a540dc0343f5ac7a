//! Muster's miner: trains on its own data in each window, uploads and claims its update, and applies the
//! updates that all nodes accept.
//!
//! [`protocol::machine::miner`] decides what to do next, [`run`] does it with a [`node::Node`], and a
//! [`Strategy`] makes the updates: [`SparseLoCo`] as the run spec says, others for experiments and attacks.
//! Files hold all data that must survive a kill ([`Submissions`], [`Feedback`]).
//!
//! It neither judges nor votes. The crate `node` keeps the shared parameters, for miners and validators
//! alike.
//!
//! ```no_run
//! # async fn example(flags: node::ConfigFlags) -> Result<(), miner::MinerError> {
//! use miner::{SparseLoCo, folder, run};
//! use node::{Config, NodeRole};
//! use telemetry::Shutdown;
//!
//! let config = Config::load(NodeRole::Miner, &flags).map_err(node::NodeError::from)?;
//! let open = async |node: &node::Node, kept| SparseLoCo::resume(node, folder(node), kept).await;
//! run(config, Shutdown::default(), open).await // until the run ends
//! # }
//! ```
//!
//! Next: [`protocol::machine::miner`], then `app.rs`, [`SparseLoCo`], [`work`].

mod app;
mod error;
mod feedback;
mod metrics;
mod sparse_loco;
mod speed;
mod strategy;
mod submissions;
mod training;
mod upload;
pub mod work;

pub use app::{folder, run};
pub use error::MinerError;
pub use feedback::Feedback;
pub use metrics::MinerMetrics;
pub use sparse_loco::SparseLoCo;
pub use speed::StepTime;
pub use strategy::{PreparedUpdate, Strategy, TrainedWindow, Training};
pub use submissions::Submissions;
pub use upload::Upload;
