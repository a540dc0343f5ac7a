//! One's own commitment: bucket, claims and votes onto the chain.

use base::{Height, Netuid, commitment::CommitmentError};
use chain::{Client, CommitError, error::ReadError, wallet::KeyPair};
use protocol::announcement::{self, Announcement, Bucket, Reading, Record};

/// Writes the commitment of one hotkey.
#[derive(Clone, Debug)]
pub struct Announcer {
    client: Client,
    netuid: Netuid,
    key: KeyPair,
    bucket: Bucket,
    overwrite: bool,
}

/// Why something was not announced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// What stands in the commitment is not ours, and would be gone.
    #[error(
        "the hotkey's commitment holds what other software wrote ({0}): use another hotkey, or allow it to be overwritten"
    )]
    Foreign(String),
    /// What stands there cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The fields do not fit.
    #[error(transparent)]
    Fields(#[from] CommitmentError),
    /// The chain did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl AnnounceError {
    /// May the same succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read(error) => error.is_retryable(),
            Self::Commit(error) => error.is_retryable(),
            Self::Foreign(_) | Self::Fields(_) => false,
        }
    }
}

impl Announcer {
    /// For a hotkey whose bucket is this one.
    #[must_use]
    pub fn new(client: Client, netuid: Netuid, key: KeyPair, bucket: Bucket) -> Self {
        Self { client, netuid, key, bucket, overwrite: false }
    }

    /// Whether what other software wrote may be overwritten.
    #[must_use]
    pub fn overwrite(self, overwrite: bool) -> Self {
        Self { overwrite, ..self }
    }

    /// Announces the bucket, unless the chain shows it already; a record of ours that stands beside it stays. The block
    /// in which the commitment was set.
    ///
    /// # Errors
    /// The commitment is other software's, or the chain does not take it.
    pub async fn bucket(&self) -> Result<Height, AnnounceError> {
        let stands = self.read().await?;
        if let Some((height, reading)) = &stands
            && reading.announcement.as_ref().is_some_and(|announced| announced.bucket == self.bucket)
        {
            return Ok(*height);
        }
        let record = stands.as_ref().and_then(|(_, reading)| reading.record().copied());
        self.write(stands, record).await
    }

    /// Announces a claim or a vote, with the bucket beside it, unless the chain shows just that already. The block in
    /// which it was set.
    ///
    /// # Errors
    /// The commitment is other software's, this epoch's space is used up, or the chain does not take it.
    pub async fn record(&self, record: Record) -> Result<Height, AnnounceError> {
        let stands = self.read().await?;
        let ours = Announcement { bucket: self.bucket.clone(), record: Some(record) };
        if let Some((height, reading)) = &stands
            && reading.announcement.as_ref() == Some(&ours)
        {
            return Ok(*height);
        }
        self.write(stands, Some(record)).await
    }

    /// What stands in the commitment, and since when.
    async fn read(&self) -> Result<Option<(Height, Reading)>, ReadError> {
        let (head, hotkey) = (self.client.finalized_hash().await?, self.key.hotkey());
        let commitments = self.client.at(head).commitments_of(self.netuid, &[hotkey]).await?;
        let read = |commitment: &base::commitment::Commitment| {
            (Height(commitment.block.into()), announcement::read(&commitment.fields))
        };
        Ok(commitments.of(&hotkey).map(read))
    }

    async fn write(
        &self,
        stands: Option<(Height, Reading)>,
        record: Option<Record>,
    ) -> Result<Height, AnnounceError> {
        if let Some((_, reading)) = stands.filter(|(_, reading)| reading.would_overwrite() && !self.overwrite)
        {
            let ignored: Vec<_> = reading.ignored.iter().map(ToString::to_string).collect();
            return Err(AnnounceError::Foreign(ignored.join("; ")));
        }
        let fields = Announcement { bucket: self.bucket.clone(), record }.fields()?;
        let included = self.client.set_commitment(self.netuid, fields, &self.key).await?;
        tracing::debug!(target: "exchange", block = %included.height, ?record, "announced");
        Ok(included.height)
    }
}
