//! Muster's miner: trains on its own data in each window, uploads and claims what came of it, and applies what all
//! accept.
//!
//! [`round`] says what is done when, [`run`] does it with a [`node::Node`], and a [`Strategy`] makes the updates:
//! [`SparseLoCo`] does it as the run spec says, others for experiments and attacks. What must survive a kill lies in files
//! ([`Submissions`], [`Feedback`]).
//!
//! It neither judges nor votes, and the shared parameters are the node's business, which a validator shares.
//!
//! ```no_run
//! # async fn example(flags: node::ConfigFlags) -> Result<base::Exit, node::ConfigError> {
//! use miner::{SparseLoCo, folder, run};
//! use node::{Config, NodeRole};
//! use telemetry::Shutdown;
//!
//! let config = Config::load(NodeRole::Miner, &flags)?;
//! let open = async |node: &node::Node, kept| SparseLoCo::resume(node, folder(node), kept).await;
//! let exit = run(config, Shutdown::default(), open).await; // until the run ends
//! # Ok(exit)
//! # }
//! ```
//!
//! Next: [`round`], then `app.rs`, [`SparseLoCo`], [`work`].

mod app;
mod error;
mod feedback;
mod metrics;
pub mod round;
mod sparse_loco;
mod strategy;
mod submissions;
mod upload;
pub mod work;

pub use app::{folder, run};
pub use error::MinerError;
pub use feedback::Feedback;
pub use metrics::MinerMetrics;
pub use sparse_loco::SparseLoCo;
pub use strategy::{PreparedUpdate, Strategy, Training};
pub use submissions::Submissions;
pub use upload::Upload;
