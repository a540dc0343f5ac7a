//! Tests the pallets block by block, without a node.

#![allow(clippy::unwrap_used)] // A test that cannot continue must stop.

mod chain;
mod commit_reveal;
mod support;
mod user;
