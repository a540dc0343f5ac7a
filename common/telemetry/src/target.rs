//! The fixed targets of log lines. A filter may name them, such as `info,storage=debug`.
//!
//! A target names the part of a node that writes the line. Code passes it as `target:` to `tracing`'s
//! macros: as a constant, or as a text in crates below this one. A part may follow, as in
//! `devchain::log`. A test checks that every target of the sources is listed here.

/// The chain: connections, blocks, extrinsics.
pub const CHAIN: &str = "chain";
/// Buckets: puts, gets, retries.
pub const STORAGE: &str = "storage";
/// Windows: claims, votes, accepted sets, outer steps.
pub const WINDOW: &str = "window";
/// Training: inner steps, losses.
pub const TRAIN: &str = "train";
/// The Gauntlet: evaluations, ratings, weights.
pub const SCORE: &str = "score";
/// The process: start, configuration, endpoints, shutdown.
pub const NODE: &str = "node";

/// Reads of chain and buckets, and announcements.
pub const EXCHANGE: &str = "exchange";
/// The model: devices and libtorch.
pub const ENGINE: &str = "engine";
/// The development chain.
pub const DEVCHAIN: &str = "devchain";

/// All targets.
pub const ALL: [&str; 9] = [NODE, CHAIN, WINDOW, TRAIN, STORAGE, SCORE, EXCHANGE, ENGINE, DEVCHAIN];
