//! Tests that an interrupted preparation resumes and gives the same bytes, wherever and however it ended.

use super::*;
use data::{Phase, Progress, Warning};
use proptest::prelude::*;
use std::{fs::OpenOptions, io::Write, ops::ControlFlow};

/// An observer that stops the preparation after a number of steps.
struct Fuse {
    left: usize,
    phase: Option<Phase>,
}

impl Watch for Fuse {
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()> {
        self.phase = Some(progress.phase);
        match self.left.checked_sub(1) {
            None => ControlFlow::Break(()),
            Some(left) => {
                self.left = left;
                ControlFlow::Continue(())
            }
        }
    }

    fn warning(&mut self, _: &Warning) {}
}

/// Writes the inputs of the test: one file of each format, with two documents that are too long for a piece.
fn inputs(folder: &Path) -> Vec<PathBuf> {
    let documents = documents(120);
    let at = |name: &str| folder.join(name);
    let text =
        [&documents[..40].join("§"), "§", &"a long document\n".repeat(300), &"x".repeat(3000)].concat();
    fs::write(at("1.txt"), &text).unwrap();
    fs::write(at("2.txt.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    write_jsonl(&at("3.jsonl"), &documents[40..80]);
    write_parquet(&at("4.parquet"), &documents[80..], Compression::SNAPPY);
    vec![folder.into()]
}

fn small(inputs: Vec<PathBuf>, out: &Path) -> Options {
    Options { separator: Some("§".into()), max_document: 700, ..options(inputs, out) }
}

/// Simulates a crash while tokenizing: appends bytes after the saved ones.
fn tear_tokens(out: &Path) {
    for role in [ShardRole::Training, ShardRole::HeldOut] {
        append(&out.join(".prepare").join(shard_name(role, 0)), b"torn");
    }
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Simulates a later crash: appends bytes after the saved ones, to the last shard or to a new one.
fn tear_shards(out: &Path) {
    for role in [ShardRole::Training, ShardRole::HeldOut] {
        let path = |number| out.join(shard_name(role, number));
        let next = (0..).find(|&number| !path(number).exists()).unwrap();
        let last =
            next.checked_sub(1).filter(|&last| fs::metadata(path(last)).unwrap().len() < 3 * 64 * 8 * 2);
        append(&path(last.unwrap_or(next)), b"torn");
    }
    fs::write(out.join("manifest.new"), b"torn").unwrap();
}

#[test]
fn stops_at_every_step_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (texts, out) = (folder.path().join("texts"), folder.path().join("out"));
    fs::create_dir(&texts).unwrap();
    let inputs = inputs(&texts);
    let whole = prepare(&small(inputs.clone(), &out), &mut Quiet).unwrap();
    assert!(whole.counts.cut == 2 && whole.counts.documents == 162, "{whole}");
    let expected = files(&out);

    // Each run gets a little further than the last saved position. Then it is stopped.
    let stopped = folder.path().join("stopped");
    let mut phases = Vec::new();
    let mut runs = 0;
    let report = loop {
        let mut fuse = Fuse { left: 4, phase: None };
        match prepare(&small(inputs.clone(), &stopped), &mut fuse) {
            Err(PrepareError::Stopped) => phases.extend(fuse.phase),
            result => break result,
        }
        runs += 1;
        assert!(runs < 300, "the preparation makes no progress");
        match phases.last() {
            Some(Phase::Tokenizing) => tear_tokens(&stopped),
            Some(Phase::Shuffling) => tear_shards(&stopped),
            // Hashing starts over in each run, so this run is not stopped.
            _ => break prepare(&small(inputs.clone(), &stopped), &mut Quiet),
        }
    };
    let _ = fs::remove_file(stopped.join("manifest.new"));
    let count = |phase| phases.iter().filter(|&&p| p == phase).count();
    assert!(
        [(Phase::Tokenizing, 5), (Phase::Shuffling, 5), (Phase::Hashing, 1)]
            .into_iter()
            .all(|(p, n)| count(p) >= n),
        "{runs} runs, {phases:?}"
    );
    assert_eq!(report.unwrap(), whole);
    assert_eq!(files(&stopped), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn stops_at_random_steps_change_nothing(fuses in prop::collection::vec(0usize..40, 1..5), batch in 1usize..3000) {
        let folder = tempfile::tempdir().unwrap();
        let (texts, out, stopped) =
            (folder.path().join("texts"), folder.path().join("out"), folder.path().join("stopped"));
        fs::create_dir(&texts).unwrap();
        let inputs = inputs(&texts);
        let train = |out: &Path| Options {
            tokenizer: TokenizerChoice::Train { vocab: 280, sample: 5000 },
            ..small(inputs.clone(), out)
        };
        prepare(&train(&out), &mut Quiet).unwrap();
        for left in fuses {
            let pace = data::Pace { batch, save: 1 };
            let result = prepare(&Options { pace, ..train(&stopped) }, &mut Fuse { left, phase: None });
            prop_assert!(matches!(result, Ok(_) | Err(PrepareError::Stopped)), "{:?}", result);
        }
        prepare(&train(&stopped), &mut Quiet).unwrap();
        prop_assert_eq!(files(&stopped), files(&out));
    }
}

/// Writes a file with an invalid line. Returns the file, and the result of the same file without that line.
fn broken(folder: &Path) -> (PathBuf, BTreeMap<String, Vec<u8>>) {
    let (good, bad) = (folder.join("good.jsonl"), folder.join("bad.jsonl"));
    write_jsonl(&good, &documents(100));
    prepare(&options(vec![good.clone()], &folder.join("plain")), &mut Quiet).unwrap();
    let good = fs::read(&good).unwrap();
    let mut lines: Vec<&[u8]> = good.split(|&b| b == b'\n').collect();
    lines.insert(60, b"{\"text\": broken}");
    fs::write(&bad, lines.join(&b'\n')).unwrap();
    (bad, files(&folder.join("plain")))
}

/// Returns the number of documents before the last saved position.
fn documents_done(out: &Path) -> u64 {
    let journal: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join(".prepare/journal")).unwrap()).unwrap();
    journal["counts"]["documents"].as_u64().unwrap()
}

#[test]
fn an_error_stays_until_it_is_skipped_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (input, expected) = broken(folder.path());
    let out = folder.path().join("out");
    for _ in 0..2 {
        let error = refusal(&options(vec![input.clone()], &out));
        assert!(
            error.contains("bad.jsonl, line 61: not a JSON object: expected value at column 10"),
            "{error}"
        );
        assert!((40..=60).contains(&documents_done(&out)), "{}", documents_done(&out));
    }
    let skip = Options { skip_bad_lines: true, ..options(vec![input], &out) };
    let report = prepare(&skip, &mut Quiet).unwrap();
    assert_eq!((report.counts.documents, report.counts.bad_lines), (100, 1));
    assert_eq!(files(&out), expected);
}

#[test]
fn a_file_may_be_corrected_where_it_was_not_read_yet() {
    let folder = tempfile::tempdir().unwrap();
    let (input, expected) = broken(folder.path());
    let out = folder.path().join("out");
    refusal(&options(vec![input.clone()], &out));
    let text = fs::read_to_string(&input).unwrap();
    // A change before the position is detected, although the length is the same.
    fs::write(&input, text.replacen("Document 1:", "Document X:", 1)).unwrap();
    let error = refusal(&options(vec![input.clone()], &out));
    assert!(error.contains("bad.jsonl has changed since the preparation began"), "{error}");
    fs::write(&input, text.replace("{\"text\": broken}\n", "")).unwrap();
    assert_eq!(prepare(&options(vec![input], &out), &mut Quiet).unwrap().counts.documents, 100);
    assert_eq!(files(&out), expected);
}

#[test]
fn a_finished_dataset_is_found_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("a.jsonl"), folder.path().join("out"));
    write_jsonl(&input, &documents(100));
    let options = options(vec![input.clone()], &out);
    let made = prepare(&options, &mut Quiet).unwrap();
    let before = files(&out);
    let found = prepare(&options, &mut Quiet).unwrap();
    assert!(!made.found_done && found.found_done && found.dataset == made.dataset);
    let shard = out.join(shard_name(ShardRole::Training, 0));
    fs::write(&shard, b"short").unwrap();
    assert!(refusal(&options).contains("train-00000.tokens has 5 bytes instead of 3072"));
    let again = prepare(&Options { restart: true, ..options.clone() }, &mut Quiet).unwrap();
    assert_eq!((again, files(&out)), (made, before));
    assert!(out.join(blocks_name(ShardRole::HeldOut, 0)).exists());
}

#[test]
fn another_task_is_not_mixed_in() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("a.jsonl"), folder.path().join("out"));
    write_jsonl(&input, &documents(100));
    let options = options(vec![input.clone()], &out);
    let stop = prepare(&options, &mut Fuse { left: 3, phase: None });
    assert!(matches!(stop, Err(PrepareError::Stopped)));
    let error = refusal(&Options { seed: 7, ..options.clone() });
    assert!(
        error.contains("was begun with seed = 0, now it is 7: give the same options to continue"),
        "{error}"
    );
    let error = refusal(&Options { separator: Some("x".into()), ..options.clone() });
    assert!(error.contains("was begun with separator = not given, now it is \"x\""), "{error}");
    write_jsonl(&input, &documents(100)[1..]);
    assert!(refusal(&options).contains("a.jsonl has changed since the preparation began"));
    prepare(&Options { restart: true, seed: 7, ..options }, &mut Quiet).unwrap();

    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "years of work").unwrap();
    let into = Options { restart: true, ..super::options(vec![input], &foreign) };
    assert!(refusal(&into).contains("foreign is not empty and was not begun by this command"));
    assert_eq!(fs::read(foreign.join("thesis.txt")).unwrap(), b"years of work");
}
