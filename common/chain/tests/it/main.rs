//! Tests of the client with a development chain, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod commit_reveal;
mod endpoints;
mod errors_page;
mod finality;
mod flow;
mod plans;
mod proxy;
mod reads;
mod reconnect;
mod refusals;
mod restart;
mod runtimes;
mod silence;
mod support;
mod transactions;
mod unwell;
