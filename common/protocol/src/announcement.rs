//! Encodes and decodes the fields of a commitment: a neuron's bucket, and its claim or vote.
//!
//! | field | holds |
//! |---|---|
//! | 0 | the [`Bucket`]: on Cloudflare R2 in Templar's 128 characters, elsewhere endpoint, region, name |
//! | 1 | a [`Claim`] of a miner or a [`Vote`] of a validator, or nothing |
//! | 2 | the read credentials of a bucket that is not on R2, or nothing |
//!
//! Every write replaces all fields, so an [`Announcement`] is always written whole. `FORMATS.md`
//! lists the bytes. Reading never fails. Fields of other software, or of a later version of Muster,
//! are reported as [`Ignored`] and left out. Check [`Reading::would_overwrite`] before you write.
//!
//! ```
//! use base::{Window, digest::{ObjectHash, RunId}};
//! use protocol::announcement::{Announcement, Bucket, Claim, Record};
//!
//! let bucket = Bucket::r2(&"a".repeat(32), &"b".repeat(32), &"c".repeat(64))?;
//! let claim = Claim { run: RunId([1; 8]), window: Window(7), object: ObjectHash([2; 32]) };
//! let announcement = Announcement { bucket, record: Some(Record::Claim(claim)) };
//! let fields = announcement.fields()?;
//! assert_eq!(fields.cost(), 178); // bytes of the 3100 that the chain grants per epoch
//! assert_eq!(protocol::announcement::read(&fields).announcement, Some(announcement));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod bucket;
mod budget;
mod endpoint;
#[cfg(test)]
mod golden;
mod possession;
mod record;

pub use address::{AddressError, AddressPolicy};
pub use bucket::{Bucket, BucketError, Location, ReadCredentials};
pub use budget::Budget;
pub use endpoint::{Endpoint, EndpointError, Host};
pub use possession::{POSSESSION_LEAVES, Possession};
pub use record::{Bits, Claim, MOST_CANDIDATES, Record, Vote};

use base::{
    commitment::{CommitmentError, Field, Fields, MAX_RAW},
    wire::{Reader, WireError},
};

/// The version of all fields that this code writes.
pub const VERSION: u8 = 1;

/// First bytes of Muster's fields. None of them occurs in UTF-8, so no text of other software looks
/// like such a field.
pub mod kind {
    /// A bucket that is not on Cloudflare R2.
    pub const BUCKET: u8 = 0xf8;
    /// A miner's claim.
    pub const CLAIM: u8 = 0xf9;
    /// A validator's vote.
    pub const VOTE: u8 = 0xfa;
    /// Read credentials of a bucket that is not on Cloudflare R2.
    pub const CREDENTIALS: u8 = 0xfb;
    /// Reserved for session keys: keys that sign objects in place of the hotkey.
    pub const SESSION_KEY: u8 = 0xfc;
}

/// The content of a neuron's commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The bucket of its objects.
    pub bucket: Bucket,
    /// Its claim or vote, if any.
    pub record: Option<Record>,
}

/// The result of reading a commitment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The fields of Muster. Without a bucket there is no announcement.
    pub announcement: Option<Announcement>,
    /// The fields that were left out.
    pub ignored: Vec<Ignored>,
}

/// A field that was left out, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} of the commitment is ignored")]
pub struct Ignored {
    /// The field's place, from 0.
    pub field: usize,
    /// The reason.
    #[source]
    pub why: FieldError,
}

/// The reason why a field was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A first byte that is not one of Muster's.
    #[error("other software wrote it")]
    Foreign,
    /// A field of Muster in the wrong place.
    #[error("a field of kind {0:#04x} is in the wrong place")]
    Misplaced(u8),
    /// A field of a later version of Muster.
    #[error("version {0} is unknown: this program reads version {VERSION}")]
    Version(u8),
    /// Bytes that do not fit the field's kind.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// A bucket that cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Credentials without a bucket that needs them, or a second set.
    #[error("the bucket of field 0 needs no credentials")]
    Unneeded,
}

impl Announcement {
    /// Encodes the fields to write.
    ///
    /// # Errors
    /// None for a bucket that was checked when it was created. The chain's bounds are checked again
    /// all the same.
    pub fn fields(&self) -> Result<Fields, CommitmentError> {
        let mut fields = vec![raw(self.bucket.write_location())?];
        let record = self.record.as_ref().map(Record::to_bytes);
        let credentials = self.bucket.write_credentials();
        match (record, credentials) {
            (Some(record), None) => fields.push(raw(record)?),
            (None, Some(credentials)) => fields.extend([Field::None, raw(credentials)?]),
            (Some(record), Some(credentials)) => fields.extend([raw(record)?, raw(credentials)?]),
            (None, None) => {}
        }
        Fields::new(fields)
    }
}

/// Encodes bytes as a field, of the small kind if they fit.
fn raw(bytes: Vec<u8>) -> Result<Field, CommitmentError> {
    if bytes.len() <= MAX_RAW { Field::raw(bytes) } else { Field::big_raw(bytes) }
}

impl Reading {
    /// Checks whether writing an announcement would destroy a field of other software.
    #[must_use]
    pub fn would_overwrite(&self) -> bool {
        self.ignored.iter().any(|ignored| ignored.why == FieldError::Foreign)
    }

    /// Returns the claim or vote, if there is one.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.announcement.as_ref()?.record.as_ref()
    }
}

/// Decodes a commitment's fields.
#[must_use]
pub fn read(fields: &Fields) -> Reading {
    let mut reading = Reading::default();
    let mut ignore = |field, why| reading.ignored.push(Ignored { field, why });
    let (mut location, mut record, mut credentials) = (None, None, None);
    for (place, field) in fields.as_slice().iter().enumerate() {
        let read = match (place, bytes(field)) {
            (_, None) => Ok(()),
            (0, Some(bytes)) => read_location(bytes).map(|read| location = Some(read)),
            (1, Some(bytes)) => Record::read(bytes).map(|read| record = Some(read)),
            (_, Some(bytes)) => bucket::read_credentials(bytes).map(|read| credentials = Some(read)),
        };
        if let Err(why) = read {
            ignore(place, why);
        }
    }
    let Some((location, own_credentials)) = location else { return reading };
    if credentials.is_some() && (own_credentials.is_some() || matches!(location, Location::R2 { .. })) {
        ignore(2, FieldError::Unneeded);
        credentials = None;
    }
    let bucket = Bucket::from_parts(location, own_credentials.or(credentials));
    reading.announcement = Some(Announcement { bucket, record });
    reading
}

/// Returns the bytes of a field that could be one of Muster's.
///
/// `None` and empty fields count as nothing. Hashes, ciphertexts and flags are never Muster's, and
/// read as foreign.
fn bytes(field: &Field) -> Option<&[u8]> {
    match field {
        Field::None => None,
        Field::Raw(bytes) if bytes.as_slice().is_empty() => None,
        Field::Raw(bytes) => Some(bytes.as_slice()),
        Field::BigRaw(bytes) => Some(bytes.as_slice()),
        _ => Some(&[]),
    }
}

fn read_location(bytes: &[u8]) -> Result<(Location, Option<ReadCredentials>), FieldError> {
    match bucket::read_r2(bytes) {
        Some(read) => read.map(|(location, credentials)| (location, Some(credentials))),
        None => bucket::read_location(bytes).map(|location| (location, None)),
    }
}

/// Opens a field of Muster. Returns its kind, and a reader behind kind and version.
fn open<'a>(bytes: &'a [u8], expected: &[u8]) -> Result<(u8, Reader<'a>), FieldError> {
    let mut reader = Reader::new(bytes);
    let found = reader.u8("the kind").map_err(|_| FieldError::Foreign)?;
    if !(kind::BUCKET..=kind::SESSION_KEY).contains(&found) {
        return Err(FieldError::Foreign);
    }
    if !expected.contains(&found) {
        return Err(FieldError::Misplaced(found));
    }
    match reader.u8("the version")? {
        VERSION => Ok((found, reader)),
        version => Err(FieldError::Version(version)),
    }
}
