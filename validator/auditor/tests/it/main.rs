//! The auditor's binary against a development chain and real buckets, on a small subnet's story.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

mod faults;
mod honest;
mod program;
mod story;
mod tree;
