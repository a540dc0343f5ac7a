//! Muster's validator: downloads the claimed submissions, votes for the good ones, runs the Gauntlet, and
//! sets weights.
//!
//! [`protocol::machine::validator`] decides what to do next, as a pure state machine. [`run`] carries it
//! out with a [`node::Node`]. [`gauntlet`] measures updates and leaves no trace of them.
//! [`fetched_window`] holds a validator's knowledge of one window. [`logs`] stores the validator's own
//! score logs on its disk. [`weights`] sets weights on chain, and [`commits`] stores those that wait for
//! their reveal. The crates [`scoring::gauntlet`], [`scoring::score_log`] and [`scoring::weights`] turn
//! losses into ratings and weights, so that auditors can recompute them. The crate [`node`] keeps the shared
//! state.
//!
//! ```no_run
//! # async fn example(flags: node::ValidatorFlags) -> Result<(), validator::ValidatorError> {
//! use node::{Config, NodeRole};
//! use telemetry::Shutdown;
//!
//! let config = Config::load(NodeRole::Validator, &flags.0)?;
//! validator::run(config, Shutdown::default()).await
//! # }
//! ```
//!
//! Next: [`protocol::machine::validator::ValidatorMachine`], then the file `app.rs`.

mod app;
pub mod commits;
mod dry_run;
mod error;
pub mod fetched_window;
pub mod gauntlet;
mod joining;
pub mod logs;
mod metrics;
pub mod overlaps;
mod published;
mod replay;
mod report;
mod show;
pub mod weights;

pub use app::run;
pub use error::ValidatorError;
pub use metrics::ValidatorMetrics;
pub use replay::{ReplayDifference, ReplayError, Replayed, replay};
pub use show::{ShowOptions, show};
