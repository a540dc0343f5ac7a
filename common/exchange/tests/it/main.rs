//! Tests of chain and buckets over real sockets: a development chain, and a bucket server with
//! injected faults.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod announcer;
mod checkpoint;
mod fetch;
mod ledger;
mod logs;
mod outbox;
mod sealed;
mod support;
mod weaknesses;
