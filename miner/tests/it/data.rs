//! `miner data prepare` as a person runs it.

use base::Exit;
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_miner");

/// Runs `miner data prepare` into `out`, with small sequences and shards.
fn prepare(out: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["data", "prepare", "--sequence", "16", "--shard-tokens", "20000", "--out"])
        .arg(out)
        .args(words);
    command.env_clear().stdin(Stdio::null());
    command
}

#[track_caller]
fn assert_ends(output: &Output, exit: Exit, message: &str) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(i32::from(u8::from(exit))), "{out}{error}");
    let said = if exit == Exit::Good { &out } else { &error };
    assert!(said.contains(message), "expected '{message}' in: {said}");
}

/// Returns lines of JSONL with some words each.
fn jsonl(lines: usize) -> String {
    let text = |n: usize| format!("Line {n} says {} and no more.", "many words ".repeat(n % 50));
    (0..lines).map(|n| format!("{{\"n\":{n},\"body\":\"{}\"}}\n", text(n))).collect()
}

fn files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|e| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).unwrap())).collect()
}

/// Feeds standard input from a thread of its own; a program that ends early closes it.
fn feed(child: &mut Child, text: String) -> std::thread::JoinHandle<()> {
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())))
}

#[test]
fn text_becomes_shards_and_standard_input_the_same_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out, piped) =
        (folder.path().join("a.jsonl"), folder.path().join("out"), folder.path().join("piped"));
    fs::write(&input, jsonl(2000)).unwrap();
    let name = input.to_str().unwrap();
    let train = prepare(&out, &[name, "--field", "body", "--train-tokenizer", "300"]).output().unwrap();
    assert_ends(&train, Exit::Good, "documents  2000 (");
    let progress = String::from_utf8_lossy(&train.stderr).into_owned();
    assert!(progress.contains("tokenizing 100 %") && !progress.contains('\r'), "{progress}");
    let again = prepare(&out, &[name, "--field", "body", "--train-tokenizer", "300"]).output().unwrap();
    assert_ends(&again, Exit::Good, "(already complete)");

    let tokenizer = out.join("tokenizer.json");
    let words = ["-", "--format", "jsonl", "--field", "body", "--tokenizer", tokenizer.to_str().unwrap()];
    let mut child = prepare(&piped, &words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    feed(&mut child, jsonl(2000)).join().unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(files(&piped), files(&out));
}

#[test]
fn a_killed_run_goes_on_to_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out, killed) =
        (folder.path().join("a.jsonl"), folder.path().join("out"), folder.path().join("killed"));
    fs::write(&input, jsonl(4000)).unwrap();
    let words = [input.to_str().unwrap(), "--field", "body", "--train-tokenizer", "300"];
    assert_ends(&prepare(&out, &words).output().unwrap(), Exit::Good, "documents  4000 (");

    // Killed as soon as a file appears: at the beginning, in training, in tokenizing, in hashing.
    for file in [
        ".prepare/options",
        "tokenizer.json",
        "train-00000.tokens",
        "train-00002.tokens",
        "train-00000.blocks",
    ] {
        let mut child = prepare(&killed, &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !killed.join(file).exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_ends(&prepare(&killed, &words).output().unwrap(), Exit::Good, "documents  4000 (");
    let left = |name: &String| name.ends_with(".new");
    let mut found = files(&killed);
    found.retain(|name, _| !left(name));
    assert_eq!(found, files(&out));
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("a.jsonl"), folder.path().join("out"));
    let name = input.to_str().unwrap();
    let ends = |words: &[&str], message: &str| {
        assert_ends(&prepare(&out, words).output().unwrap(), Exit::Usage, message);
    };
    fs::write(&input, "{\"text\":\"a\"}\n{\"txt\":\"b\"}\n").unwrap();
    let train = ["--train-tokenizer", "300"];
    ends(&[&[name], &train[..]].concat(), "a.jsonl, line 2: the object has no field \"text\"");
    ends(&[name], "--tokenizer");
    ends(&[name, "--tokenizer", name, "--train-tokenizer", "300"], "cannot be used with");
    ends(&[name, "--tokenizer", name], "is not a usable tokenizer.json");
    ends(&train, "<INPUT>");
    ends(&[name, "--format", "xml", "--train-tokenizer", "300"], "[possible values: text, jsonl, parquet]");
    ends(&["-", "--format", "text", "--train-tokenizer", "300"], "standard input can be read only once");
    ends(&["-", "--tokenizer", name], "unknown format of standard input");
    ends(&[name, "--train-tokenizer", "9"], "the vocabulary is 9: it must be between 257 and 1048576");
}
