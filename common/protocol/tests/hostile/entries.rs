//! The entries of the fuzzer and of the tests: one function for each kind of object from outside.
//!
//! Each function does with the bytes what a node does with them. For any bytes it must return: a panic
//! is a bug in Muster. It checks that an accepted object has one encoding and one effect.

use crate::objects::*;
use base::{
    ErrorChain, Window,
    commitment::{Commitment, Fields},
    key_file::{Contents, KeyFile},
};
use codec::{
    aggregate::{ClipBounds, FullWork, outer_step},
    submission::{
        HEADER_BYTES, KEY_BYTES, KEY_SIGNATURE_CONTEXT, Sealed, Submission, SubmissionError,
        SubmissionLayout, TRAILER_BYTES, encode,
    },
};
use parity_scale_codec::Encode as _;
use protocol::{
    announcement::{self, Record},
    checkpoint::{Manifest, Pointer},
    dataset,
    history::WindowRecord,
    progress::Progress,
    run_spec::{RunFile, RunSpec},
};
use scoring::score_log::{Replay, ScoreLog};
use std::sync::Arc;

/// A name, and its function.
pub(crate) type Entry = (&'static str, fn(&[u8]));

/// All entries.
pub(crate) const ENTRIES: [Entry; 10] = [
    ("submission", open_submission),
    ("sealed", open_sealed),
    ("key_object", open_key_object),
    ("commitment", read_commitment),
    ("score_log", open_score_log),
    ("run_spec", read_run_spec),
    ("run_file", read_run_file),
    ("dataset", read_dataset),
    ("checkpoint", read_checkpoint),
    ("key_file", read_key_file),
];

/// Splits off the first byte, by which an entry chooses one of several kinds of objects.
fn choice(data: &[u8], of: usize) -> Option<(usize, &[u8])> {
    data.split_first().map(|(first, rest)| (usize::from(*first) % of, rest))
}

/// Opens a submission of one of the layouts. The data lacks digest and signature.
///
/// The first half of the choices uses a valid header, the second half that of the data.
pub(crate) fn open_submission(data: &[u8]) {
    let Some((choice, unsigned)) = choice(data, 2 * LAYOUT_COUNT) else { return };
    let layout = &LAYOUTS[choice % LAYOUT_COUNT];
    let mut unsigned = unsigned.to_vec();
    if choice < LAYOUT_COUNT && unsigned.len() >= HEADER_BYTES {
        let valid = &VALID[choice % LAYOUT_COUNT];
        unsigned[..HEADER_BYTES].copy_from_slice(&valid.bytes[..HEADER_BYTES]);
    }
    if let Some(submission) = open_repaired(unsigned, layout) {
        has_one_form(&submission);
        // This is slow: test one of eight.
        if submission.hash().0[0].is_multiple_of(8) {
            has_one_effect(submission, &VALID[choice % LAYOUT_COUNT].honest);
        }
    }
}

/// Opens a submission after correcting the length in its header, its offsets, its digest and its signature.
fn open_repaired(unsigned: Vec<u8>, layout: &Arc<SubmissionLayout>) -> Option<Submission<Vec<u8>>> {
    let mut bytes = repaired([&unsigned[..], &[0; TRAILER_BYTES]].concat());
    for _ in 0..=layout.tensors().len() {
        match Submission::open(bytes.clone(), Arc::clone(layout), &expected(&SENDER, false)) {
            Ok(submission) => return Some(submission),
            Err(SubmissionError::Offset { tensor, found, .. }) => {
                let number = layout.tensors().iter().position(|layout| layout.name() == tensor).unwrap();
                let entry = HEADER_BYTES + 16 * number + 8;
                bytes[entry..entry + 8].copy_from_slice(&found.to_le_bytes());
                bytes = repaired(bytes);
            }
            Err(error) => {
                drop(ErrorChain(&error).to_string());
                return None;
            }
        }
    }
    panic!("a corrected offset is wrong");
}

/// Checks that encoding the decoded submission gives the same bits.
fn has_one_form(submission: &Submission<Vec<u8>>) {
    let layout = submission.layout();
    let tensors: Vec<_> =
        (0..layout.tensors().len()).map(|number| submission.tensor(number).unwrap()).collect();
    let again = encode(layout, submission.header(), &tensors, &SENDER).unwrap();
    let unsigned = again.len() - TRAILER_BYTES;
    assert!(again[..unsigned] == submission.bytes()[..submission.bytes().len() - TRAILER_BYTES]);
}

/// Checks that the outer step with this submission and an honest one is the same on any number of threads.
fn has_one_effect(submission: Submission<Vec<u8>>, honest: &Submission<Vec<u8>>) {
    let layout = Arc::clone(submission.layout());
    let accepted = [submission, honest.clone()];
    let bounds = ClipBounds { last: None, full: FullWork { travel: 1e-3, samples: 1 } };
    let steps = [1, 3].map(|threads| {
        let mut tensors: Vec<_> =
            layout.tensors().iter().map(|tensor| vec![0.5f32; tensor.geometry().len()]).collect();
        let mut parameters: Vec<_> = tensors.iter_mut().map(|values| &mut values[..]).collect();
        let norms = outer_step(&mut parameters, &accepted, bounds, threads).unwrap();
        assert!(tensors.iter().flatten().all(|value| value.is_finite()));
        let bits: Vec<_> = tensors.iter().flatten().map(|value| value.to_bits()).collect();
        (bits, norms)
    });
    assert_eq!(steps[0], steps[1]);
}

/// Opens a sealed submission. The data is its table and body before encryption.
pub(crate) fn open_sealed(data: &[u8]) {
    let (bytes, opener) = UPLOAD.with(data);
    let sealed = Sealed::open(bytes.clone(), Arc::clone(&LAYOUTS[1]), &expected(&SENDER, true)).unwrap();
    let opener = opener.sign(&SENDER);
    match sealed.unseal::<Vec<u8>>(&opener) {
        Ok(submission) => {
            assert_eq!(submission.stored(), (bytes, Some(&opener)));
            (0..submission.layout().tensors().len())
                .for_each(|number| drop(submission.tensor(number).unwrap()));
        }
        Err(error) => drop(ErrorChain(&error).to_string()),
    }
}

/// Unseals a submission with a key object. The choice 0 signs the data again, the other uses its signature.
pub(crate) fn open_key_object(data: &[u8]) {
    let Some((choice, bytes)) = choice(data, 2) else { return };
    let content = KEY_BYTES - 64;
    let bytes = match choice {
        0 if bytes.len() >= content => {
            let hash = base::digest::KeyObjectHash::of(&[&bytes[..content]]);
            [&bytes[..content], &SENDER.sign(KEY_SIGNATURE_CONTEXT, &hash.0).0].concat()
        }
        _ => bytes.to_vec(),
    };
    let upload = &*UPLOAD;
    match upload.sealed.clone().unseal::<Vec<u8>>(&bytes) {
        Ok(_) => assert!(bytes[..content] == upload.opener.sign(&SENDER)[..content], "there is one key"),
        Err(error) => drop(ErrorChain(&error).to_string()),
    }
}

/// Decodes a commitment as the chain stores it.
pub(crate) fn read_commitment(data: &[u8]) {
    match Commitment::from_chain(data) {
        Ok(commitment) => {
            assert_eq!(Commitment::from_chain(&commitment.encode()).as_ref(), Ok(&commitment));
            read_fields(&commitment.fields);
        }
        Err(error) => drop(ErrorChain(&error).to_string()),
    }
}

fn read_fields(fields: &Fields) {
    let reading = announcement::read(fields);
    reading.ignored.iter().for_each(|ignored| drop(ErrorChain(ignored).to_string()));
    if let Some(announcement) = &reading.announcement {
        let again = announcement::read(&announcement.fields().unwrap());
        assert_eq!((again.announcement.as_ref(), &again.ignored[..]), (Some(announcement), &[][..]));
    }
    for field in fields.as_slice() {
        if let Ok(record) = Record::read(field.payload()) {
            assert_eq!(record.to_bytes(), field.payload());
        }
    }
}

/// Opens and replays a score log. The data lacks the trailer.
///
/// Numbers and chains its lines, and signs it. Replays it as it is, and with the right hash of the
/// standings.
pub(crate) fn open_score_log(data: &[u8]) {
    let bytes = chained(data);
    let log = match ScoreLog::open(&bytes, &expected_log()) {
        Ok(log) => log,
        Err(error) => return drop(ErrorChain(&error).to_string()),
    };
    let unsigned = bytes.len() - 64;
    assert!(log.sign(&SENDER).unwrap()[..unsigned] == bytes[..unsigned]);
    replay(log.clone());
    let standings = log.snapshot.as_ref().map(scoring::gauntlet::Standings::hash).unwrap_or_default();
    replay(ScoreLog { header: scoring::score_log::Header { standings, ..log.header.clone() }, ..log });
}

fn replay(log: ScoreLog) {
    match Replay::new(scoring()).next(&log) {
        Ok(results) => assert_eq!(results.standings, log.stated.standings),
        Err(error) => drop(ErrorChain(&error).to_string()),
    }
}

/// Decodes the bytes of a run spec, and derives what a node needs at its start.
pub(crate) fn read_run_spec(data: &[u8]) {
    match RunSpec::read(data) {
        Ok(spec) => {
            assert!(spec.to_bytes() == data);
            starts(&spec);
        }
        Err(error) => drop(ErrorChain(&error).to_string()),
    }
}

fn starts(spec: &RunSpec) {
    let clock = spec.clock().unwrap();
    let _ = clock.heights(Window(0));
    let _ = spec.model.parameters();
    match SubmissionLayout::new(&spec.model.tensors(), &spec.sparse) {
        Ok(layout) => assert!(layout.most_bytes() > HEADER_BYTES as u64),
        Err(error) => drop(ErrorChain(&error).to_string()),
    }
}

/// Parses the file of a run.
pub(crate) fn read_run_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match RunFile::parse(text) {
        Ok(file) => {
            assert_eq!(RunFile::parse(&file.to_toml().unwrap()).as_ref(), Ok(&file));
            if let Ok(spec) = file.complete() {
                assert_eq!(RunSpec::read(&spec.to_bytes()).as_ref(), Ok(&spec));
                starts(&spec);
            }
        }
        Err(error) => drop(ErrorChain(&error).to_string()),
    }
}

/// Decodes a dataset's manifest, or a shard's table of blocks.
pub(crate) fn read_dataset(data: &[u8]) {
    match choice(data, 2) {
        Some((0, bytes)) => match dataset::Manifest::read(bytes) {
            Ok(manifest) => {
                assert!(manifest.to_bytes() == bytes);
                assert!(manifest.training_blocks() > 0);
                let bytes = manifest.shards.iter().map(|shard| u128::from(manifest.shard_bytes(shard)));
                assert!(bytes.sum::<u128>() > 0);
            }
            Err(error) => drop(ErrorChain(&error).to_string()),
        },
        Some((_, bytes)) => match dataset::BlockTable::read(bytes) {
            Ok(table) => assert!(table.to_bytes() == bytes),
            Err(error) => drop(ErrorChain(&error).to_string()),
        },
        None => {}
    }
}

/// Decodes a checkpoint's manifest, its progress, a pointer to it, or the record of a window.
pub(crate) fn read_checkpoint(data: &[u8]) {
    let Some((choice, bytes)) = choice(data, 4) else { return };
    match choice {
        0 => match Manifest::read(bytes) {
            Ok(manifest) => {
                assert_eq!(Manifest::read(&manifest.to_bytes()).as_ref(), Ok(&manifest));
                assert_eq!(Pointer::of(&manifest).check(&manifest), Ok(()));
                let _ = (manifest.check_size(1000), manifest.check_progress(&progress()));
                assert!(manifest.parts.iter().all(|part| !part.file.contains(['/', '\\'])));
            }
            Err(error) => drop(ErrorChain(&error).to_string()),
        },
        1 => match Progress::read(bytes) {
            Ok(mut progress) => {
                assert!(progress.to_bytes() == bytes);
                let _ = progress.history.push_record(record(progress.window()));
                let _ = progress.state();
            }
            Err(error) => drop(ErrorChain(&error).to_string()),
        },
        2 => match Pointer::read(bytes) {
            Ok(pointer) => assert!(pointer.to_bytes() == bytes),
            Err(error) => drop(ErrorChain(&error).to_string()),
        },
        _ => match WindowRecord::open(bytes, &RUN, WINDOW) {
            Ok(record) => assert!(record.to_bytes(&RUN) == bytes),
            Err(error) => drop(ErrorChain(&error).to_string()),
        },
    }
}

/// Reads a wallet's key file.
pub(crate) fn read_key_file(data: &[u8]) {
    match KeyFile::read(data) {
        Ok(Contents::Plain(file)) => {
            let _ = (file.stated(), file.account(), format!("{file:?}"));
            match file.secrets() {
                Ok(secrets) => assert!((1..=3).contains(&secrets.len())),
                Err(error) => drop(ErrorChain(&error).to_string()),
            }
        }
        Ok(Contents::Sealed(sealed)) => assert!(data.ends_with(sealed)),
        Err(error) => drop(ErrorChain(&error).to_string()),
    }
}

/// Returns valid inputs of an entry. The fuzzer begins with them.
pub(crate) fn seeds(entry: &str) -> Vec<(&'static str, Vec<u8>)> {
    let with = |choice: u8, bytes: Vec<u8>| [vec![choice], bytes].concat();
    let unsigned = |layout: usize| {
        let mut bytes = submission(&LAYOUTS[layout], &SENDER);
        bytes.truncate(bytes.len() - TRAILER_BYTES);
        bytes
    };
    match entry {
        "submission" => vec![
            ("templar", with(0, unsigned(0))),
            ("sign-centroid", with(1, unsigned(1))),
            ("f32", with(2, unsigned(2))),
            ("symbols", with(3, unsigned(3))),
            ("sign", with(4, unsigned(4))),
            ("halves", with(5, unsigned(5))),
            ("header", with(6, unsigned(0))),
        ],
        "sealed" => vec![("plain", UPLOAD.plain.clone())],
        "key_object" => {
            let key = UPLOAD.opener.sign(&SENDER)[..KEY_BYTES - 64].to_vec();
            vec![("key", with(0, key))]
        }
        "commitment" => vec![
            ("claim", commitment(s3(), Some(Record::Claim(claim()))).encode()),
            ("vote", commitment(s3(), Some(Record::Vote(vote()))).encode()),
            ("r2", commitment(r2(), None).encode()),
        ],
        "score_log" => vec![("first", unsigned_log())],
        "run_spec" => vec![("tiny", run_spec().to_bytes())],
        "run_file" => vec![("tiny.toml", launched().to_toml().unwrap().into_bytes())],
        "dataset" => {
            vec![("manifest", with(0, dataset().to_bytes())), ("blocks", with(1, block_table().to_bytes()))]
        }
        "key_file" => vec![("hotkey", key_file())],
        _ => vec![
            ("manifest", with(0, checkpoint().to_bytes())),
            ("progress", with(1, progress().to_bytes())),
            ("pointer", with(2, pointer().to_bytes())),
            ("record", with(3, record(WINDOW).to_bytes(&RUN))),
        ],
    }
}
