//! Measures the memory and time of a large preparation:
//! `cargo run -p data --example memory -- MEGABYTES [text|jsonl]`.
//!
//! Writes that many megabytes of words into a temporary folder, and prepares them. One line in two
//! thousand is 1 MB long. Prints the seconds, the megabytes per second, and the peak memory of the
//! process.
#![allow(clippy::unwrap_used)] // A failed step must stop the program.

use data::{Format, Meter, Options, TokenizerChoice, prepare};
use std::{
    fs::File,
    io::{BufWriter, IsTerminal, Write, stderr},
    path::Path,
    time::Instant,
};

fn main() {
    let mut words = std::env::args().skip(1);
    let megabytes: usize = words.next().map_or(256, |word| word.parse().unwrap());
    let format = if words.next().as_deref() == Some("text") { Format::Text } else { Format::Jsonl };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    write(&input, megabytes << 20, format);
    let tokenizer = TokenizerChoice::Train { vocab: 4096, sample: 16 << 20 };
    let options = Options {
        format: Some(format),
        sequence: 128,
        ..Options::new(vec![input], folder.path().join("out"), tokenizer)
    };
    let before = most_memory();
    let began = Instant::now();
    let mut meter = Meter::new(stderr(), stderr().is_terminal());
    let report = prepare(&options, &mut meter).unwrap();
    meter.finish();
    let seconds = began.elapsed().as_secs_f64();
    println!("{report}");
    println!("{seconds:.1} s, {:.2} MB/s", (megabytes << 20) as f64 / 1e6 / seconds);
    println!("peak memory: {before} before, {} after", most_memory());
}

/// Writes lines of pseudo-random words. Every run writes the same words.
fn write(path: &Path, bytes: usize, format: Format) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut state, mut written, mut line) = (1u64, 0, 0u64);
    while written < bytes {
        line += 1;
        let length = if line.is_multiple_of(2000) { 1 << 20 } else { 2000 };
        let mut text = String::new();
        while text.len() < length {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // A few words are frequent and many are rare, as in a natural language.
            let rank = (state >> 40) >> ((state >> 32) % 20);
            text += &format!("w{rank:x} ");
        }
        match format {
            Format::Text => writeln!(file, "{text}").unwrap(),
            _ => writeln!(file, r#"{{"id":{line},"text":"{text}"}}"#).unwrap(),
        }
        written += text.len();
    }
    file.flush().unwrap();
}

/// Returns the peak memory of this process, as the system reports it.
fn most_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".into(), |value| value.trim().to_owned())
}
