//! What Muster writes into the fields of a commitment: where a neuron's bucket is, and its claim or vote.
//!
//! | field | holds |
//! |---|---|
//! | 0 | the [`Bucket`]: on Cloudflare R2 in Templar's 128 characters, elsewhere as provider, endpoint, region, name |
//! | 1 | a [`Claim`] of a miner or a [`Vote`] of a validator, or nothing |
//! | 2 | the read credentials of a bucket that is not on R2, or nothing |
//!
//! Every write replaces all fields, so an [`Announcement`] is always written whole. The bytes are in `FORMATS.md`.
//! Reading never fails: what other software wrote is named as [`Ignored`] and left out, and so is what a later version
//! of Muster may write. Whoever is about to write first asks [`Reading::would_overwrite`].
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
//! assert_eq!(crate::announcement::read(&fields).announcement, Some(announcement));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod bucket;
mod budget;
mod endpoint;
#[cfg(test)]
mod golden;
mod record;

pub use address::{AddressError, AddressPolicy};
pub use bucket::{Bucket, BucketError, Location, ReadCredentials};
pub use budget::Budget;
pub use endpoint::{Endpoint, EndpointError, Host};
pub use record::{Bits, Claim, MOST_CANDIDATES, Possession, Record, Vote};

use base::{
    commitment::{CommitmentError, Field, Fields, MAX_RAW},
    wire::{Reader, WireError},
};

/// The version of all fields that this code writes.
pub const VERSION: u8 = 1;

/// First bytes of our fields. None of them occurs in UTF-8, so no text of other software looks like one of ours.
pub mod kind {
    /// A bucket that is not on Cloudflare R2.
    pub const BUCKET: u8 = 0xf8;
    /// A miner's claim.
    pub const CLAIM: u8 = 0xf9;
    /// A validator's vote.
    pub const VOTE: u8 = 0xfa;
    /// Read credentials of a bucket that is not on Cloudflare R2.
    pub const CREDENTIALS: u8 = 0xfb;
    /// Kept for session keys: keys that sign objects in place of the hotkey.
    pub const SESSION_KEY: u8 = 0xfc;
}

/// All that a neuron announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Where its objects are.
    pub bucket: Bucket,
    /// What it says of a window, if anything.
    pub record: Option<Record>,
}

/// What was found in a commitment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What is ours. Without a bucket nothing is.
    pub announcement: Option<Announcement>,
    /// What is not, field by field.
    pub ignored: Vec<Ignored>,
}

/// A field that is not read, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} of the commitment is ignored: {why}")]
pub struct Ignored {
    /// The field's place, from 0.
    pub field: usize,
    /// Why.
    pub why: FieldError,
}

/// Why a field is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Its first byte is none of ours.
    #[error("other software wrote it")]
    Foreign,
    /// It is ours, but belongs elsewhere.
    #[error("a field of kind {0:#04x} does not belong there")]
    Misplaced(u8),
    /// A later version of Muster wrote it.
    #[error("it is of version {0}, this program knows version {VERSION}")]
    Version(u8),
    /// Its bytes are not what its kind says.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// It describes no bucket that could be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// It gives credentials for no bucket, or a second set.
    #[error("credentials, but not for a bucket of field 0 that needs them")]
    Unneeded,
}

impl Announcement {
    /// The fields to write.
    ///
    /// # Errors
    /// Never for a bucket that was checked when it was made; the chain's bounds are checked again all the same.
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

/// A field of as many bytes: the small kind if they fit.
fn raw(bytes: Vec<u8>) -> Result<Field, CommitmentError> {
    if bytes.len() <= MAX_RAW { Field::raw(bytes) } else { Field::big_raw(bytes) }
}

impl Reading {
    /// Whether writing an announcement would destroy what other software wrote.
    #[must_use]
    pub fn would_overwrite(&self) -> bool {
        self.ignored.iter().any(|ignored| ignored.why == FieldError::Foreign)
    }

    /// The claim or vote, if there is one.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.announcement.as_ref()?.record.as_ref()
    }
}

/// Reads a commitment's fields.
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

/// The bytes of a field that could be one of ours. `None` and empty fields are nothing; hashes, ciphertexts and flags
/// are never ours, and read as foreign.
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

/// Opens a field of ours: its kind, and a reader behind kind and version.
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
