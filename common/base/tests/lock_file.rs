//! Checks the size and the sources of `Cargo.lock`. `DEPENDENCIES.md` says what each large family is for.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use std::path::Path;

/// The maximum number of packages in the lock file.
const MOST_PACKAGES: usize = 700;

/// The only place that packages may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn the_lock_file_is_small_and_names_the_registry_only() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let text = std::fs::read_to_string(path).unwrap();
    let packages = text.lines().filter(|line| line.starts_with("name = ")).count();
    assert!(
        (100..=MOST_PACKAGES).contains(&packages),
        "{packages} packages in Cargo.lock: see the list of older versions in Cargo.toml"
    );
    let sources = text.lines().filter_map(|line| line.strip_prefix("source = "));
    for source in sources {
        assert_eq!(source.trim_matches('"'), REGISTRY);
    }
}
