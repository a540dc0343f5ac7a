//! Tests of errors: each names the file, the line and the remedy.

use super::*;
use data::OutputError;
use proptest::prelude::*;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the error for a file with these bytes, without the folder's name.
    fn refuse(&self, name: &str, bytes: &[u8], change: impl FnOnce(&mut Options)) -> String {
        fs::write(self.at(name), bytes).unwrap();
        self.refuse_inputs(vec![self.at(name)], change)
    }

    fn refuse_inputs(&self, inputs: Vec<PathBuf>, change: impl FnOnce(&mut Options)) -> String {
        let mut options = Options { restart: true, ..options(inputs, &self.at("out")) };
        change(&mut options);
        let folder = self.0.path().canonicalize().unwrap();
        refusal(&options)
            .replace(&format!("{}/", folder.display()), "")
            .replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn inputs_are_refused_by_file_and_line() {
    let folder = Folder::new();
    let lines =
        |bad: &[u8]| [b"{\"text\":\"good\"}\n{\"text\":\"good\"}\n", bad, b"\n{\"text\":\"good\"}"].concat();
    assert_eq!(
        folder.refuse("a.jsonl", &lines(b"{\"text\": oops}"), |_| {}),
        "a.jsonl, line 3: not a JSON object: expected value at column 10: correct the line, or skip bad lines"
    );
    assert_eq!(
        folder.refuse("a.jsonl", &lines(b"{\"content\": \"x\"}"), |_| {}),
        "a.jsonl, line 3: the object has no field \"text\": name the field that holds the text, or skip bad lines"
    );
    assert_eq!(
        folder.refuse("a.jsonl", &lines(b"{\"text\": [1]}"), |_| {}),
        "a.jsonl, line 3: the field \"text\" is a list, not a string: name another field, or skip bad lines"
    );
    let invalid = "is not UTF-8: convert the file (`iconv -f ENCODING -t UTF-8`) or leave it out";
    assert_eq!(
        folder.refuse("a.jsonl", &lines(b"{\"text\": \"\xe9\"}"), |_| {}),
        format!("a.jsonl, line 3: byte 42 of the input {invalid}")
    );
    assert_eq!(
        folder.refuse("a.txt", b"one\ntwo\nthr\xe9e\n", |_| {}),
        format!("a.txt, line 3: byte 11 of the input {invalid}")
    );
    assert_eq!(
        folder.refuse("b.txt", b"one|two\n|thr\xe9e\n", |o| o.separator = Some("|".into())),
        format!("b.txt, line 2: byte 12 of the input {invalid}")
    );
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let folder = Folder::new();
    assert_eq!(
        folder.refuse("a.txt", b"", |_| {}).replace("a.txt", "F"),
        "no text in F: every document is empty"
    );
    assert_eq!(
        folder.refuse("a.html", b"<p>", |_| {}),
        "unknown format of a.html: give the format (text, jsonl, parquet)"
    );
    assert_eq!(
        folder.refuse_inputs(vec![folder.at("none.txt")], |_| {}),
        "none.txt does not exist: check the path"
    );
    assert_eq!(folder.refuse_inputs(vec![folder.at("*.csv")], |_| {}), "no file matches *.csv");
    assert!(
        folder.refuse_inputs(vec![folder.at("a[.txt")], |_| {}).contains("a[.txt is not a valid pattern: ")
    );
    fs::create_dir(folder.at("empty")).unwrap();
    assert!(
        folder
            .refuse_inputs(vec![folder.at("empty")], |_| {})
            .starts_with("empty contains no .txt, .md, .jsonl")
    );
    assert!(
        folder
            .refuse("a.parquet.gz", b"x", |_| {})
            .contains("a.parquet.gz as Parquet: it must be an uncompressed file")
    );
    assert!(
        folder
            .refuse("a.parquet", b"PAR1 no", |_| {})
            .starts_with("cannot read the Parquet file a.parquet: ")
    );
    assert!(folder.refuse("b.txt.gz", b"not gzip", |_| {}).starts_with("cannot read b.txt.gz at line 1: "));
    let cut = &zstd::encode_all(&b"word ".repeat(10_000)[..], 1).unwrap()[..20];
    assert!(folder.refuse("c.txt.zst", cut, |_| {}).starts_with("cannot read c.txt.zst at line 1: "));

    write_parquet(&folder.at("d.parquet"), &documents(20), Compression::SNAPPY);
    let column = |name: &str| folder.refuse_inputs(vec![folder.at("d.parquet")], |o| o.column = name.into());
    assert_eq!(
        column("body"),
        "d.parquet has no column \"body\"; it has id, note, text, more.text: name the column that holds the text"
    );
    assert_eq!(
        column("id"),
        "column \"id\" of d.parquet is INT64, not one string per row: name another column"
    );
    assert_eq!(
        folder.refuse("e.txt", b"too little", |o| o.held_out = 0.0),
        "the text gives 11 training tokens, but a block of 64 sequences of 8 tokens has 512: give more text, or a \
         smaller sequence length"
    );
}

#[test]
fn options_are_checked_before_anything_is_read() {
    let folder = Folder::new();
    let refuse = |change: fn(&mut Options)| folder.refuse("a.txt", b"text", change);
    assert_eq!(
        refuse(|o| o.held_out = 1.0),
        "the held-out share is 1: it must be at least 0 and less than 1"
    );
    assert_eq!(
        refuse(|o| o.held_out = f64::NAN),
        "the held-out share is NaN: it must be at least 0 and less than 1"
    );
    assert_eq!(refuse(|o| o.sequence = 1), "the sequence length is 1: it must be between 2 and 1048576");
    assert_eq!(
        refuse(|o| o.shard_tokens = 511),
        "the size of a shard in tokens is 511: it must be between 512 and 2147483648"
    );
    assert_eq!(
        refuse(|o| o.max_document = 0),
        "the maximum size of a document part is 0: it must be between 64 and 16777216"
    );
    assert_eq!(
        refuse(|o| o.separator = Some(String::new())),
        "the separator is empty: leave it out to take each file as one document"
    );
    assert_eq!(
        refuse(|o| o.tokenizer = TokenizerChoice::Train { vocab: 256, sample: 1 }),
        "the vocabulary is 256: it must be between 257 and 1048576"
    );
    assert_eq!(
        refuse(|o| o.inputs.clear()),
        "no input: give files, folders, patterns, or - for standard input"
    );
    let train = TokenizerChoice::Train { vocab: 300, sample: 1 };
    assert!(
        folder
            .refuse_inputs(vec!["-".into()], |o| o.tokenizer = train)
            .starts_with("standard input can be read only once")
    );
    assert!(!folder.at("out").exists(), "nothing was written");
}

#[test]
fn tokenizers_are_checked_before_anything_is_written() {
    let folder = Folder::new();
    let missing = folder.at("none.json");
    let error = folder.refuse("a.txt", b"text", |o| o.tokenizer = TokenizerChoice::File(missing));
    assert!(error.starts_with("cannot read the tokenizer none.json: "), "{error}");
    let wrong = folder.at("a.txt");
    let error = folder.refuse("a.txt", b"text", |o| o.tokenizer = TokenizerChoice::File(wrong));
    assert!(error.starts_with("a.txt is not a usable tokenizer.json: "), "{error}");
    let error = folder.refuse("a.txt", b"text", |o| o.end_of_text = Some("<end>".into()));
    assert!(error.contains("has no token \"<end>\": name the token that ends a document"), "{error}");
    assert!(!folder.at("out").exists(), "nothing was written");
}

#[test]
fn a_large_vocabulary_takes_four_bytes_a_token() {
    let folder = Folder::new();
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(tokenizer()).unwrap()).unwrap();
    json["model"]["vocab"]["far away"] = 65_535.into();
    let small = folder.at("small.json");
    fs::write(&small, json.to_string()).unwrap();
    json["model"]["vocab"]["farther"] = 65_536.into();
    let large = folder.at("large.json");
    fs::write(&large, json.to_string()).unwrap();
    write_jsonl(&folder.at("a.jsonl"), &documents(50));
    let with = |path: &Path, out: &str| {
        let tokenizer = TokenizerChoice::File(path.into());
        let out = folder.at(out);
        prepare(&Options { tokenizer, ..options(vec![folder.at("a.jsonl")], &out) }, &mut Quiet).unwrap();
        (manifest(&out).tokens, text_order(&out, ShardRole::Training, &tokens(&out).0))
    };
    let ((two, same), (four, tokens)) = (with(&small, "small"), with(&large, "large"));
    assert_eq!((two, four), (TokenType::U16, TokenType::U32));
    assert_eq!(same, tokens);
    json["model"]["vocab"]["too far"] = u32::MAX.into();
    fs::write(&large, json.to_string()).unwrap();
    let error =
        folder.refuse_inputs(vec![folder.at("a.jsonl")], |o| o.tokenizer = TokenizerChoice::File(large));
    assert!(error.contains("has a token numbered 2^32 - 1"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    write_jsonl(&folder.at("a.jsonl"), &documents(50));
    let error = folder.refuse_inputs(vec![folder.at("a.jsonl")], |o| o.out = o.inputs[0].join("out"));
    assert!(error.starts_with("cannot write a.jsonl/out: "), "{error}");
    let stopped = options(vec![folder.at("a.jsonl")], &folder.at("out"));
    prepare(&stopped, &mut Quiet).unwrap();
    fs::write(folder.at("out/.prepare/journal"), b"{").unwrap();
    let error = refusal(&stopped);
    assert!(error.contains(".prepare/journal is damaged (EOF"), "{error}");

    struct Meddler(Options, Option<PrepareError>);
    impl Watch for Meddler {
        fn progress(&mut self, _: &data::Progress) -> std::ops::ControlFlow<()> {
            self.1 = prepare(&self.0, &mut Quiet).err();
            std::ops::ControlFlow::Break(())
        }
        fn warning(&mut self, _: &data::Warning) {}
    }
    let mut meddler = Meddler(stopped.clone(), None);
    prepare(&Options { restart: true, ..stopped }, &mut meddler).unwrap_err();
    let busy = meddler.1.unwrap();
    assert!(matches!(busy, PrepareError::Output(OutputError::Busy(_))), "{busy}");
    assert!(busy.to_string().contains("another preparation is writing to "), "{busy}");
}

#[test]
fn errors_tell_programs_how_to_end() {
    let full = OutputError::NoSpace("x".into());
    assert_eq!(
        full.to_string(),
        "no space left for x: free some space, then run the same command again to continue"
    );
    assert_eq!(PrepareError::from(full).exit(), base::Exit::Failed);
    assert_eq!(PrepareError::from(data::OptionsError::NoInput).exit(), base::Exit::Usage);
    assert_eq!(PrepareError::Stopped.exit(), base::Exit::Failed);
}

/// Prepares a Parquet file some of whose bytes are changed: the place of each, and the bits that flip.
fn prepare_damaged(flips: impl FnOnce(usize) -> Vec<(usize, u8)>) -> Result<(), PrepareError> {
    let folder = Folder::new();
    let path = folder.at("a.parquet");
    write_parquet(&path, &documents(30), Compression::SNAPPY);
    let mut bytes = fs::read(&path).unwrap();
    for (at, value) in flips(bytes.len()) {
        bytes[at] ^= value;
    }
    fs::write(&path, bytes).unwrap();
    let options = Options { sequence: 2, ..options(vec![path], &folder.at("out")) };
    prepare(&options, &mut Quiet).map(|_| ())
}

/// Checks a file whose footer makes the library panic: the place of a dictionary is wrong.
#[test]
fn a_parquet_file_with_a_damaged_footer_is_refused() {
    let error = prepare_damaged(|length| vec![(length - 452, 0xc0)]).unwrap_err();
    assert!(base::ErrorChain(&error).to_string().contains("it is damaged (Decoder for dict"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_parquet_is_read_or_refused(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let place = |length| flips.iter().map(|(at, value)| (at.index(length), *value)).collect();
        match prepare_damaged(place) {
            Ok(()) | Err(PrepareError::Input(_) | PrepareError::Output(OutputError::TooLittle { .. })) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
