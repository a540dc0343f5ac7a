//! Transactions: signs them, sends them and follows them to a finalized block.
//!
//! Each transaction is mortal, so its outcome is known when its era ends, at the latest. The era begins at
//! the finalized block, which no branch drops, and is longer than finality lags. If the connection breaks, or
//! a block with the transaction is dropped and the pool has lost it, the transaction is searched for in the
//! blocks since. If it is not there, the same bytes are sent again. Their nonce lets them take effect only
//! once.

mod search;
mod send;

use std::{fmt, future::Future};

use base::{BlockHash, Height};
use subxt::utils::{AccountId32, H256};
use subxt_rpcs::{client::RpcSubscription, methods::legacy::TransactionStatus};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::{
    Client,
    blocks::BlocksError,
    calls::{Call, CallError, Terms},
    contact::all_silent,
    error::{ReadError, RequestError},
    nonces::{InFlight, Turn},
    outcome::{self, ChainEvent},
    refusal::Refusal,
    wallet::KeyPair,
};
use search::{Search, Step};
use send::SendError;

/// The hash of a transaction's bytes. It identifies the transaction on chain and in explorers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionHash(pub [u8; 32]);

impl fmt::Display for TransactionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for TransactionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A transaction that succeeded in a finalized block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The hash of the transaction.
    pub hash: TransactionHash,
    /// The height of its block.
    pub height: Height,
    /// The hash of its block.
    pub block: BlockHash,
    /// The hash of the block before: its state is the one that the block started from.
    pub parent: BlockHash,
    /// The index of the transaction in the block.
    pub index: u32,
    /// The runtime's events of the transaction.
    pub events: Vec<ChainEvent>,
}

/// The place where a transaction was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionStage {
    /// A node's pool: the transaction is in no block, and it cost nothing.
    Pool,
    /// The runtime, in this finalized block: the nonce is used, and a fee may have been paid.
    Block {
        /// The height of the block.
        height: Height,
        /// The hash of the block.
        hash: BlockHash,
    },
}

/// An error of a transaction: it did not succeed, or its outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The data that the transaction needs cannot be read. Nothing was sent.
    #[error("nothing was sent")]
    Unsent(#[from] ReadError),
    /// The live runtime does not accept the call. Nothing was sent.
    #[error("nothing was sent")]
    Call(#[from] CallError),
    /// The chain refuses the transaction.
    #[error("{refusal}{}", at_stage(.stage))]
    Refused {
        /// The refusal.
        refusal: Refusal,
        /// The place of the refusal.
        stage: TransactionStage,
    },
    /// The era of the transaction is over, and it is in no block.
    #[error(
        "transaction {hash} is in no block up to {last}, when its era ended: it never took effect, send it again"
    )]
    Expired {
        /// The hash of the transaction.
        hash: TransactionHash,
        /// The last block that could have held it.
        last: Height,
    },
    /// The transaction was not finalized within the options' `transaction_timeout`.
    #[error(
        "transaction {hash} is not finalized yet; it may still take effect up to block {last}: look for it then"
    )]
    Unknown {
        /// The hash of the transaction.
        hash: TransactionHash,
        /// The last block that can hold it.
        last: Height,
    },
    /// The transaction was sent, but the blocks since cannot be followed.
    #[error("transaction {hash} was sent, but its outcome (up to block {last}) cannot be read")]
    Unfollowed {
        /// The hash of the transaction.
        hash: TransactionHash,
        /// The last block that can hold it.
        last: Height,
        /// The error of following the blocks.
        source: Box<BlocksError>,
    },
    /// The transaction is in a block, but its outcome there cannot be read.
    #[error("transaction {hash} is in block {block}, but its outcome cannot be read")]
    Unread {
        /// The hash of the transaction.
        hash: TransactionHash,
        /// The hash of its block.
        block: BlockHash,
        /// The error of reading the outcome.
        source: Box<ReadError>,
    },
}

impl TransactionError {
    /// Returns whether the same call may be sent again: it may succeed then, and it cannot take effect twice.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unsent(error) => error.is_retryable(),
            Self::Refused { refusal, .. } => refusal.is_retryable(),
            // Nothing was sent, and a later runtime may have the call.
            Self::Expired { .. } | Self::Call(CallError::Unusable(_)) => true,
            Self::Call(_) | Self::Unknown { .. } | Self::Unfollowed { .. } | Self::Unread { .. } => false,
        }
    }

    /// Returns the chain's refusal, if the error is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

fn at_stage(stage: &TransactionStage) -> String {
    match stage {
        TransactionStage::Pool => String::new(),
        TransactionStage::Block { height, .. } => format!(" (in block {height})"),
    }
}

type Statuses = RpcSubscription<TransactionStatus<H256>>;

impl Client {
    /// Signs a call, sends it, and waits until it is finalized.
    ///
    /// Makes no check beforehand: the chain itself refuses a wrong call. Several tasks may send calls of one
    /// account at once. The calls take effect in the order in which they are sent.
    pub async fn submit(&self, call: &Call, key: &KeyPair) -> Result<Included, TransactionError> {
        let turn = self.nonces().turn(key.public()).await;
        let mut signed = self.prepare(call, key, &turn).await?;
        let mut statuses = signed.send_patiently(self).await?;
        if matches!(statuses, Err(SendError::Refused(Refusal::BadSignature))) {
            // A signature covers the version of the runtime, which may have been upgraded since.
            let again = self.prepare(call, key, &turn).await?;
            if again.spec != signed.spec {
                signed = again;
                statuses = signed.send_patiently(self).await?;
            }
        }
        if let Err(SendError::Refused(refusal)) = statuses {
            return Err(TransactionError::Refused { refusal, stage: TransactionStage::Pool });
        }
        // After any other error the node may still have accepted the transaction. Follow it, and send it
        // again.
        if let Err(SendError::Request(error @ RequestError::Refused { .. })) = &statuses
            && !error.is_retryable()
        {
            return Err(ReadError::from(error.clone()).into());
        }
        let in_flight = turn.sent(signed.nonce);
        debug!(target: "chain", hash = %signed.hash, nonce = signed.nonce, "transaction sent");
        let patience = self.options().transaction_timeout;
        let (hash, last, height) = (signed.hash, signed.last, signed.first);
        let after = self.options().silence();
        let contacts = [&self.connection().answers, &self.connection().refusals];
        tokio::select! {
            biased;
            followed = timeout(patience, signed.follow(self, statuses.ok(), in_flight)) => {
                followed.unwrap_or(Err(TransactionError::Unknown { hash, last }))
            }
            () = all_silent(&contacts, after) => {
                let source = Box::new(BlocksError::Silent { height, after });
                Err(TransactionError::Unfollowed { hash, last, source })
            }
        }
    }

    async fn prepare(&self, call: &Call, key: &KeyPair, turn: &Turn) -> Result<Signed, TransactionError> {
        let account = &AccountId32(key.public());
        let next_index = self.next_index(account);
        let runtime = self.runtimes().at(self.connection(), None);
        let (next_index, runtime, head, best) =
            tokio::try_join!(next_index, runtime, self.finalized_header(), self.best_header())?;
        let nonce = turn.nonce(next_index);
        let era = self.options().valid_era(best.number.saturating_sub(head.0.0));
        let terms = Terms { nonce, era, anchor: head };
        let bytes = call.sign(&runtime, key, terms)?;
        let last = Height(head.0.0.saturating_add(terms.era.saturating_sub(1)));
        let hash = TransactionHash(sp_crypto_hashing::blake2_256(&bytes));
        let (account, spec) = (key.public(), runtime.version.spec);
        Ok(Signed { bytes, hash, account, spec, nonce, first: head.0.next(), last })
    }

    /// Returns the nonce after those of the best block and of the ready transactions in the node's pool.
    async fn next_index(&self, account: &AccountId32) -> Result<u64, ReadError> {
        let read = self.connection().read("system_accountNextIndex", |node| async move {
            node.system_account_next_index(account).await
        });
        Ok(read.await?)
    }

    async fn finalized_header(&self) -> Result<(Height, BlockHash), ReadError> {
        let hash = self.finalized_hash().await?;
        Ok((Height(self.header(hash).await?.number), hash))
    }
}

/// A signed transaction.
struct Signed {
    bytes: Vec<u8>,
    hash: TransactionHash,
    account: [u8; 32],
    /// The spec version of the runtime that it is signed for.
    spec: u32,
    nonce: u64,
    /// The first block that can hold it.
    first: Height,
    /// The last block that can hold it.
    last: Height,
}

/// The result of watching a transaction on one node.
enum Watched {
    Finalized(BlockHash),
    /// The node sends no more updates, for this reason.
    Lost(&'static str),
}

impl Signed {
    /// Waits for the outcome: in the node's own updates while there are any, in the blocks otherwise.
    async fn follow(
        self,
        client: &Client,
        statuses: Option<Statuses>,
        in_flight: InFlight,
    ) -> Result<Included, TransactionError> {
        let outcome = self.outcome(client, statuses).await;
        let is_lost = |error: &TransactionError| match error {
            TransactionError::Refused { stage, .. } => *stage == TransactionStage::Pool,
            error => matches!(error, TransactionError::Expired { .. }),
        };
        if outcome.as_ref().err().is_some_and(is_lost) {
            in_flight.lost();
        }
        outcome
    }

    async fn outcome(
        self,
        client: &Client,
        mut statuses: Option<Statuses>,
    ) -> Result<Included, TransactionError> {
        let mut search = Search::default();
        loop {
            if let Some(statuses) = statuses.take() {
                match self.watch(client, statuses).await {
                    Watched::Finalized(block) => return self.included(client, block).await,
                    Watched::Lost(reason) => {
                        warn!(target: "chain", hash = %self.hash, reason, "searching the blocks for the transaction");
                    }
                }
            }
            match search.step(&self, client).await? {
                Step::Found(block) => return self.included(client, block).await,
                Step::Sent(again) => statuses = Some(again),
                Step::NotYet => {}
            }
        }
    }

    async fn watch(&self, client: &Client, mut statuses: Statuses) -> Watched {
        let mut in_block = false;
        loop {
            let status = match timeout(client.options().stall_after(), statuses.next()).await {
                Ok(Some(Ok(status))) => status,
                Ok(Some(Err(_)) | None) => return Watched::Lost("the connection broke"),
                // The node tells nothing more until the block is final.
                Err(_) if in_block && self.waits_for_finality(client).await => continue,
                Err(_) => return Watched::Lost("the node sends no updates"),
            };
            client.connection().answers.note();
            match status {
                TransactionStatus::Finalized(block) => return Watched::Finalized(BlockHash(block.0)),
                TransactionStatus::InBlock(_) => in_block = true,
                TransactionStatus::Retracted(_) => {
                    in_block = false;
                    debug!(target: "chain", hash = %self.hash, "the block with the transaction was dropped");
                }
                TransactionStatus::Dropped => return Watched::Lost("the pool dropped it"),
                TransactionStatus::Invalid => return Watched::Lost("the pool finds it invalid now"),
                TransactionStatus::Usurped(_) => return Watched::Lost("another transaction took its nonce"),
                TransactionStatus::FinalityTimeout(_) => return Watched::Lost("finality lags"),
                _ => {}
            }
        }
    }

    /// Checks whether the transaction still counts as sent on the best branch, in a block that is not final
    /// yet. A dropped block gives its nonce back.
    async fn waits_for_finality(&self, client: &Client) -> bool {
        let account = &AccountId32(self.account);
        match tokio::try_join!(client.next_index(account), client.finalized_header()) {
            Ok((next_index, (height, _))) => next_index > self.nonce && height < self.last,
            Err(_) => false,
        }
    }

    fn unfollowed(&self, source: BlocksError) -> TransactionError {
        TransactionError::Unfollowed { hash: self.hash, last: self.last, source: Box::new(source) }
    }

    /// Reads the place of the transaction in the block, and its outcome.
    async fn included(&self, client: &Client, block: BlockHash) -> Result<Included, TransactionError> {
        let unread = |source| TransactionError::Unread { hash: self.hash, block, source: Box::new(source) };
        let body = until_answered(|| outcome::body(client, block)).await.map_err(unread)?;
        let Some(index) = body.position(&self.bytes) else {
            let reason = "the block lacks the transaction that the node reported in it".to_string();
            let method = "chain_getBlock";
            return Err(unread(RequestError::Unintelligible { method, reason }.into()));
        };
        let (height, parent) = (body.height, body.parent);
        let outcome = until_answered(|| outcome::outcome(client, block, index)).await;
        match outcome.map_err(unread)? {
            Ok(events) => Ok(Included { hash: self.hash, height, block, parent, index, events }),
            Err(refusal) => Err(TransactionError::Refused {
                refusal,
                stage: TransactionStage::Block { height, hash: block },
            }),
        }
    }
}

/// Reads until there is an answer or an error that is not retryable. The transaction has been sent, so its
/// outcome matters more than time. [`Client::submit`] bounds the time.
async fn until_answered<T, F>(read: impl Fn() -> F) -> Result<T, ReadError>
where
    F: Future<Output = Result<T, ReadError>>,
{
    loop {
        match read().await {
            Err(error) if error.is_retryable() => {
                warn!(target: "chain", error = %base::ErrorChain(&error), "reading again")
            }
            answer => return answer,
        }
    }
}
