//! Muster's validator: follows up what miners claim, votes for what is good, runs the Gauntlet, and pays by weights.
//!
//! [`round`] says what is done when, a pure state machine; [`app`](run) carries it out with a [`node::Node`]'s parts.
//! [`gauntlet`] measures updates and leaves no trace of them, [`window`] is what a validator knows of one window,
//! [`logs`] are its own score logs on its disk, [`weights`] what it sets on chain. What losses mean, who is rated how and
//! which weights follow is decided in [`scoring::gauntlet`], [`scoring::score_log`] and [`scoring::weights`], where auditors
//! recompute it; the shared state is kept by [`node`].
//!
//! ```no_run
//! # async fn example(flags: node::ValidatorFlags) -> Result<(), node::NodeError> {
//! use node::{Config, NodeRole};
//! use telemetry::Shutdown;
//!
//! let config = Config::load(NodeRole::Validator, &flags.0)?;
//! let exit = validator::run(config, Shutdown::default()).await;
//! println!("ended with {exit:?}");
//! # Ok(())
//! # }
//! ```
//!
//! Next: [`round::Round`], then the file `app.rs`.
#![recursion_limit = "256"] // The futures of a request to a bucket are nested deeply.

mod app;
mod desk;
mod error;
pub mod fetched_window;
pub mod gauntlet;
pub mod logs;
mod metrics;
mod replay;
mod report;
pub mod round;
mod show;
pub mod weights;

pub use app::run;
pub use error::ValidatorError;
pub use metrics::ValidatorMetrics;
pub use replay::{Difference, ReplayError, Replayed, replay};
pub use show::show;
