//! Searches the blocks for a transaction, when the node that accepted it sends no more updates.

use base::{BlockHash, Height};
use subxt::utils::AccountId32;
use tokio::time::timeout;
use tracing::debug;

use super::{SendError, Signed, Statuses, TransactionError, until_answered};
use crate::{
    Block, Blocks, Client, TransactionStage,
    blocks::BlocksError,
    error::{ReadError, RequestError, is_about_the_request},
    outcome,
    refusal::Refusal,
};

/// Finalized blocks between two attempts to send bytes again that may be in a block already. If that block
/// is dropped and the pool has lost the transaction, only the next attempt brings it back.
const AGAIN: u64 = 4;
/// Finalized blocks that are still searched after a node has refused the transaction's bytes the second time.
const GRACE: u64 = 8;

/// A search for a transaction in the finalized blocks since it was signed.
#[derive(Default)]
pub(super) struct Search {
    /// The blocks since the transaction was signed, once they are needed.
    blocks: Option<Blocks>,
    /// The next height at the time when the bytes were last sent again. Once per block is enough.
    sent_again: Option<Height>,
    /// The refusal of the bytes that were sent again, and the next height at that time.
    refused: Option<(Refusal, Height)>,
    /// Whether neither the best block nor the pool of the node that refused has used the nonce.
    is_unused: bool,
}

/// The result of one step of the search.
pub(super) enum Step {
    Found(BlockHash),
    Sent(Statuses),
    NotYet,
}

impl Search {
    /// Searches the blocks that are final by now. If the transaction is not there, sends the same bytes
    /// again, or waits for one more block if they were sent already.
    pub(super) async fn step(&mut self, signed: &Signed, client: &Client) -> Result<Step, TransactionError> {
        let head = match client.finalized_header().await {
            Ok((height, _)) => height,
            // After a change of nodes, the new node may not know the block that the old one named.
            Err(ReadError::UnknownBlock(_)) => return Ok(Step::NotYet),
            Err(error) if error.is_retryable() => return Ok(Step::NotYet),
            Err(source) => {
                let source = BlocksError::Read { height: self.next_height(signed), source };
                return Err(signed.unfollowed(source));
            }
        };
        while self.next_height(signed) <= head {
            if let Some(found) = self.look(signed, client).await? {
                return Ok(Step::Found(found));
            }
        }
        let next = self.next_height(signed);
        if self.may_send_again(next) {
            self.sent_again = Some(next);
            return Ok(self.send_again(signed, client).await.map_or(Step::NotYet, Step::Sent));
        }
        Ok(self.look(signed, client).await?.map_or(Step::NotYet, Step::Found))
    }

    /// Checks whether the bytes may be sent once more. `next` is the next height to search.
    fn may_send_again(&self, next: Height) -> bool {
        match (&self.refused, self.sent_again) {
            (Some((refusal, _)), _) if !may_be_in_a_block(refusal) => false,
            (_, None) => true,
            (None, Some(last)) => last != next,
            (Some(_), Some(last)) => next.0 >= last.0.saturating_add(AGAIN),
        }
    }

    async fn send_again(&mut self, signed: &Signed, client: &Client) -> Option<Statuses> {
        let session = client.connection().session().await.ok()?;
        match signed.send(client, &session).await {
            Ok(statuses) => {
                self.refused = None;
                Some(statuses)
            }
            Err(SendError::Refused(refusal)) => {
                // A pool bans bytes that it has found invalid, and those that are in a block.
                self.is_unused = refusal == Refusal::Banned && is_unused(signed, client).await;
                debug!(target: "chain", hash = %signed.hash, %refusal, "sent again");
                self.refused = Some((refusal, self.next_height(signed)));
                None
            }
            Err(SendError::Request(RequestError::Refused { code, message, .. }))
                if is_about_the_request(code) =>
            {
                self.refused = Some((Refusal::OtherPool { code, message }, self.next_height(signed)));
                None
            }
            // The request failed again: a later step may send once more.
            Err(SendError::Request(_)) => None,
        }
    }

    /// Waits for the next finalized block, and searches it. If none comes in time, the bytes may be sent
    /// again.
    async fn look(
        &mut self,
        signed: &Signed,
        client: &Client,
    ) -> Result<Option<BlockHash>, TransactionError> {
        let height = self.next_height(signed);
        if height > signed.last {
            return Err(TransactionError::Expired { hash: signed.hash, last: signed.last });
        }
        if let Some((refusal, since)) = &self.refused
            && (self.is_lost(refusal)
                || !may_be_in_a_block(refusal) && height.0 >= since.0.saturating_add(GRACE))
        {
            return Err(TransactionError::Refused {
                refusal: refusal.clone(),
                stage: TransactionStage::Pool,
            });
        }
        let blocks = self.blocks.get_or_insert_with(|| client.blocks_from(signed.first));
        let Ok(next) = timeout(client.options().stall_after(), blocks.next()).await else {
            // Finality stalls. Blocks may be dropped meanwhile, and the transaction with them.
            self.sent_again = None;
            return Ok(None);
        };
        let Block { hash, .. } = next.map_err(|source| signed.unfollowed(source))?;
        let body = until_answered(|| outcome::body(client, hash)).await;
        let body = body.map_err(|source| signed.unfollowed(BlocksError::Read { height, source }))?;
        Ok(body.position(&signed.bytes).map(|_| hash))
    }

    /// Returns whether the same call may be signed anew at once. It gets the same nonce then, so at most one
    /// of the two is valid in any chain.
    fn is_lost(&self, refusal: &Refusal) -> bool {
        // Rounds of the beacon only grow.
        self.is_unused || matches!(refusal, Refusal::RevealRoundOver)
    }

    /// Returns the height of the next block to search.
    fn next_height(&self, signed: &Signed) -> Height {
        self.blocks.as_ref().map_or(signed.first, Blocks::next_height)
    }
}

/// Returns whether neither the best block nor the ready transactions of the pool have used the nonce.
async fn is_unused(signed: &Signed, client: &Client) -> bool {
    let next = client.next_index(&AccountId32(signed.account)).await;
    next.is_ok_and(|next| next <= signed.nonce)
}

/// Returns whether bytes that were sent before, and are refused for this reason, may be in a pool or in a
/// block that is not final yet. Such bytes are searched for until their era is over: if the call were signed
/// again before, it could take effect twice.
fn may_be_in_a_block(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::AlreadyImported | Refusal::Stale | Refusal::Banned | Refusal::NonceTaken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_in_a_block_is_looked_for_to_the_end() {
        for refusal in [Refusal::AlreadyImported, Refusal::Stale, Refusal::Banned, Refusal::NonceTaken] {
            assert!(may_be_in_a_block(&refusal), "{refusal}");
        }
        for refusal in [Refusal::BadSignature, Refusal::Future] {
            assert!(!may_be_in_a_block(&refusal), "{refusal}");
        }
    }
}
