//! Commitments and their fields: the objects that neurons write on chain.

use super::{Rows, Table, says};
use crate::objects::{self, *};
use base::commitment::{Commitment, Field, Fields};
use parity_scale_codec::Encode as _;
use protocol::announcement::{self, kind};

pub(super) fn commitment() -> Table {
    let valid = objects::commitment(s3(), Some(announcement::Record::Vote(vote()))).encode();
    let reads = |bytes: Vec<u8>| says(Commitment::from_chain(&bytes));
    let fields = 8 + 4;
    let mut rows = Rows::of(valid, &reads);
    rows.row("no bytes", Vec::clear)
        .row("cut off", |b| b.pop())
        .row("a trailing byte", |b| b.push(0))
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

pub(super) fn announcement() -> Table {
    let payloads = |bucket, record| {
        let fields = objects::commitment(bucket, Some(record)).fields;
        fields.as_slice().iter().map(|field| field.payload().to_vec()).collect::<Vec<_>>()
    };
    let reads = |fields: Vec<Vec<u8>>| {
        let fields = fields.into_iter().map(|bytes| Field::big_raw(bytes).unwrap()).collect();
        let reading = announcement::read(&Fields::new(fields).unwrap());
        reading.ignored.first().map(|field| base::ErrorChain(field).to_string())
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
        .row("an IP address in hexadecimal", |f| f[0] = place(["https://0x7f000001", region, name]))
        .row("port 0", |f| f[0] = place(["https://s3.example.com:0", region, name]))
        .row("an endpoint in capitals", |f| f[0] = place(["https://S3.example.com", region, name]))
        .row("a region with a space", |f| f[0] = place([fine, "eu 1", name]))
        .row("a bucket name with a path", |f| f[0] = place([fine, region, "../x"]))
        .row("R2 with an account in capitals", |f| f[0] = vec![b'A'; 128])
        .row("a claim of a later version", |f| f[1][1] = 2)
        .row("a claim that is cut off", |f| f[1].pop())
        .row("a claim with a byte behind it", |f| f[1].push(0))
        .row("credentials in the place of the claim", |f| f[1] = f[2].clone())
        .row("an empty access key", |f| f[2] = vec![kind::CREDENTIALS, 1, 0, 0, 1, 0, b's'])
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
