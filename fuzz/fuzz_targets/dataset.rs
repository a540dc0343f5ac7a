#![no_main]
#![allow(dead_code, clippy::unwrap_used)] // Each target uses one of the entries.

#[path = "../../common/protocol/tests/hostile/entries.rs"]
mod entries;
#[path = "../../common/protocol/tests/hostile/objects.rs"]
mod objects;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::read_dataset(data));
