#![no_main]
#![allow(dead_code, clippy::unwrap_used)] // Of the entries each target takes one.

#[path = "../../common/protocol/tests/hostile/entries.rs"]
mod entries;
#[path = "../../common/protocol/tests/hostile/objects.rs"]
mod objects;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::read_key_file(data));
