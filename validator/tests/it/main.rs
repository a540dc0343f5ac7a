//! The validator as people run it: the real binary, on a real chain protocol, with a real bucket protocol.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

mod checkpoints;
mod command;
mod hidden;
mod joining;
mod miners;
mod network;
mod refusals;
mod replay;
mod strangers;
mod windows;
