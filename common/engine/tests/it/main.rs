//! The engine through its public functions: against `transformers`, through windows of training, with bad input.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

mod bad_input;
mod checkpoints;
mod handle;
mod setup;
mod support;
mod training;
mod transformers;
mod trials;
