//! Tests that the tool makes exactly the pinned file, and that the provenance page is right about each file.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod common;

use chain_metadata::pin::{self, Facts};
use chain_metadata::runtime::{PINNED_BYTES, RuntimeId};
use chain_metadata::strip::{self, StripError};

#[test]
fn the_pinned_file_is_what_the_tool_makes_and_nothing_else() {
    let source = std::fs::read(common::path(&facts().source)).unwrap();
    let made = strip::strip(&source).unwrap();
    assert!(made == PINNED_BYTES, "make {} again: PROVENANCE.md holds the command", pin::FILE);
}

fn facts() -> Facts {
    serde_json::from_slice(&std::fs::read(common::path(pin::FACTS)).unwrap()).unwrap()
}

#[test]
fn the_facts_are_those_of_the_pinned_file() {
    let Facts { spec_name, spec_version, genesis, bytes, blake2b, .. } = facts();
    assert_eq!(RuntimeId { name: spec_name, spec_version }, RuntimeId::pinned());
    assert_eq!((bytes, blake2b), (PINNED_BYTES.len(), pin::hash(PINNED_BYTES)));
    assert!(genesis.is_none_or(|hash| hash.len() == 66 && hash.starts_with("0x")));
}

#[test]
fn the_pinned_file_is_small() {
    assert!(PINNED_BYTES.len() < 64 << 10, "{} bytes", PINNED_BYTES.len());
}

#[test]
fn stripping_twice_changes_nothing() {
    assert!(strip::strip(PINNED_BYTES).unwrap() == PINNED_BYTES);
}

#[test]
fn only_v15_is_stripped() {
    let error = |file| strip::strip(&common::data(file)).unwrap_err();
    assert!(matches!(error(common::SPEC_219), StripError::Version { found: 14 }));
    assert!(matches!(error(common::SPEC_365), StripError::Version { found: 16 }));
}

#[test]
fn the_provenance_page_has_size_and_hash_of_every_file() {
    let page = std::fs::read_to_string(common::path("PROVENANCE.md")).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(common::path("tests/data")).unwrap().collect();
    files.extend(std::fs::read_dir(common::path("metadata")).unwrap());
    assert_eq!(files.len(), 6);
    for file in files {
        let path = file.unwrap().path();
        let name = path.strip_prefix(common::path("")).unwrap().display().to_string();
        let bytes = std::fs::read(&path).unwrap();
        let hash = pin::hash(&bytes);
        let row = format!("| `{name}` | {} | `{hash}` |", bytes.len());
        assert!(page.contains(&row), "PROVENANCE.md must have the row\n{row}");
    }
}
