//! The rows of `HOSTILE.md`: what is malformed, and what the parser says.

use crate::objects::*;
use codec::Encode as _;
use common::{
    Window,
    announcement::{self, kind},
    checkpoint::{self, Manifest, Pointer},
    commitment::{Commitment, Field, Fields},
    dataset,
    history::WindowRecord,
    key_file::{Contents, KeyFile, MOST_BYTES},
    progress::Progress,
    run_spec::{RunFile, RunSpec},
    score_log::{Replay, ScoreLog},
    submission::{HEADER_BYTES, KEY_BYTES, KeyObject, SealKey, Sealed, Submission, TRAILER_BYTES},
};
use std::{fmt::Display, sync::Arc};

/// An object and its rows.
struct Table {
    /// What is parsed, and the type of its errors.
    heading: &'static str,
    rows: Vec<(&'static str, String)>,
}

/// Collects rows: each is a change of a valid object.
struct Rows<'a, T> {
    valid: T,
    refuse: &'a dyn Fn(T) -> Option<String>,
    rows: Vec<(&'static str, String)>,
}

impl<'a, T: Clone> Rows<'a, T> {
    /// Rows of changes of `valid`, which itself is fine.
    fn of(valid: T, refuse: &'a dyn Fn(T) -> Option<String>) -> Self {
        assert_eq!(refuse(valid.clone()), None, "the valid object is valid");
        Self { valid, refuse, rows: Vec::new() }
    }

    fn row<R>(&mut self, input: &'static str, change: impl FnOnce(&mut T) -> R) -> &mut Self {
        let mut changed = self.valid.clone();
        change(&mut changed);
        let error = (self.refuse)(changed).unwrap_or_else(|| panic!("{input}: it is refused"));
        self.rows.push((input, error));
        self
    }

    fn done(self, heading: &'static str) -> Table {
        Table { heading, rows: self.rows }
    }
}

fn says<T, E: Display>(result: Result<T, E>) -> Option<String> {
    result.err().map(|error| error.to_string())
}

/// All tables as the page has them.
pub(crate) fn page() -> String {
    let tables = [
        submission(),
        bodies_of_centroids(),
        bodies_of_signs(),
        bodies_of_values(),
        sealed(),
        key_object(),
        commitment(),
        announcement(),
        log(),
        replay(),
        run_spec(),
        run_file(),
        dataset(),
        block_table(),
        manifest(),
        pointer(),
        progress_rows(),
        window_record(),
        key_file(),
    ];
    tables.iter().map(Table::markdown).collect::<Vec<_>>().join("\n")
}

impl Table {
    fn markdown(&self) -> String {
        let row = |(input, error): &(&str, String)| {
            let error = short(error).split_whitespace().collect::<Vec<_>>().join(" ");
            format!("| {input} | {error} |\n")
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!("## {}\n\n| input | error |\n|---|---|\n{rows}", self.heading)
    }
}

/// Hashes as their first eight digits.
fn short(text: &str) -> String {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|c| !hex(c)).unwrap_or(rest.len());
        let word = if run == 0 { &rest[..first.len_utf8()] } else { &rest[..run] };
        out += if word.len() == 64 { &word[..8] } else { word };
        rest = &rest[word.len()..];
    }
    out
}

fn open(bytes: &[u8], layout: usize) -> Option<String> {
    says(Submission::open(bytes, Arc::clone(&LAYOUTS[layout]), &expected(&SENDER, false)))
}

fn submission() -> Table {
    let layout = &LAYOUTS[0];
    let body = HEADER_BYTES + 16 * layout.tensors().len();
    let valid = submission_of(0);
    let as_it_is = |bytes: Vec<u8>| open(&bytes, 0);
    let mut raw = Rows::of(valid.clone(), &as_it_is);
    raw.row("no byte at all", Vec::clear)
        .row("the first 20 bytes", |b| b.truncate(20))
        .row("a byte behind it", |b| b.push(0))
        .row("cut off by a byte", |b| b.pop())
        .row("one byte more than any submission of the run", |b| {
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
        .row("a flag that is neither set nor unset", |b| b[4] = 2)
        .row("sealed in a run of open submissions", |b| b[4] = 1)
        .row("a reserved byte", |b| b[5] = 1)
        .row("hashes of a seal without one", |b| b[192] = 1)
        .row("another run", |b| b[8] ^= 1)
        .row("another spec of the run", |b| b[40] ^= 1)
        .row("another registration of the hotkey", |b| b[104] ^= 1)
        .row("another window", |b| b[112] = 4)
        .row("another base state", |b| b[120] ^= 1)
        .row("too few samples", |b| b[152] = 159)
        .row("a tensor too few", |b| b[276] = 3)
        .row("2^32 - 1 tensors", |b| b[276..280].fill(0xff))
        .row("a tensor of another shape", |b| b[HEADER_BYTES] = 17)
        .row("a tensor of 2^32 - 1 rows", |b| b[HEADER_BYTES..HEADER_BYTES + 4].fill(0xff))
        .row("a tensor that begins elsewhere", |b| b[HEADER_BYTES + 8] ^= 1)
        .row("a table and no body", |b| b.truncate(body + 96))
        .row("a level that is no number", |b| b[body..body + 4].copy_from_slice(&f32::NAN.to_le_bytes()))
        .row("an infinite level", |b| b[body..body + 4].copy_from_slice(&f32::INFINITY.to_le_bytes()))
        .row("weights of codes that are not theirs", |b| b[body + 19] ^= 1)
        .row("codes of more bytes than any have", |b| b[body + 21] = 1)
        .row("positions of more bytes than any have", |b| b[body + 23] = 1)
        .row("codes of one byte less", |b| b[body + 20] -= 1)
        .row("positions of one byte less", |b| b[body + 22] -= 1)
        .row("a byte between body and digest", |b| b.insert(b.len() - 96, 0))
        .row("cut off within its last group, and signed", |b| b.remove(b.len() - 97));
    raw.rows.append(&mut rows.rows);
    raw.done("Submission: `SubmissionError` of `Submission::open`")
}

fn submission_of(layout: usize) -> Vec<u8> {
    crate::objects::submission(&LAYOUTS[layout], &SENDER)
}

fn bodies_of_centroids() -> Table {
    let body = HEADER_BYTES + 16 * LAYOUTS[1].tensors().len();
    let signed = |bytes: Vec<u8>| open(&repaired(bytes), 1);
    let mut rows = Rows::of(submission_of(1), &signed);
    rows.row("an infinite scale", |b| b[body..body + 4].copy_from_slice(&f32::INFINITY.to_le_bytes()))
        .row("a negative scale", |b| b[body + 3] |= 0x80)
        .row("a small magnitude that is the larger one", |b| (b[body + 12], b[body + 13]) = (9, 8));
    rows.done("Its values, two magnitudes for each chunk (`sign-centroid`): `BodyError`")
}

fn bodies_of_signs() -> Table {
    let body = HEADER_BYTES + 16 * LAYOUTS[4].tensors().len();
    let signed = |bytes: Vec<u8>| open(&repaired(bytes), 4);
    let mut rows = Rows::of(submission_of(4), &signed);
    // The scale, the lengths of the group, 6 magnitudes, 36 signs.
    let signs = body + 4 + 4 + 6;
    rows.row("a scale that is no number", |b| b[body..body + 4].copy_from_slice(&f32::NAN.to_le_bytes()))
        .row("a negative scale", |b| b[body + 3] |= 0x80)
        .row("a sign more than there are values", |b| b[signs + 4] |= 0x10)
        .row("codes beside the signs", |b| b[body + 4] = 1);
    rows.done("Its values, a sign each and a magnitude for each chunk (`sign`): `BodyError`")
}

fn bodies_of_values() -> Table {
    let body = HEADER_BYTES + 16 * LAYOUTS[2].tensors().len();
    let signed = |bytes: Vec<u8>| open(&repaired(bytes), 2);
    let mut rows = Rows::of(submission_of(2), &signed);
    rows.row("codes, where there are none", |b| b[body] = 1)
        .row("an infinite value", |b| b[body + 4..body + 8].copy_from_slice(&f32::INFINITY.to_le_bytes()))
        .row("a value that is no number", |b| b[body + 4..body + 8].copy_from_slice(&f32::NAN.to_le_bytes()));
    rows.done("Its values as they are (`f32`): `BodyError`")
}

fn unseal(bytes: &[u8], opener: &[u8]) -> Option<String> {
    let layout = Arc::clone(&LAYOUTS[1]);
    says(
        Sealed::open(bytes.to_vec(), layout, &expected(&SENDER, true))
            .and_then(|sealed| sealed.unseal::<Vec<u8>>(opener)),
    )
}

fn sealed() -> Table {
    let parcel = &*PARCEL;
    let opens = |(bytes, is_body): (Vec<u8>, bool)| {
        let (bytes, opener) = match is_body {
            true => parcel.with(&bytes),
            false => (bytes.clone(), KeyObject { object: claimed(&bytes), ..parcel.opener.clone() }),
        };
        unseal(&bytes, &opener.sign(&SENDER))
    };
    let mut rows = Rows::of((parcel.bytes.clone(), false), &opens);
    rows.row("an open submission", |v| v.0 = submission_of(1))
        .row("a reserved byte behind the seal", |v| v.0[256] = 1)
        .row("changed, and neither hashed nor signed again", |v| v.0[300] ^= 1)
        .row("a body that its header does not commit to", |v| {
            v.0[HEADER_BYTES + 40] ^= 1;
            v.0 = repaired(v.0.clone());
        })
        .row("it opens to a tensor of another shape", |v| {
            *v = (parcel.plain.clone(), true);
            v.0[0] ^= 1;
        })
        .row("it opens to too little", |v| *v = (parcel.plain[..80].to_vec(), true))
        .row("it opens to nothing", |v| *v = (Vec::new(), true))
        .row("it opens to a negative scale", |v| {
            *v = (parcel.plain.clone(), true);
            v.0[16 * 4 + 3] |= 0x80;
        });
    rows.done("Sealed submission: `SubmissionError` of `Sealed::open` and `Sealed::unseal`")
}

fn key_object() -> Table {
    let parcel = &*PARCEL;
    let opens = |key: Vec<u8>| unseal(&parcel.bytes, &key);
    let sign = |change: &dyn Fn(&mut KeyObject)| {
        let mut opener = parcel.opener.clone();
        change(&mut opener);
        opener.sign(&SENDER).to_vec()
    };
    let mut rows = Rows::of(sign(&|_| ()), &opens);
    rows.row("no byte at all", Vec::clear)
        .row("a byte too few", |b| b.pop())
        .row("a byte too many", |b| b.push(0))
        .row("zeros", |b| *b = vec![0; KEY_BYTES])
        .row("a later version", |b| b[1] = 2)
        .row("another run", |b| *b = sign(&|k| k.run.0[0] ^= 1))
        .row("another window", |b| *b = sign(&|k| k.window = Window(6)))
        .row("another registration of the hotkey", |b| *b = sign(&|k| k.neuron.registered.0 += 1))
        .row("another submission", |b| *b = sign(&|k| k.object.0[0] ^= 1))
        .row("a second key", |b| *b = sign(&|k| k.key = SealKey::new([8; 32])))
        .row("signed by somebody else", |b| *b = parcel.opener.sign(&key(8)).to_vec())
        .row("a changed signature", |b| *b.last_mut().unwrap() ^= 1);
    rows.done("Key of a sealed submission: `KeyError` of `Sealed::unseal`")
}

fn commitment() -> Table {
    let valid = crate::objects::commitment(s3(), Some(announcement::Record::Vote(vote()))).encode();
    let reads = |bytes: Vec<u8>| says(Commitment::from_chain(&bytes));
    let fields = 8 + 4;
    let mut rows = Rows::of(valid, &reads);
    rows.row("no byte at all", Vec::clear)
        .row("cut off", |b| b.pop())
        .row("a byte behind it", |b| b.push(0))
        .row("four fields", |b| b[fields] = 4 << 2)
        .row("2^30 - 1 fields", |b| drop(b.splice(fields..=fields, [0xfe, 0xff, 0xff, 0xff])))
        .row("a field of an unknown kind", |b| b[fields + 1] = 138)
        .row("a field of 513 bytes", |b| {
            b.truncate(fields);
            b.extend([4, 136, 0x05, 0x08]);
        })
        .row("a field of 2^30 - 1 bytes", |b| {
            b.truncate(fields);
            b.extend([4, 134, 0xfe, 0xff, 0xff, 0xff]);
        });
    rows.done("Commitment, as the chain stores it: `CommitmentError` of `Commitment::from_chain`")
}

fn announcement() -> Table {
    let payloads = |bucket, record| {
        let fields = crate::objects::commitment(bucket, Some(record)).fields;
        fields.as_slice().iter().map(|field| field.payload().to_vec()).collect::<Vec<_>>()
    };
    let reads = |fields: Vec<Vec<u8>>| {
        let fields = fields.into_iter().map(|bytes| Field::big_raw(bytes).unwrap()).collect();
        let reading = announcement::read(&Fields::new(fields).unwrap());
        reading.ignored.first().map(ToString::to_string)
    };
    let text = |text: &str| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let place = |parts: [&str; 3]| [&[kind::BUCKET, 1][..], &parts.map(text).concat()].concat();
    let (fine, region, name) = ("https://s3.example.com", "eu-1", "muster");
    let mut rows = Rows::of(payloads(s3(), announcement::Record::Claim(claim())), &reads);
    rows.row("text of other software", |f| f[0] = b"{\"repo\":\"x\"}".to_vec())
        .row("a claim in the place of the bucket", |f| f[0] = f[1].clone())
        .row("a later version of a bucket", |f| f[0][1] = 2)
        .row("a bucket that is cut off", |f| f[0].pop())
        .row("a bucket with a byte behind it", |f| f[0].push(0))
        .row("an endpoint of 65,535 characters", |f| f[0][2..4].fill(0xff))
        .row("an endpoint that is not UTF-8", |f| f[0][4] = 0xff)
        .row("an endpoint without a scheme", |f| f[0] = place(["s3.example.com", region, name]))
        .row("an endpoint with a path", |f| f[0] = place(["https://s3.example.com/a", region, name]))
        .row("an endpoint with a user", |f| f[0] = place(["https://a@s3.example.com", region, name]))
        .row("an address in disguise", |f| f[0] = place(["https://0x7f000001", region, name]))
        .row("a port that is none", |f| f[0] = place(["https://s3.example.com:0", region, name]))
        .row("an endpoint in capitals", |f| f[0] = place(["https://S3.example.com", region, name]))
        .row("a region with a space", |f| f[0] = place([fine, "eu 1", name]))
        .row("a bucket's name that leads elsewhere", |f| f[0] = place([fine, region, "../x"]))
        .row("R2 with an account in capitals", |f| f[0] = vec![b'A'; 128])
        .row("a claim of a later version", |f| f[1][1] = 2)
        .row("a claim that is cut off", |f| f[1].pop())
        .row("a claim with a byte behind it", |f| f[1].push(0))
        .row("credentials in the place of the claim", |f| f[1] = f[2].clone())
        .row("an access key of no characters", |f| f[2] = vec![kind::CREDENTIALS, 1, 0, 0, 1, 0, b's'])
        .row("a secret with a line break", |f| f[2] = vec![kind::CREDENTIALS, 1, 1, 0, b'k', 1, 0, b'\n'])
        .row("a secret of 65,535 characters", |f| f[2] = vec![kind::CREDENTIALS, 1, 1, 0, b'k', 0xff, 0xff])
        .row("credentials for a bucket on R2", |f| f[0] = [[b'a'; 64], [b'c'; 64]].concat());
    let mut votes = Rows::of(payloads(s3(), announcement::Record::Vote(vote())), &reads);
    votes
        .row("a vote that is cut off", |f| f[1].pop())
        .row("a vote with a byte behind it", |f| f[1].push(0))
        .row("a vote in the place of credentials", |f| f[2] = f[1].clone());
    rows.rows.append(&mut votes.rows);
    rows.done("Fields of a commitment, with claim and vote: `Ignored` of `announcement::read`")
}

fn log() -> Table {
    let opens = |(bytes, repair): (Vec<u8>, bool)| {
        let bytes = if repair { chained(&bytes) } else { bytes };
        says(ScoreLog::open(&bytes, &expected_log()))
    };
    let whole = score_log().sign(&SENDER).unwrap();
    let mut raw = Rows::of((whole, false), &opens);
    raw.row("no byte at all", |v| v.0.clear())
        .row("a header and no trailer", |v| v.0.truncate(LOG_HEADER))
        .row("one byte more than any log", |v| v.0.resize(common::score_log::MOST_BYTES + 1, 0))
        .row("an edited header", |v| v.0[90] ^= 1)
        .row("an edited line", |v| v.0[LOG_HEADER + 60] ^= 1)
        .row("a dropped line", |v| {
            let length = 2 + usize::from(u16::from_le_bytes([v.0[LOG_HEADER], v.0[LOG_HEADER + 1]]));
            v.0.drain(LOG_HEADER..LOG_HEADER + length);
        })
        .row("a wrong count of lines", |v| {
            let count = v.0.len() - LOG_TRAILER;
            v.0[count] += 1;
        })
        .row("a signature of something else", |v| *v.0.last_mut().unwrap() ^= 1);
    let mut rows = Rows::of((unsigned_log(), true), &opens);
    let (line, kind, payload) = (LOG_HEADER, LOG_HEADER + 2 + 36, LOG_HEADER + 2 + 37);
    let weight = [&[41, 0][..], &[0; 36], &[5], &[0; 4]].concat();
    rows.row("another kind of object", |v| v.0[0] = 0xe4)
        .row("a later version", |v| v.0[1] = 2)
        .row("another run", |v| v.0[2] ^= 1)
        .row("another registration of the validator", |v| v.0[66] ^= 1)
        .row("another window", |v| v.0[74] ^= 1)
        .row("flags that are not known", |v| v.0[218] = 4)
        .row("an owner's uid without its flag", |v| (v.0[218], v.0[219]) = (1, 1))
        .row("a line that is too short", |v| v.0[line] = 36)
        .row("a line of 65,535 bytes", |v| v.0[line..line + 2].fill(0xff))
        .row("a line that is cut off", |v| v.0.pop())
        .row("a line of an unknown kind", |v| v.0[kind] = 6)
        .row("a weight before all miners", |v| drop(v.0.splice(line..line, weight)))
        .row("one miner twice", |v| {
            let length = 2 + usize::from(v.0[line]);
            let first = v.0[line..line + length].to_vec();
            v.0.splice(line..line, first);
        })
        .row("an outcome that is none", |v| v.0[payload + 40 + 2 + 32] = 9)
        .row("20,481 lines", |v| {
            v.0.truncate(line);
            (0..=common::score_log::MOST_LINES).for_each(|_| {
                v.0.extend([37, 0]);
                v.0.extend([0; 37]);
            });
        });
    raw.rows.append(&mut rows.rows);
    raw.done("Score log: `ScoreLogError` of `ScoreLog::open`")
}

fn replay() -> Table {
    let replays = |log: ScoreLog| says(Replay::new(scoring()).next(&log));
    let mut rows = Rows::of(score_log(), &replays);
    rows.row("no snapshot where one is due", |log| log.snapshot = None)
        .row("it begins from other standings", |log| log.header.standings.0[0] = 1)
        .row("one uid for two miners", |log| log.miners.values_mut().for_each(|line| line.uid.0 = 1))
        .row("another weight than comes out", |log| *log.stated.weights.values_mut().next().unwrap() -= 1)
        .row("a score left out", |log| log.stated.scores.pop_first());
    rows.done("Score log, replayed: `ReplayError` of `Replay::next`")
}

fn run_spec() -> Table {
    let reads = |bytes: Vec<u8>| says(RunSpec::read(&bytes));
    let mut rows = Rows::of(crate::objects::run_spec().to_bytes(), &reads);
    let window = 2 + 2 + 4 + 32 + 2 + 8;
    rows.row("no byte at all", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe2)
        .row("a later version", |b| b[1] = 2)
        .row("a name of 255 characters", |b| b[2] = 255)
        .row("a name that is not UTF-8", |b| b[4] = 0xff)
        .row("a name in capitals", |b| b[4] = b'T')
        .row("windows of no blocks", |b| b[window..window + 4].fill(0))
        .row("cut off", |b| b.pop())
        .row("a reserved byte", |b| *b.last_mut().unwrap() = 1)
        .row("a byte behind it", |b| b.push(0));
    rows.done("Run spec, its bytes: `RunSpecError` of `RunSpec::read`")
}

fn run_file() -> Table {
    let reads = |text: String| says(RunFile::parse(&text));
    let mut rows = Rows::of(TOML.to_owned(), &reads);
    let mut replace = |input, from: &str, to: &str| {
        assert!(TOML.contains(from), "{from}");
        rows.row(input, |text| *text = text.replacen(from, to, 1));
    };
    replace("a name in capitals", "name = \"tiny\"", "name = \"Tiny\"");
    replace("windows that leave no time to train", "blocks = 30", "blocks = 8");
    replace("no vocabulary", "vocab = 4096", "vocab = 0");
    replace("a vocabulary of 2^32 - 1", "vocab = 4096", "vocab = 4294967295");
    replace("no inner steps", "inner_steps = 20", "inner_steps = 0");
    replace("a learning rate that is no number", "peak = 2e-3", "peak = nan");
    replace("nothing sent of a chunk", "topk = 72", "topk = 0");
    replace("more peers than a vote has bits for", "gather_peers = 8", "gather_peers = 40");
    replace("an unknown staleness", "staleness = 0", "staleness = 1");
    rows.done("Run spec, its file: `RunSpecError` of `RunFile::parse`")
}

fn dataset() -> Table {
    let reads = |bytes: Vec<u8>| says(dataset::Manifest::read(&bytes));
    let mut rows = Rows::of(crate::objects::dataset().to_bytes(), &reads);
    rows.row("no byte at all", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe3)
        .row("a later version", |b| b[1] = 2)
        .row("tokens of 3 bytes", |b| b[2] = 3)
        .row("a vocabulary too large for its tokens", |b| b[3..7].fill(0xff))
        .row("sequences of a token", |b| b[7..11].copy_from_slice(&[1, 0, 0, 0]))
        .row("2^32 - 1 shards", |b| b[43..47].fill(0xff))
        .row("a shard more than there is", |b| b[43] = 4)
        .row("no shard", |b| {
            b[43] = 0;
            b.truncate(47);
        })
        .row("a shard for nothing known", |b| b[47] = 9)
        .row("a shard to train on behind one that is held out", |b| b[47] = 1)
        .row("a shard of part of a block", |b| b[48] = 1)
        .row("a shard of 2^64 - 64 sequences", |b| b[48..56].copy_from_slice(&(u64::MAX - 63).to_le_bytes()))
        .row("cut off", |b| b.pop())
        .row("a byte behind it", |b| b.push(0));
    rows.done("Dataset's manifest: `ManifestError` of `dataset::Manifest::read`")
}

fn block_table() -> Table {
    let reads = |bytes: Vec<u8>| says(dataset::BlockTable::read(&bytes));
    let mut rows = Rows::of(crate::objects::block_table().to_bytes(), &reads);
    rows.row("no byte at all", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe2)
        .row("a later version", |b| b[1] = 2)
        .row("a block more than there is", |b| b[2] = 4)
        .row("2^64 - 1 blocks", |b| b[2..10].fill(0xff))
        .row("a byte behind it", |b| b.push(0));
    rows.done("Block table: `WireError` of `dataset::BlockTable::read`")
}

fn manifest() -> Table {
    let reads = |bytes: Vec<u8>| says(Manifest::read(&bytes));
    let mut rows = Rows::of(crate::objects::checkpoint().to_bytes(), &reads);
    let write = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = crate::objects::checkpoint();
        change(&mut manifest);
        manifest.to_bytes()
    };
    rows.row("no byte at all", Vec::clear)
        .row("cut off", |b| b.pop())
        .row("a megabyte and a byte", |b| b.resize(checkpoint::MOST_MANIFEST_BYTES + 1, b' '))
        .row("lists within lists, without end", |b| *b = vec![b'['; 1 << 20])
        .row("a byte behind it", |b| b.push(b'x'))
        .row("a later version", |b| *b = write(&|m| m.version = 2))
        .row("a name that leads out of the folder", |b| {
            *b = write(&|m| m.parts[0].file = "../a.json".to_owned())
        })
        .row("a name of something that runs", |b| {
            *b = write(&|m| m.parts[0].file = "pytorch_model.bin".to_owned())
        })
        .row("its own name", |b| *b = write(&|m| m.parts[0].file = checkpoint::MANIFEST.to_owned()))
        .row("names out of order", |b| *b = write(&|m| m.parts.swap(0, 1)))
        .row("a file twice", |b| *b = write(&|m| m.parts[1] = m.parts[0].clone()))
        .row("no progress", |b| *b = write(&|m| drop(m.parts.pop())))
        .row("4,097 files", |b| {
            *b = write(&|m| {
                let part = m.parts[0].clone();
                m.parts = (0..4097).map(|_| part.clone()).collect();
            });
        });
    let mut rows = rows.done("Checkpoint's manifest: `ManifestError` of `checkpoint::Manifest`");
    let mut large = crate::objects::checkpoint();
    large.parts.iter_mut().for_each(|part| part.bytes = u64::MAX);
    rows.rows.push(("files of 2^64 - 1 bytes, for a model of 1000", says(large.check_size(1000)).unwrap()));
    let other = Progress { root: common::digest::StateRoot([4; 32]), ..crate::objects::progress() };
    rows.rows.push((
        "a progress of another state",
        says(crate::objects::checkpoint().check_progress(&other)).unwrap(),
    ));
    rows
}

fn pointer() -> Table {
    let reads = |bytes: Vec<u8>| says(Pointer::read(&bytes));
    let mut rows = Rows::of(crate::objects::pointer().to_bytes(), &reads);
    rows.row("no byte at all", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe9)
        .row("a later version", |b| b[1] = 2)
        .row("cut off", |b| b.pop())
        .row("a byte behind it", |b| b.push(0));
    rows.done("Pointer to a checkpoint: `WireError` of `checkpoint::Pointer::read`")
}

fn progress_rows() -> Table {
    let reads = |bytes: Vec<u8>| says(Progress::read(&bytes));
    let (before, first, count) = (2 + 32 + 32, 2 + 32 + 32 + 32, 2 + 32 + 32 + 32 + 8);
    let mut rows = Rows::of(crate::objects::progress().to_bytes(), &reads);
    let medians = rows.valid.len() - 4 - 8 * 2;
    rows.row("no byte at all", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe8)
        .row("a later version", |b| b[1] = 2)
        .row("another beginning than the run's", |b| b[before] ^= 1)
        .row("windows that do not follow", |b| b[first] = 2)
        .row("records of the last windows there are", |b| b[first..first + 8].fill(0xff))
        .row("65,535 records", |b| b[count..count + 2].fill(0xff))
        .row("too few records to go on", |b| {
            b.truncate(count + 2);
            (b[first], b[count], b[count + 1]) = (20, 0, 0);
            b.push(0);
        })
        .row("medians that are neither there nor not", |b| b[medians - 1] = 2)
        .row("2^32 - 1 medians", |b| b[medians..medians + 4].fill(0xff))
        .row("cut off", |b| b.pop())
        .row("a byte behind it", |b| b.push(0));
    rows.done("Progress of a checkpoint: `ProgressError` of `Progress::read`")
}

fn window_record() -> Table {
    let reads = |bytes: Vec<u8>| says(WindowRecord::open(&bytes, &RUN, WINDOW));
    let (window, accepted) = (2 + 32, 2 + 32 + 8);
    let voters = accepted + 2 + 40 + 32;
    let mut rows = Rows::of(record(WINDOW).to_bytes(&RUN), &reads);
    rows.row("no byte at all", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe8)
        .row("a later version", |b| b[1] = 2)
        .row("another run", |b| b[2] ^= 1)
        .row("another window", |b| b[window] = 6)
        .row("65 accepted", |b| b[accepted] = 65)
        .row("an accepted more than there is", |b| b[accepted] = 2)
        .row("65,535 voters", |b| b[voters..voters + 2].fill(0xff))
        .row("one voter twice", |b| b.copy_within(voters + 2..voters + 42, voters + 42))
        .row("cut off", |b| b.pop())
        .row("a byte behind it", |b| b.push(0));
    rows.done("Record of a window: `RecordError` of `WindowRecord::open`")
}

fn key_file() -> Table {
    let reads = |bytes: Vec<u8>| match KeyFile::read(&bytes) {
        Ok(Contents::Plain(file)) => says(file.secrets()).or_else(|| says(file.account())),
        Ok(Contents::Sealed(_)) => None,
        Err(error) => Some(error.to_string()),
    };
    let write = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = serde_json::from_slice(&crate::objects::key_file()).unwrap();
        change(&mut json);
        json.to_string().into_bytes()
    };
    let mut rows = Rows::of(crate::objects::key_file(), &reads);
    rows.row("no byte at all", Vec::clear)
        .row("64 KiB and a byte", |b| b.resize(MOST_BYTES + 1, b' '))
        .row("lists within lists, without end", |b| *b = vec![b'['; MOST_BYTES])
        .row("cut off", |b| b.pop())
        .row("a byte behind it", |b| b.push(b'x'))
        .row("bytes that are no text", |b| b[3] = 0xff)
        .row("a number for a phrase", |b| *b = write(&|j| j["secretPhrase"] = 7.into()))
        .row("a crypto type of more than a byte", |b| *b = write(&|j| j["cryptoType"] = 256.into()))
        .row("another kind of key", |b| *b = write(&|j| j["cryptoType"] = 0.into()))
        .row("an address with a slip", |b| {
            *b = write(&|j| j["ss58Address"] = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ".into())
        })
        .row("a public key of 31 bytes, without an address", |b| {
            *b = write(&|j| {
                j["ss58Address"] = serde_json::Value::Null;
                j["publicKey"] = "00".repeat(31).into();
            });
        })
        .row("nobody's: neither an address nor a public key", |b| {
            *b = write(&|j| {
                j["ss58Address"] = serde_json::Value::Null;
                j["publicKey"] = serde_json::Value::Null;
            });
        })
        .row("no secret", |b| {
            *b = write(&|j| {
                for field in ["secretPhrase", "secretSeed", "privateKey"] {
                    j[field] = "".into();
                }
            });
        })
        .row("encrypted by ansible", |b| *b = b"$ANSIBLE_VAULT;1.1;AES256".to_vec());
    rows.done("Key file of a wallet: `KeyFileError` of `KeyFile::read`")
}
