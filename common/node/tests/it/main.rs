//! Tests of a node between a development chain and a bucket server: the checks before it begins, and the
//! shared state through outer steps, kills, late starts and disagreement.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod checks;
mod network;
mod overlap;
mod quiet;
mod state;
