//! Tests of the public function with small corpora.
#![allow(clippy::unwrap_used)] // A failed step must stop the test.

mod formats;
mod limits;
mod refusals;
mod resume;

use ::parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use data::{
    MANIFEST, Options, PrepareError, Quiet, Report, TOKENIZER, TextTokenizer, TokenizerChoice, Watch,
    blocks_name, prepare, shard_files, shard_name,
};
use protocol::{
    dataset::{BlockTable, Manifest, ShardRole, TokenType},
    permutation::Permutation,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tempfile::TempDir;

/// Returns a tokenizer with 300 entries. Trains it once.
fn tokenizer() -> &'static Path {
    static TRAINED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = TRAINED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("a.txt");
        fs::write(&text, documents(200).join("\n")).unwrap();
        let options = Options {
            sequence: 8,
            ..Options::new(
                vec![text],
                folder.path().join("out"),
                TokenizerChoice::Train { vocab: 300, sample: 1 << 20 },
            )
        };
        prepare(&options, &mut Quiet).unwrap();
        let path = folder.path().join("out").join(TOKENIZER);
        (folder, path)
    });
    path
}

/// Returns documents of different lengths and scripts.
fn documents(count: usize) -> Vec<String> {
    let document = |n: usize| {
        let words = (0..n * 37 % 101 + 1)
            .map(|w| ["the", "sea", "größer", "\u{1f600}", "<|endoftext|>", "7"][(n + w) % 6]);
        format!(
            "Document {n}: {}",
            words.collect::<Vec<_>>().join(if n.is_multiple_of(3) { "\n" } else { " " })
        )
    };
    (0..count).map(document).collect()
}

/// Returns options for small inputs: sequences of 8 tokens, 20 % held out, shards of 3 blocks, a save
/// after each kilobyte.
fn options(inputs: Vec<PathBuf>, out: &Path) -> Options {
    Options {
        sequence: 8,
        held_out: 0.2,
        shard_tokens: 8 * 64 * 3 + 5,
        pace: data::Pace { batch: 500, save: 1000 },
        ..Options::new(inputs, out.into(), TokenizerChoice::File(tokenizer().into()))
    }
}

fn write_jsonl(path: &Path, documents: &[String]) {
    let lines =
        documents.iter().enumerate().map(|(n, text)| serde_json::json!({"id": n, "text": text}).to_string());
    fs::write(path, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

/// Writes a Parquet file of two row groups. In a nullable column before the text, every seventh row is empty.
fn write_parquet(path: &Path, documents: &[String], compression: Compression) {
    let schema = "message row { required int64 id; optional binary note (utf8); optional binary text (utf8); \
                  required group more { required binary text (utf8); } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties =
        WriterProperties::builder().set_compression(compression).set_data_page_row_count_limit(5);
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties.build())).unwrap();
    for rows in documents.chunks(documents.len() / 2 + 1) {
        let ids: Vec<_> = (0..).take(rows.len()).collect();
        let texts: Vec<_> = rows.iter().map(|text| ByteArray::from(text.as_str())).collect();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let all = vec![1; rows.len()];
        let levels: Vec<_> = (0..rows.len()).map(|n| i16::from(!n.is_multiple_of(7))).collect();
        let notes: Vec<_> = levels.iter().filter(|&&l| l == 1).map(|_| ByteArray::from("note")).collect();
        for (values, levels) in [(notes, Some(levels)), (texts.clone(), Some(all)), (texts, None)] {
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&values, levels.as_deref(), None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// Reads all files of a dataset's folder, without the journal.
fn files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|e| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).unwrap())).collect()
}

fn manifest(out: &Path) -> Manifest {
    Manifest::read(&fs::read(out.join(MANIFEST)).unwrap()).unwrap()
}

/// Reads the training tokens and the held-out tokens of all shards. Also checks lengths and hashes.
fn tokens(out: &Path) -> (Vec<u32>, Vec<u32>) {
    let manifest = manifest(out);
    let read = |name: &str| {
        let bytes = fs::read(out.join(name)).unwrap();
        let table =
            BlockTable::read(&fs::read(out.join(name.replace(".tokens", ".blocks"))).unwrap()).unwrap();
        let block = 64 * manifest.sequence as usize * manifest.tokens.bytes() as usize;
        assert_eq!(table.blocks().len(), bytes.chunks(block).len());
        assert!(bytes.chunks(block).enumerate().all(|(number, block)| table.verify(number, block)));
        (table.hash(), bytes)
    };
    let mut both = (Vec::new(), Vec::new());
    for (name, shard) in shard_files(&manifest) {
        let (hash, bytes) = read(&name);
        assert_eq!((hash, bytes.len() as u64), (shard.blocks, manifest.shard_bytes(shard)));
        let to = if name.starts_with("train") { &mut both.0 } else { &mut both.1 };
        match manifest.tokens {
            TokenType::U16 => to.extend(bytes.chunks(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])))),
            TokenType::U32 => {
                to.extend(bytes.chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            }
        }
    }
    both
}

/// Returns the tokens in the order of the text, for seed 0. Inverts the permutation of FORMATS.md.
fn text_order(out: &Path, role: ShardRole, tokens: &[u32]) -> Vec<u32> {
    let manifest = manifest(out);
    let mut key = blake3::Hasher::new_derive_key("muster v1 sequence order");
    key.update(&0u64.to_le_bytes()).update(&manifest.tokenizer.0).update(&[role as u8]);
    let sequence = manifest.sequence as usize;
    let order = Permutation::new(*key.finalize().as_bytes(), (tokens.len() / sequence) as u64);
    let mut back = vec![0; tokens.len()];
    for (number, tokens) in tokens.chunks(sequence).enumerate() {
        let from = order.at(number as u64).unwrap() as usize * sequence;
        back[from..from + sequence].copy_from_slice(tokens);
    }
    back
}

fn loaded() -> TextTokenizer {
    TextTokenizer::new("tokenizer.json", &fs::read(tokenizer()).unwrap(), None).unwrap()
}

/// Returns the error message of a preparation.
fn refusal(options: &Options) -> String {
    base::ErrorChain(&prepare(options, &mut Quiet).unwrap_err()).to_string()
}
