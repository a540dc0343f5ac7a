//! The fixed targets of log lines. A filter may name them, such as `info,storage=debug`.
//!
//! A target names the part of a node that writes the line. Code passes it as `target:` to `tracing`'s
//! macros.

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

/// All targets.
pub const ALL: [&str; 6] = [NODE, CHAIN, WINDOW, TRAIN, STORAGE, SCORE];
