//! Muster's miner: trains on its own data in each window, uploads and claims what came of it, and applies what all
//! accept.
//!
//! [`round`] says what is done when, [`run`] does it with a [`node::Node`], and a [`Craft`] makes the updates:
//! [`Honest`] does it as the run spec says, others for experiments and attacks. What must survive a kill lies in files
//! ([`Submissions`], [`Feedback`]).
//!
//! It neither judges nor votes, and the shared parameters are the node's business, which a validator shares.
//!
//! ```no_run
//! # async fn example(flags: node::ConfigFlags) -> Result<base::Exit, node::ConfigError> {
//! use miner::{Honest, folder, run};
//! use node::{Config, Role};
//! use telemetry::Shutdown;
//!
//! let config = Config::load(Role::Miner, &flags)?;
//! let open = async |node: &node::Node, kept| Honest::resume(node, folder(node), kept).await;
//! let exit = run(config, Shutdown::default(), open).await; // until the run ends
//! # Ok(exit)
//! # }
//! ```
//!
//! Next: [`round`], then `app.rs`, [`Honest`], [`work`].

mod app;
mod craft;
mod error;
mod feedback;
mod honest;
mod metrics;
mod parcel;
pub mod round;
mod submissions;
pub mod work;

pub use app::{folder, run};
pub use craft::{Craft, Made, Training};
pub use error::MinerError;
pub use feedback::Feedback;
pub use honest::Honest;
pub use metrics::MinerMetrics;
pub use parcel::Parcel;
pub use submissions::Submissions;
