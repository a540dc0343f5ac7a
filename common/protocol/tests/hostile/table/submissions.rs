//! Submissions, open and sealed, and keys.

use super::{Rows, Table, says};
use crate::objects::{self, *};
use base::Window;
use codec::submission::{HEADER_BYTES, KEY_BYTES, KeyObject, SealKey, Sealed, Submission, TRAILER_BYTES};
use std::sync::Arc;

fn open(bytes: &[u8], layout: usize) -> Option<String> {
    says(Submission::open(bytes, Arc::clone(&LAYOUTS[layout]), &expected(&SENDER, false)))
}

pub(super) fn submission() -> Table {
    let layout = &LAYOUTS[0];
    let body = HEADER_BYTES + 16 * layout.tensors().len();
    let valid = submission_of(0);
    let as_it_is = |bytes: Vec<u8>| open(&bytes, 0);
    let mut raw = Rows::of(valid.clone(), &as_it_is);
    raw.row("no bytes", Vec::clear)
        .row("the first 20 bytes", |b| b.truncate(20))
        .row("a trailing byte", |b| b.push(0))
        .row("cut off by one byte", |b| b.pop())
        .row("one byte more than the longest submission of the run", |b| {
            b.resize(LAYOUTS[0].most_bytes() as usize + 1, 0)
        })
        .row("another kind of object", |b| b[0] = 0xe1)
        .row("a later version", |b| b[1] = 2)
        .row("a changed body, not signed again", |b| b[300] ^= 1)
        .row("a signature of something else", |b| *b.last_mut().unwrap() ^= 1);
    let signed = |bytes: Vec<u8>| open(&repaired(bytes), 0);
    let mut rows = Rows::of(valid, &signed);
    rows.row("only a header", |b| b.truncate(HEADER_BYTES + TRAILER_BYTES))
        .row("an unknown codec", |b| b[2] = 9)
        .row("another quantizer than the run's", |b| b[3] = 2)
        .row("a flag that is neither 0 nor 1", |b| b[4] = 2)
        .row("sealed in a run of open submissions", |b| b[4] = 1)
        .row("a reserved byte", |b| b[5] = 1)
        .row("hashes of a seal in an open submission", |b| b[192] = 1)
        .row("another run", |b| b[8] ^= 1)
        .row("another spec of the run", |b| b[40] ^= 1)
        .row("another registration of the hotkey", |b| b[104] ^= 1)
        .row("another window", |b| b[112] = 4)
        .row("another base state", |b| b[120] ^= 1)
        .row("too few samples", |b| b[152] = 159)
        .row("one tensor too few", |b| b[276] = 3)
        .row("2^32 - 1 tensors", |b| b[276..280].fill(0xff))
        .row("a tensor of another shape", |b| b[HEADER_BYTES] = 17)
        .row("a tensor of 2^32 - 1 rows", |b| b[HEADER_BYTES..HEADER_BYTES + 4].fill(0xff))
        .row("a tensor with a wrong offset", |b| b[HEADER_BYTES + 8] ^= 1)
        .row("a table without a body", |b| b.truncate(body + 96))
        .row("a NaN level", |b| b[body..body + 4].copy_from_slice(&f32::NAN.to_le_bytes()))
        .row("an infinite level", |b| b[body..body + 4].copy_from_slice(&f32::INFINITY.to_le_bytes()))
        .row("wrong weights in the table of the codes", |b| b[body + 19] ^= 1)
        .row("more bytes of codes than possible", |b| b[body + 21] = 1)
        .row("more bytes of positions than possible", |b| b[body + 23] = 1)
        .row("one byte of codes too few", |b| b[body + 20] -= 1)
        .row("one byte of positions too few", |b| b[body + 22] -= 1)
        .row("a byte between body and digest", |b| b.insert(b.len() - 96, 0))
        .row("cut off within its last group, and signed again", |b| b.remove(b.len() - 97));
    raw.rows.append(&mut rows.rows);
    raw.done("Submission: `SubmissionError` of `Submission::open`")
}

fn submission_of(layout: usize) -> Vec<u8> {
    objects::submission(&LAYOUTS[layout], &SENDER)
}

pub(super) fn bodies_of_centroids() -> Table {
    let body = HEADER_BYTES + 16 * LAYOUTS[1].tensors().len();
    let signed = |bytes: Vec<u8>| open(&repaired(bytes), 1);
    let mut rows = Rows::of(submission_of(1), &signed);
    rows.row("an infinite scale", |b| b[body..body + 4].copy_from_slice(&f32::INFINITY.to_le_bytes()))
        .row("a negative scale", |b| b[body + 3] |= 0x80)
        .row("a small magnitude above the large one", |b| (b[body + 12], b[body + 13]) = (9, 8));
    rows.done("Values of a submission, two magnitudes per chunk (`sign-centroid`): `BodyError`")
}

pub(super) fn bodies_of_signs() -> Table {
    let body = HEADER_BYTES + 16 * LAYOUTS[4].tensors().len();
    let signed = |bytes: Vec<u8>| open(&repaired(bytes), 4);
    let mut rows = Rows::of(submission_of(4), &signed);
    // The scale, the lengths of the group, 6 magnitudes, 36 signs.
    let signs = body + 4 + 4 + 6;
    rows.row("a NaN scale", |b| b[body..body + 4].copy_from_slice(&f32::NAN.to_le_bytes()))
        .row("a negative scale", |b| b[body + 3] |= 0x80)
        .row("one sign too many", |b| b[signs + 4] |= 0x10)
        .row("codes beside the signs", |b| b[body + 4] = 1);
    rows.done("Values of a submission, signs and one magnitude per chunk (`sign`): `BodyError`")
}

pub(super) fn bodies_of_values() -> Table {
    let body = HEADER_BYTES + 16 * LAYOUTS[2].tensors().len();
    let signed = |bytes: Vec<u8>| open(&repaired(bytes), 2);
    let mut rows = Rows::of(submission_of(2), &signed);
    rows.row("codes in a format without codes", |b| b[body] = 1)
        .row("an infinite value", |b| b[body + 4..body + 8].copy_from_slice(&f32::INFINITY.to_le_bytes()))
        .row("a NaN value", |b| b[body + 4..body + 8].copy_from_slice(&f32::NAN.to_le_bytes()));
    rows.done("Values of a submission, unquantized (`f32`): `BodyError`")
}

fn unseal(bytes: &[u8], opener: &[u8]) -> Option<String> {
    let layout = Arc::clone(&LAYOUTS[1]);
    says(
        Sealed::open(bytes.to_vec(), layout, &expected(&SENDER, true))
            .and_then(|sealed| sealed.unseal::<Vec<u8>>(opener)),
    )
}

pub(super) fn sealed() -> Table {
    let upload = &*UPLOAD;
    let opens = |(bytes, is_body): (Vec<u8>, bool)| {
        let (bytes, opener) = if is_body {
            upload.with(&bytes)
        } else {
            (bytes.clone(), KeyObject { object: claimed(&bytes), ..upload.opener.clone() })
        };
        unseal(&bytes, &opener.sign(&SENDER))
    };
    let mut rows = Rows::of((upload.bytes.clone(), false), &opens);
    rows.row("an open submission", |v| v.0 = submission_of(1))
        .row("a reserved byte after the seal", |v| v.0[256] = 1)
        .row("a changed body, neither hashed nor signed again", |v| v.0[300] ^= 1)
        .row("a body of another hash than its header says", |v| {
            v.0[HEADER_BYTES + 40] ^= 1;
            v.0 = repaired(v.0.clone());
        })
        .row("a plaintext with a tensor of another shape", |v| {
            *v = (upload.plain.clone(), true);
            v.0[0] ^= 1;
        })
        .row("a plaintext that is too short", |v| *v = (upload.plain[..80].to_vec(), true))
        .row("an empty plaintext", |v| *v = (Vec::new(), true))
        .row("a plaintext with a negative scale", |v| {
            *v = (upload.plain.clone(), true);
            v.0[16 * 4 + 3] |= 0x80;
        });
    rows.done("Sealed submission: `SubmissionError` of `Sealed::open` and `Sealed::unseal`")
}

pub(super) fn key_object() -> Table {
    let upload = &*UPLOAD;
    let opens = |key: Vec<u8>| unseal(&upload.bytes, &key);
    let sign = |change: &dyn Fn(&mut KeyObject)| {
        let mut opener = upload.opener.clone();
        change(&mut opener);
        opener.sign(&SENDER).to_vec()
    };
    let mut rows = Rows::of(sign(&|_| ()), &opens);
    rows.row("no bytes", Vec::clear)
        .row("one byte too few", |b| b.pop())
        .row("one byte too many", |b| b.push(0))
        .row("zeros", |b| *b = vec![0; KEY_BYTES])
        .row("a later version", |b| b[1] = 2)
        .row("another run", |b| *b = sign(&|k| k.run.0[0] ^= 1))
        .row("another window", |b| *b = sign(&|k| k.window = Window(6)))
        .row("another registration of the hotkey", |b| *b = sign(&|k| k.neuron.registered.0 += 1))
        .row("another submission", |b| *b = sign(&|k| k.object.0[0] ^= 1))
        .row("another key", |b| *b = sign(&|k| k.key = SealKey::new([8; 32])))
        .row("signed by another hotkey", |b| *b = upload.opener.sign(&key(8)).to_vec())
        .row("a changed signature", |b| *b.last_mut().unwrap() ^= 1);
    rows.done("Key of a sealed submission: `KeyError` of `Sealed::unseal`")
}
