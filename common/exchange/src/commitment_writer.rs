//! Writes the commitment of this node's hotkey to the chain: bucket, claims and votes.

use base::{Height, Netuid, commitment::CommitmentError};
use chain::{Client, CommitError, error::ReadError, wallet::KeyPair};
use protocol::announcement::{self, Announcement, Bucket, Reading, Record};

/// The writer of one hotkey's commitment.
#[derive(Clone, Debug)]
pub struct CommitmentWriter {
    client: Client,
    netuid: Netuid,
    key: KeyPair,
    bucket: Bucket,
    overwrite: bool,
}

/// The reason why an announcement failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// A commitment of other software, which the announcement would overwrite.
    #[error(
        "cannot replace a commitment that other software wrote ({0}): use another hotkey, or allow overwriting"
    )]
    Foreign(String),
    /// A chain state that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Fields that do not fit into a commitment.
    #[error(transparent)]
    Fields(#[from] CommitmentError),
    /// A commitment that the chain did not accept.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl AnnounceError {
    /// Returns whether the chain's node only limits requests, or is overloaded.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Read(error) => error.is_busy(),
            Self::Commit(error) => error.is_busy(),
            Self::Foreign(_) | Self::Fields(_) => false,
        }
    }

    /// Returns whether a retry may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read(error) => error.is_retryable(),
            Self::Commit(error) => error.is_retryable(),
            Self::Foreign(_) | Self::Fields(_) => false,
        }
    }
}

impl CommitmentWriter {
    /// Creates an commitment writer for a hotkey with this bucket.
    #[must_use]
    pub fn new(client: Client, netuid: Netuid, key: KeyPair, bucket: Bucket) -> Self {
        Self { client, netuid, key, bucket, overwrite: false }
    }

    /// Sets whether the commitment writer may overwrite a commitment of other software.
    #[must_use]
    pub fn overwrite(self, overwrite: bool) -> Self {
        Self { overwrite, ..self }
    }

    /// Announces the bucket, unless the chain shows it already. An existing claim or vote of this
    /// hotkey stays. Returns the block in which the commitment was set.
    ///
    /// # Errors
    /// Other software wrote the commitment, or the chain does not accept it.
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

    /// Announces a claim or a vote together with the bucket, unless the chain shows exactly that
    /// already. Returns the block in which the commitment was set.
    ///
    /// # Errors
    /// Other software wrote the commitment, this epoch's space is used up, or the chain does not accept it.
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

    /// Reads the current commitment and the block in which it was set.
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
            let ignored: Vec<_> =
                reading.ignored.iter().map(|field| base::ErrorChain(field).to_string()).collect();
            return Err(AnnounceError::Foreign(ignored.join("; ")));
        }
        let fields = Announcement { bucket: self.bucket.clone(), record }.fields()?;
        let included = self.client.set_commitment(self.netuid, fields, &self.key).await?;
        tracing::debug!(target: "exchange", block = %included.height, ?record, "announced");
        Ok(included.height)
    }
}
