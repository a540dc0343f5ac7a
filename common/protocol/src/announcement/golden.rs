//! Tests the bytes of announcements, as they are on chain forever, and the handling of all other bytes.

use super::*;
use base::{
    Secret, Window,
    digest::{ObjectHash, RunId, ScoreLogHead, State},
};
use parity_scale_codec::{Decode, Encode};
use proptest::{collection::vec, option, prelude::*};

const RUN: RunId = RunId([1, 2, 3, 4, 5, 6, 7, 8]);

fn claim() -> Record {
    Record::Claim(Claim { run: RUN, window: Window(258), object: ObjectHash([0xaa; 32]) })
}

fn vote() -> Record {
    Record::Vote(Vote {
        run: RUN,
        window: Window(7),
        good: Bits::of([0, 2, 63]),
        state: State([0xbb; 32]),
        score_log: ScoreLogHead([0xcc; 32]),
        possession: Possession([0xdd; 32]),
    })
}

fn r2() -> Bucket {
    Bucket::r2("0123456789abcdef0123456789abcdef", &"5".repeat(32), &"6".repeat(64)).unwrap()
}

fn s3() -> Bucket {
    let keys = ReadCredentials { access_key: Secret::new("AKIA"), secret: Secret::new("abc/def+") };
    Bucket::s3("http://127.0.0.1:4566", "us-east-1", "miner-0", Some(keys)).unwrap()
}

fn written(bucket: Bucket, record: Option<Record>) -> Vec<String> {
    let fields = Announcement { bucket, record }.fields().unwrap();
    fields.as_slice().iter().map(|field| hex::encode(field.payload())).collect()
}

#[test]
fn a_claim_from_an_r2_bucket() {
    let claim_bytes = format!("f901{}{}{}", "0102030405060708", "0201000000000000", "aa".repeat(32));
    let bucket = format!("0123456789abcdef0123456789abcdef{}{}", "5".repeat(32), "6".repeat(64));
    assert_eq!(written(r2(), Some(claim())), [hex::encode(&bucket), claim_bytes]);
    // Templar's own reader takes the first field of 128 characters.
    let fields = Announcement { bucket: r2(), record: None }.fields().unwrap();
    assert_eq!(fields, Fields::new(vec![Field::raw(bucket.into_bytes()).unwrap()]).unwrap());
}

#[test]
fn a_vote_from_another_bucket() {
    let bucket = "f8011500687474703a2f2f3132372e302e302e313a34353636\
                  090075732d656173742d3107006d696e65722d30";
    let vote_bytes = format!(
        "fa01{}{}{}{}{}{}",
        "0102030405060708",
        "0700000000000000",
        "0500000000000080",
        "bb".repeat(32),
        "cc".repeat(32),
        "dd".repeat(32)
    );
    let keys = "fb010400414b494108006162632f6465662b";
    assert_eq!(written(s3(), Some(vote())), [bucket, &vote_bytes, keys]);
    assert_eq!(written(s3(), None), [bucket, "", keys]);
    assert_eq!(vote_bytes.len() / 2, 122, "a vote fits into a small field");
}

#[test]
fn costs_against_the_epochs_budget() {
    let cost = |bucket, record| Announcement { bucket, record }.fields().unwrap().cost();
    assert_eq!(cost(r2(), None), 128);
    assert_eq!(cost(r2(), Some(claim())), 178);
    assert_eq!(cost(r2(), Some(vote())), 250);
}

#[test]
fn what_other_software_wrote_is_ignored_and_not_overwritten_silently() {
    let foreign = |field| {
        let reading = read(&Fields::new(vec![field]).unwrap());
        assert_eq!(reading.announcement, None);
        assert_eq!(reading.ignored, [Ignored { field: 0, why: FieldError::Foreign }]);
        assert!(reading.would_overwrite());
    };
    foreign(Field::raw(*b"{\"repo\":\"x\"}").unwrap());
    foreign(Field::raw([0; 128]).unwrap());
    foreign(Field::BlakeTwo256([7; 32]));
    foreign(Field::ResetBondsFlag);
    foreign(Field::timelock_encrypted([1; 9], 5).unwrap());
    foreign(Field::big_raw([]).unwrap());
    for nothing in [vec![], vec![Field::None], vec![Field::raw([]).unwrap(), Field::None]] {
        assert_eq!(read(&Fields::new(nothing).unwrap()), Reading::default());
    }
}

#[test]
fn what_is_ours_but_cannot_be_read_says_why() {
    let bucket = || raw(s3().write_location()).unwrap();
    let refuse = |fields: Vec<Field>| {
        let reading = read(&Fields::new(fields).unwrap());
        assert!(!reading.would_overwrite());
        base::ErrorChain(&reading.ignored[0]).to_string()
    };
    let mut later = claim().to_bytes();
    later[1] = 2;
    assert_eq!(
        refuse(vec![bucket(), raw(later).unwrap()]),
        "field 1 of the commitment is ignored: version 2 is unknown: this program reads version 1"
    );
    let longer = [claim().to_bytes(), vec![0]].concat();
    assert_eq!(
        refuse(vec![bucket(), raw(longer).unwrap()]),
        "field 1 of the commitment is ignored: 1 bytes follow the end of the claim at offset 50"
    );
    let shorter = vote().to_bytes()[..121].to_vec();
    assert_eq!(
        refuse(vec![bucket(), raw(shorter).unwrap()]),
        "field 1 of the commitment is ignored: the possession: 32 bytes are needed at offset 90, 31 are left"
    );
    assert_eq!(
        refuse(vec![raw(claim().to_bytes()).unwrap()]),
        "field 0 of the commitment is ignored: a field of kind 0xf9 is in the wrong place"
    );
    let keys = s3().write_credentials().unwrap();
    assert_eq!(
        refuse(vec![raw(r2().write_location()).unwrap(), Field::None, raw(keys).unwrap()]),
        "field 2 of the commitment is ignored: the bucket of field 0 needs no credentials"
    );
    let capitals = r2().write_location().to_ascii_uppercase();
    assert!(refuse(vec![raw(capitals).unwrap()]).contains("R2 account `0123456789ABCDEF"));
}

#[test]
fn a_record_without_a_bucket_is_none() {
    let reading = read(&Fields::new(vec![Field::None, raw(claim().to_bytes()).unwrap()]).unwrap());
    assert_eq!(reading.record(), None);
}

fn any_record() -> impl Strategy<Value = Record> {
    let claim = (any::<[u8; 8]>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(run, window, object)| {
        Record::Claim(Claim { run: RunId(run), window: Window(window), object: ObjectHash(object) })
    });
    let vote = (any::<[u8; 8]>(), any::<[u64; 2]>(), any::<[[u8; 32]; 3]>()).prop_map(
        |(run, [window, good], [state, score_log, possession])| {
            Record::Vote(Vote {
                run: RunId(run),
                window: Window(window),
                good: Bits(good),
                state: State(state),
                score_log: ScoreLogHead(score_log),
                possession: Possession(possession),
            })
        },
    );
    prop_oneof![claim, vote]
}

fn any_bucket() -> impl Strategy<Value = Bucket> {
    let r2 = ("[0-9a-f]{32}", "[0-9a-zA-Z]{32}", "[0-9a-zA-Z]{64}")
        .prop_map(|(account, key, secret)| Bucket::r2(&account, &key, &secret).unwrap());
    let keys = option::of(("[a-zA-Z0-9_.-]{1,128}", "[a-zA-Z0-9+/=]{1,256}"));
    let s3 = ("[a-z]{1,40}", 1u16..443, "[a-z0-9-]{1,32}", "[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", keys).prop_map(
        |(host, port, region, name, keys)| {
            let keys = keys.map(|(key, secret)| ReadCredentials {
                access_key: Secret::new(key),
                secret: Secret::new(secret),
            });
            Bucket::s3(&format!("https://{host}.com:{port}"), &region, &name, keys).unwrap()
        },
    );
    prop_oneof![r2, s3]
}

proptest! {
    #[test]
    fn announcements_round_trip(bucket in any_bucket(), record in option::of(any_record())) {
        let announcement = Announcement { bucket, record };
        let fields = announcement.fields().unwrap();
        let stored = Fields::decode(&mut &fields.encode()[..]).unwrap();
        prop_assert_eq!(read(&stored), Reading { announcement: Some(announcement), ignored: vec![] });
    }

    #[test]
    fn any_record_is_refused_or_the_same_again(bytes in vec(any::<u8>(), 0..140), ours in 0u8..3) {
        let mut bytes = bytes;
        if ours > 0 && bytes.len() > 1 {
            (bytes[0], bytes[1]) = (kind::BUCKET + ours, VERSION);
            bytes.truncate(if ours == 1 { 50 } else { 122 });
        }
        if let Ok(record) = Record::read(&bytes) {
            prop_assert_eq!(record.to_bytes(), bytes);
        }
    }

    #[test]
    fn any_fields_are_read_without_a_panic(fields in vec((any::<u8>(), vec(any::<u8>(), 0..300)), 0..=3)) {
        let fields = fields.into_iter().map(|(kind, mut bytes)| {
            if let [first, version, ..] = &mut bytes[..] {
                (*first, *version) = (0xf8 + kind % 6, 1);
            }
            raw(bytes).unwrap()
        });
        let _ = read(&Fields::new(fields.collect()).unwrap());
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_another_record_or_none(record in any_record(), bit in 0usize..400) {
        let mut bytes = record.to_bytes();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(Record::read(&bytes), Ok(record));
    }
}
