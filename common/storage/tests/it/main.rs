//! Buckets through real sockets: against the local server, with and without faults, and against servers that lie.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

mod faults;
mod liars;
mod objects;
mod support;
