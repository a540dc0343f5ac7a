//! Values derived from the number that names a repetition.

use base::digest::RunSeed;

/// Derives 32 bytes from the number of a repetition and a label.
pub fn seed_of(number: u64, label: &[&[u8]]) -> RunSeed {
    RunSeed::of(&[&[&number.to_le_bytes()[..]], label].concat())
}
