//! The miner as people run it: the real binary, on a real chain protocol, with a real bucket protocol.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

mod command;
mod data;
mod launch;
mod network;
mod overlap;
mod refusals;
mod silence;
mod strangers;
mod why;
mod windows;
