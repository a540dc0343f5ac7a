//! Trains a run with several miners in one process, without a chain and without buckets. Everything else is
//! as in a network: assignments of data, inner steps, error feedback, compression, signed submissions, the
//! outer step.
//!
//! [`Training`](training::Training) compares choices of the protocol: all miners are honest, and all are
//! accepted. The program `training-bench` prints its results. Other measurements make their own loop from a
//! [`Dataset`](dataset::Dataset) and [`Miner`](miner::Miner)s.
//!
//! ```
//! use training_bench::{TINY, seeds::seed_of};
//!
//! let run = protocol::run_spec::RunFile::parse(TINY)?;
//! assert_eq!(run.name, "tiny");
//! assert_ne!(seed_of(1, &[b"miner"]), seed_of(2, &[b"miner"]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod dataset;
pub mod miner;
pub mod seeds;
pub mod training;

/// The tiny run, the default of all measurements.
pub const TINY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../runs/tiny.toml"));
