//! Tests the auditor's binary on a simulated run, with a development chain and a bucket server.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

mod faults;
mod honest;
mod program;
mod subnet;
mod test_run;
mod tree;
mod why;
