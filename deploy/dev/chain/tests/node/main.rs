//! Tests the node through real sockets, and the real binary. There is only one test binary, since each
//! one links the whole runtime.

#![allow(clippy::unwrap_used, missing_docs)] // A test that cannot continue must stop.

mod command;
mod dev;
mod door;
mod faults;
mod finality;
mod kill;
mod restart;
mod rpc;
mod support;
mod transactions;
