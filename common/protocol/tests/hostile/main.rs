//! Tests with hostile bytes: each malformed object from outside is refused with the error that
//! `HOSTILE.md` lists.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

mod entries;
mod objects;
mod table;

use std::{fs, path::Path};

/// Compares the page with the rows of the tables. A missing or different row fails.
#[test]
fn each_malformed_input_and_its_error_is_in_the_page() {
    let found = include_str!("../../HOSTILE.md");
    let (introduction, _) = found.split_once("\n## ").unwrap_or((found, ""));
    let page = format!("{}\n\n{}", introduction.trim_end(), table::page());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("HOSTILE.md");
    fs::write(&path, &page).unwrap();
    for (expected, found) in page.lines().zip(found.lines()) {
        assert_eq!(expected, found, "the expected page is in {}", path.display());
    }
    assert!(page == found, "the expected page is in {}", path.display());
}

/// The folder of the fuzzer's inputs.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");

#[test]
fn what_the_search_has_found_is_no_trouble() {
    for (name, run) in entries::ENTRIES {
        let files = fs::read_dir(Path::new(CORPUS).join(name)).unwrap();
        let inputs = files.map(|file| fs::read(file.unwrap().path()).unwrap());
        assert!(inputs.map(|input| run(&input)).count() >= entries::seeds(name).len(), "{name}");
    }
}

/// Checks that the fuzzer begins with valid objects of the current formats. To renew them after a
/// change of a format, remove the old files: the test writes each missing one.
#[test]
fn the_search_begins_with_valid_objects() {
    for (name, run) in entries::ENTRIES {
        let folder = Path::new(CORPUS).join(name);
        for (seed, bytes) in entries::seeds(name) {
            run(&bytes);
            let path = folder.join(format!("valid-{seed}"));
            if !path.exists() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &bytes).unwrap();
                panic!("{} was missing and is now written: run the test again", path.display());
            }
            assert!(fs::read(&path).unwrap() == bytes, "{} is not of the current format", path.display());
        }
    }
}

/// Checks cuts and changed bytes of valid objects, at about 50 places of each, without the fuzzer.
#[test]
fn cuts_and_changes_of_valid_objects_are_no_trouble() {
    for (name, run) in entries::ENTRIES {
        for (_, seed) in entries::seeds(name) {
            let step = seed.len().div_ceil(50);
            for at in (0..seed.len()).step_by(step) {
                run(&seed[..at]);
                for flip in [1, 0x80, 0xff] {
                    let mut changed = seed.clone();
                    changed[at] ^= flip;
                    run(&changed);
                }
            }
        }
    }
}
