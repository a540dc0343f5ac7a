//! Tests that the same documents give the same dataset in every format.

use super::*;
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Prepares and returns the files and the report.
fn prepared(options: &Options) -> (BTreeMap<String, Vec<u8>>, Report) {
    let report = prepare(options, &mut Quiet).unwrap();
    (files(&options.out), report)
}

#[test]
fn every_format_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let documents = documents(150);
    let at = |name: &str| folder.path().join(name);
    let text = documents.join("\n==\n");
    fs::write(at("all.txt"), &text).unwrap();
    fs::write(at("all.txt.gz"), gzip(text.as_bytes())).unwrap();
    fs::write(at("all.md.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    write_jsonl(&at("all.jsonl"), &documents);
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(Default::default()),
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
    ];
    let mut names: Vec<String> = ["all.txt", "all.txt.gz", "all.md.zst", "all.jsonl"].map(Into::into).into();
    for (number, codec) in codecs.into_iter().enumerate() {
        names.push(format!("{number}.parquet"));
        write_parquet(&at(names.last().unwrap()), &documents, codec);
    }
    fs::create_dir_all(at("folder/b")).unwrap();
    for (number, document) in documents.iter().enumerate() {
        let place = if number < 75 { "folder/a" } else { "folder/b/" };
        fs::write(at(&format!("{place}{number:03}.txt")), document).unwrap();
    }
    fs::write(at("folder/.hidden.txt"), "hidden").unwrap();
    names.extend(["folder".into(), "folder/**/*.txt".into()]);

    let mut first = None;
    for (number, name) in names.iter().enumerate() {
        let separator = name.starts_with("all").then(|| "\n==\n".into());
        let options = Options { separator, ..options(vec![at(name)], &at(&format!("out{number}"))) };
        let (files, report) = prepared(&options);
        assert_eq!((report.counts.documents, report.counts.empty), (150, 0), "{name}");
        assert!(report.counts.held_out > 10 && report.held_out > 0 && report.shards > 4, "{report}");
        assert_eq!(*first.get_or_insert_with(|| files.clone()), files, "{name}");
    }
}

#[test]
fn tokens_are_the_documents_in_order_each_ended() {
    let folder = tempfile::tempdir().unwrap();
    let documents = documents(150);
    let input = folder.path().join("all.jsonl");
    write_jsonl(&input, &documents);
    let out = folder.path().join("out");
    let report = prepare(&options(vec![input], &out), &mut Quiet).unwrap();
    let (training, held_out) = tokens(&out);
    let tokenizer = loaded();
    assert_eq!((training.len() as u64, held_out.len() as u64), (report.training, report.held_out));
    assert_eq!(training.len() % (8 * 64), 0);
    let shuffled = training.clone();
    let training = text_order(&out, ShardRole::Training, &training);
    let held_out = text_order(&out, ShardRole::HeldOut, &held_out);
    let moved = shuffled.chunks(8).zip(training.chunks(8)).filter(|(a, b)| a != b).count();
    assert!(moved * 8 > training.len() / 2, "only {moved} sequences have moved");
    assert!(!out.join(".prepare").join(shard_name(ShardRole::Training, 0)).exists(), "nothing is kept twice");

    // Each document is whole and in order in one of the two streams.
    let mut kept = &training[..];
    let mut aside = &held_out[..];
    let (mut seen, mut dropped) = (0, 0);
    for document in &documents {
        let mut expected = tokenizer.encode(document).unwrap();
        assert!(!expected.contains(&tokenizer.end_of_text), "the tokens of a text include no special token");
        expected.push(tokenizer.end_of_text);
        if let Some(rest) = kept.strip_prefix(&expected[..]) {
            (kept, seen) = (rest, seen + 1);
        } else if let Some(rest) = aside.strip_prefix(&expected[..]) {
            (aside, seen) = (rest, seen + 1);
        } else {
            dropped += expected.len();
        }
    }
    // The rest is the cut documents at the two ends.
    assert!(
        seen > 100 && kept.len() + aside.len() + report.dropped as usize == dropped,
        "{seen} {dropped} {report}"
    );
}

#[test]
fn fields_columns_empty_and_bad_lines() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let good = |n: usize| serde_json::json!({"body": format!("line {n} {}", "word ".repeat(40))}).to_string();
    let mut lines: Vec<_> = (0..40).map(good).collect();
    lines[3] = "{\"body\":null}".into();
    lines[5] = "  ".into();
    lines[7] = "{\"body\":\"\"}\r".into();
    let clean = lines.join("\n");
    fs::write(at("clean.jsonl"), format!("\u{feff}{clean}\n\n")).unwrap();
    let field =
        |input: &str, out: &str| Options { field: "body".into(), ..options(vec![at(input)], &at(out)) };
    let (expected, report) = prepared(&field("clean.jsonl", "clean"));
    assert_eq!((report.counts.documents, report.counts.empty), (37, 2));

    let mut bad: Vec<Vec<u8>> = lines.iter().map(|line| line.clone().into_bytes()).collect();
    for (at, line) in [(2, "{"), (9, "[]"), (20, "{\"text\":\"x\"}"), (21, "{\"body\":1}")] {
        bad.insert(at, line.into());
    }
    bad.insert(11, b"{\"body\":\"\xff\"}".to_vec());
    fs::write(at("bad.jsonl"), bad.join(&b'\n')).unwrap();
    let (files, report) = prepared(&Options { skip_bad_lines: true, ..field("bad.jsonl", "bad") });
    assert_eq!(report.counts.bad_lines, 5);
    assert_eq!(files, expected);

    write_parquet(&at("a.parquet"), &documents(60), Compression::SNAPPY);
    let column = |name: &str| Options { column: name.into(), ..options(vec![at("a.parquet")], &at(name)) };
    assert_eq!(prepared(&column("text")).0, prepared(&column("more.text")).0);
    let notes = Options { sequence: 2, shard_tokens: 128, held_out: 0.0, ..column("note") };
    let counts = prepared(&notes).1.counts;
    assert_eq!((counts.documents, counts.empty), (50, 10));
}

#[test]
fn a_folder_is_read_once_and_says_what_it_leaves_out() {
    struct Heard(Vec<String>);
    impl Watch for Heard {
        fn progress(&mut self, _: &data::Progress) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Continue(())
        }
        fn warning(&mut self, warning: &data::Warning) {
            self.0.push(warning.to_string());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.txt"), "word ".repeat(2000)).unwrap();
    fs::write(at("b.html"), "<p>").unwrap();
    std::os::unix::fs::symlink(folder.path(), at("loop")).unwrap();
    let inputs = vec![at("a.txt"), folder.path().into(), at("*.txt")];
    let mut heard = Heard(vec![]);
    let out = tempfile::tempdir().unwrap();
    let report = prepare(&Options { held_out: 0.01, ..options(inputs, out.path()) }, &mut heard).unwrap();
    assert_eq!(report.counts.documents, 1);
    assert_eq!(heard.0.len(), 2, "{:?}", heard.0);
    assert!(heard.0[0].starts_with("skipped 1 files of unknown format, such as "), "{:?}", heard.0);
    assert!(heard.0[1].starts_with("no whole sequence of the 1 documents is held out"), "{:?}", heard.0);
}
