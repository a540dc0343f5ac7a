//! Decides everything that the nodes of a run must agree on.
//!
//! * A run: [`run_spec`] is its description and its hash; [`model`], [`init`], [`train`],
//!   [`schedule`] and [`dataset`] are its parts; [`clock`] computes the deadlines of a window.
//! * A window: neurons write an [`announcement`] (claim or vote) on chain; [`assignment`] gives
//!   each miner its data; [`acceptance`] computes the accepted set; [`history`] chains all accepted
//!   sets.
//! * Nodes: [`machine`] decides what a miner and a validator do next.
//! * State: [`progress`] is the position of a node, [`checkpoint`] lets another node take it over.
//! * Buckets: [`bucket_layout`] names the keys of objects, [`replicas`] selects the validators that
//!   store copies.
//!
//! The crate does no I/O and reads no clock: every result is a function of its arguments.
//! [`permutation`] draws from seeds that come from the chain.
//!
//! ```
//! use base::{Height, Window};
//! use protocol::clock::{Clock, WindowSpec};
//!
//! let spec = WindowSpec {
//!     blocks: 30,
//!     count: 8,
//!     finality_lag: 3,
//!     publishing: 1,
//!     screening: 3,
//!     claims_close: 3,
//!     keys_close: 8,
//!     seed: 12,
//!     votes_close: 19,
//! };
//! let clock = Clock::new(Height(100), spec)?;
//! assert_eq!(clock.heights(Window(2))?.votes_close, Height(209));
//! # Ok::<(), protocol::clock::ClockError>(())
//! ```
//!
//! Next: [`run_spec`], then [`acceptance`].

pub mod acceptance;
pub mod announcement;
pub mod assignment;
pub mod bucket_layout;
pub mod checkpoint;
pub mod clock;
pub mod dataset;
pub mod downloads;
pub mod history;
pub mod init;
pub mod machine;
pub mod model;
pub mod permutation;
pub mod progress;
pub mod replicas;
pub mod run_spec;
pub mod schedule;
pub mod train;
