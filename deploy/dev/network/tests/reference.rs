//! Tests that REFERENCE.md matches the command line.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use clap::CommandFactory as _;
use std::path::Path;

#[test]
fn the_reference_is_what_the_code_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
    cli::check_reference(&devnet::options::Program::command(), &page).unwrap();
}
