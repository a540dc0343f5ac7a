//! Tests of buckets over real sockets: the local server with and without faults, and dishonest servers.
#![allow(clippy::unwrap_used)] // A failed step must stop the test.

mod faults;
mod liars;
mod objects;
mod support;
