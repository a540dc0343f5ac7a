//! Tests of lines and documents that are too long for memory.

use super::*;

#[test]
fn a_line_longer_than_any_document_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.jsonl");
    let mut bytes = b"{\"text\":\"good\"}\n".to_vec();
    bytes.resize((64 << 20) + 200_000, b'[');
    fs::write(&input, bytes).unwrap();
    let error = refusal(&options(vec![input], &folder.path().join("out")));
    assert!(error.contains("a.jsonl, line 2: the line is longer than 67108864 bytes"), "{error}");
}

#[test]
fn a_long_document_is_one_document_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let text = (0..3000).map(|n| format!("line {n} of a long é document\n")).collect::<String>();
    let (plain, lines) = (folder.path().join("a.txt"), folder.path().join("a.jsonl"));
    fs::write(&plain, &text).unwrap();
    write_jsonl(&lines, std::slice::from_ref(&text));
    let prepared = |input: PathBuf, out: &str| {
        let out = folder.path().join(out);
        let options = Options { max_document: 1000, held_out: 0.0, ..options(vec![input], &out) };
        let report = prepare(&options, &mut Quiet).unwrap();
        assert_eq!((report.counts.documents, report.counts.cut), (1, 1));
        (files(&out), text_order(&out, ShardRole::Training, &tokens(&out).0))
    };
    let (files, tokens) = prepared(plain, "text");
    assert_eq!(prepared(lines, "lines").0, files);
    // The document is cut at the ends of lines. The text is complete, with a single end (in the dropped
    // last tokens).
    let back = loaded().decode(&tokens).unwrap();
    assert!(text.starts_with(back.trim_end_matches('\u{fffd}')) && back.len() > text.len() * 9 / 10);
}
