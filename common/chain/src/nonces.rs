//! Nonces: they give the transactions of one account an order, and each nonce takes effect once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::OwnedMutexGuard;

/// The nonces of the accounts that this client signs for.
#[derive(Default)]
pub(crate) struct Nonces {
    accounts: Mutex<HashMap<[u8; 32], Arc<Account>>>,
}

#[derive(Default)]
struct Account {
    /// The nonce after that of the last transaction that may have reached a node.
    next: Arc<tokio::sync::Mutex<u64>>,
    /// Number of sent transactions whose outcome is not known yet.
    in_flight: Arc<AtomicUsize>,
    /// The nonces of sent transactions that are in no block and in no pool. A later nonce must wait until
    /// they are used.
    free: Free,
}

type Free = Arc<Mutex<BTreeSet<u64>>>;

/// The right to send the account's next transaction. Other transactions of the account wait meanwhile.
pub(crate) struct Turn {
    next: OwnedMutexGuard<u64>,
    in_flight: Arc<AtomicUsize>,
    free: Free,
}

/// A transaction that was sent. Drop this when its outcome is known.
pub(crate) struct InFlight {
    nonce: u64,
    count: Arc<AtomicUsize>,
    free: Free,
}

impl Nonces {
    /// Waits until no other transaction of this account is being sent.
    pub(crate) async fn turn(&self, account: [u8; 32]) -> Turn {
        let (next, in_flight, free) = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            let account = accounts.entry(account).or_default();
            (account.next.clone(), account.in_flight.clone(), account.free.clone())
        };
        Turn { next: next.lock_owned().await, in_flight, free }
    }
}

impl Turn {
    /// Returns the nonce to sign with. `of_node` is the node's own answer.
    ///
    /// After a change of nodes, the new node may not know yet the transactions that the old one accepted.
    /// Then the client's own count is ahead of the node's. If a transaction was lost, those after it wait for
    /// its nonce, so that nonce goes first.
    pub(crate) fn nonce(&self, of_node: u64) -> u64 {
        let mut free = lock(&self.free);
        free.retain(|nonce| *nonce >= of_node);
        match self.in_flight.load(Ordering::Acquire) {
            0 => of_node,
            _ => free.first().copied().unwrap_or_else(|| of_node.max(*self.next)),
        }
    }

    /// Marks the nonce as spent, since the transaction may have reached a node. The next transaction may go.
    pub(crate) fn sent(mut self, nonce: u64) -> InFlight {
        *self.next = nonce.saturating_add(1).max(*self.next);
        lock(&self.free).remove(&nonce);
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight { nonce, count: self.in_flight.clone(), free: self.free.clone() }
    }
}

impl InFlight {
    /// Notes that the transaction was lost, so that its nonce is free.
    pub(crate) fn lost(self) {
        lock(&self.free).insert(self.nonce);
    }
}

fn lock(free: &Free) -> MutexGuard<'_, BTreeSet<u64>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: [u8; 32] = [1; 32];
    const BOB: [u8; 32] = [2; 32];

    #[tokio::test]
    async fn several_in_flight_count_on() {
        let nonces = Nonces::default();
        let first = nonces.turn(ALICE).await;
        assert_eq!(first.nonce(5), 5);
        let first = first.sent(5);
        let second = nonces.turn(ALICE).await;
        assert_eq!(second.nonce(5), 6, "the node does not know the first one yet");
        assert_eq!(second.nonce(9), 9, "another program signs for the account too");
        drop((first, second));
        assert_eq!(nonces.turn(ALICE).await.nonce(5), 5, "nothing is in flight: the node is right");
    }

    #[tokio::test]
    async fn the_nonce_of_a_lost_transaction_goes_first() {
        let nonces = Nonces::default();
        let first = nonces.turn(ALICE).await.sent(5);
        let second = nonces.turn(ALICE).await.sent(6);
        first.lost();
        let turn = nonces.turn(ALICE).await;
        assert_eq!(turn.nonce(5), 5, "the second one waits for it");
        assert_eq!(turn.nonce(6), 7, "another program has used it");
        let again = nonces.turn(ALICE);
        drop(turn);
        let again = again.await.sent(5);
        assert_eq!(nonces.turn(ALICE).await.nonce(5), 7);
        drop((second, again));
    }

    #[tokio::test]
    async fn a_refused_transaction_leaves_its_nonce() {
        let nonces = Nonces::default();
        drop(nonces.turn(ALICE).await);
        assert_eq!(nonces.turn(ALICE).await.nonce(7), 7);
    }

    #[tokio::test]
    async fn accounts_do_not_wait_for_each_other() {
        let nonces = Nonces::default();
        let _alice = nonces.turn(ALICE).await;
        assert_eq!(nonces.turn(BOB).await.nonce(0), 0);
    }
}
