//! Tests of the engine's public functions: comparison with `transformers`, windows of training, bad input.
#![allow(clippy::unwrap_used)] // A test that cannot continue stops here.

mod bad_input;
mod checkpoints;
mod handle;
mod recompute;
mod setup;
mod support;
mod training;
mod transformers;
mod trials;
