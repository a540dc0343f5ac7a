//! Tests of chain and buckets over real sockets: a development chain, and a bucket server with
//! injected faults.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod attacks;
mod chain_reader;
mod checkpoint;
mod commitment_writer;
mod fetch;
mod logs;
mod own_bucket;
mod sealed;
mod support;
mod weaknesses;
