//! The transaction pool: a pure state machine, ordered by account and nonce.
//!
//! It decides and does no I/O. Its driver asks the runtime for validity first, passes in each account's
//! nonce and the height, and forwards the returned [`Change`]s. A transaction is *ready* if all nonces
//! of its account up to its own are there, otherwise it is *future*. Refusals are those of a Substrate
//! node (see `refusal`).
//!
//! Limits ([`Limits`]): a full pool drops the transaction of lowest priority in favour of one with a
//! higher priority. It always drops the last nonce of an account, so that no gap opens. A new
//! transaction that has itself the lowest priority is refused.

mod limits;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use sp_core::crypto::AccountId32;

pub use self::limits::Limits;
pub use self::refusal::Refusal;
use crate::store::{Extrinsic, Hash};

/// A transaction that the runtime found valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// BLAKE2b-256 of `bytes`.
    pub(crate) hash: Hash,
    /// The signed extrinsic as it goes into a block.
    pub(crate) bytes: Extrinsic,
    /// The signer's account.
    pub(crate) account: AccountId32,
    /// The transaction's position in the account's sequence.
    pub(crate) nonce: u32,
    /// The priority. Among accounts the higher one goes first; with the same nonce the higher one
    /// replaces the lower one.
    pub(crate) priority: u64,
    /// The last height at which it may be included; `u32::MAX` without a mortal era.
    pub(crate) valid_until: u32,
}

/// The status of a transaction, named as in `author_extrinsicUpdate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for an earlier nonce.
    Future,
    /// Can go into the next block.
    Ready,
    /// Included in the best block, which has this hash. The block may still be dropped.
    Included(Hash),
    /// The block with this hash, which included the transaction, was dropped for another branch.
    Retracted(Hash),
    /// The block with this hash, which includes the transaction, is final.
    Finalized(Hash),
    /// The block with this hash, which includes the transaction, was not final for a long time. The node
    /// no longer watches the transaction.
    FinalityTimeout(Hash),
    /// Replaced by a transaction with the same nonce and a higher priority, which has this hash.
    Usurped(Hash),
    /// Dropped because the pool was full, or removed on request.
    Dropped,
    /// Refused by the runtime at block building, or its era is over, or its nonce is used.
    Invalid,
}

/// A transaction's hash and its new status.
pub(crate) type Change = (Hash, Status);

/// The transactions of one account.
struct Queue {
    /// The account's nonce in the newest state.
    next: u32,
    waiting: BTreeMap<u32, Entry>,
}

struct Entry {
    transaction: Transaction,
    arrival: u64,
    ready: bool,
}

/// The pool. See the module docs.
pub(crate) struct Pool {
    limits: Limits,
    queues: BTreeMap<AccountId32, Queue>,
    by_hash: HashMap<Hash, (AccountId32, u32)>,
    banned: HashMap<Hash, u32>,
    bytes: usize,
    arrivals: u64,
}

impl Pool {
    /// Creates an empty pool.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            queues: BTreeMap::new(),
            by_hash: HashMap::new(),
            banned: HashMap::new(),
            bytes: 0,
            arrivals: 0,
        }
    }

    /// Returns the number of transactions, ready and future.
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Returns the number of ready transactions.
    pub(crate) fn ready_len(&self) -> usize {
        self.entries().filter(|entry| entry.ready).count()
    }

    /// Returns the nonce that the account's next transaction should have: the one after its ready
    /// transactions.
    pub(crate) fn next_nonce(&self, account: &AccountId32, state_nonce: u32) -> u32 {
        let ready = self.queues.get(account).map_or(0, |queue| queue.ready().count());
        state_nonce.saturating_add(ready as u32)
    }

    /// Refuses a transaction that is already in the pool, or was there recently. Call this before
    /// asking the runtime.
    pub(crate) fn check_unknown(&self, hash: &Hash, height: u32) -> Result<(), Refusal> {
        if self.banned.get(hash).is_some_and(|until| height <= *until) {
            return Err(Refusal::Banned);
        }
        if self.by_hash.contains_key(hash) {
            return Err(Refusal::AlreadyImported(*hash));
        }
        Ok(())
    }

    /// Adds a transaction. `state_nonce` is its account's nonce in the newest state; it is at most the
    /// transaction's nonce.
    pub(crate) fn insert(
        &mut self,
        transaction: Transaction,
        state_nonce: u32,
    ) -> Result<Vec<Change>, Refusal> {
        let mut changes = Vec::new();
        if let Some(old) = self.replaceable(&transaction)? {
            self.take(&old);
            changes.push((old, Status::Usurped(transaction.hash)));
        } else {
            self.make_room(&transaction, state_nonce, &mut changes)?;
        }
        let (hash, account) = (transaction.hash, transaction.account.clone());
        self.put(transaction, state_nonce);
        let first_seen = changes.len();
        self.refresh(&account, &mut changes);
        if !changes[first_seen..].iter().any(|(changed, _)| *changed == hash) {
            changes.push((hash, Status::Future));
        }
        Ok(changes)
    }

    /// Returns the ready transactions in the order in which a block should try them. Accounts go by
    /// priority, then by arrival; the transactions of an account go by nonce.
    pub(crate) fn ready(&self) -> Vec<Transaction> {
        let mut heads: std::collections::BinaryHeap<Head<'_>> =
            self.queues.values().filter_map(|queue| Head::of(queue.ready())).collect();
        let mut ordered = Vec::new();
        while let Some(Head { entry, rest }) = heads.pop() {
            ordered.push(entry.transaction.clone());
            heads.extend(Head::of(rest));
        }
        ordered
    }

    /// Updates the pool after a block at `height` was sealed with the transactions `included`.
    /// `nonce_of` reads nonces from its state.
    ///
    /// Removes included, outdated and expired transactions, and promotes those that became ready.
    pub(crate) fn settle(
        &mut self,
        height: u32,
        block: Hash,
        included: &[Hash],
        mut nonce_of: impl FnMut(&AccountId32) -> u32,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        self.banned.retain(|_, until| *until >= height);
        for hash in included {
            self.ban(*hash, height);
            if self.take(hash).is_some() {
                changes.push((*hash, Status::Included(block)));
            }
        }
        for account in self.queues.keys().cloned().collect::<Vec<_>>() {
            let next = nonce_of(&account);
            self.drop_late(&account, next, height, &mut changes);
            self.refresh(&account, &mut changes);
        }
        self.queues.retain(|_, queue| !queue.waiting.is_empty());
        changes
    }

    /// Removes a transaction that the runtime refused while a block was built at `height`.
    pub(crate) fn reject(&mut self, hash: &Hash, height: u32) -> Vec<Change> {
        self.ban(*hash, height);
        self.remove_as(hash, Status::Invalid)
    }

    /// Lets a transaction come back that was in a block. The block has been dropped.
    pub(crate) fn unban(&mut self, hash: &Hash) {
        self.banned.remove(hash);
    }

    /// Removes a transaction on request.
    pub(crate) fn remove(&mut self, hash: &Hash) -> Vec<Change> {
        self.remove_as(hash, Status::Dropped)
    }

    fn remove_as(&mut self, hash: &Hash, status: Status) -> Vec<Change> {
        let Some(transaction) = self.take(hash) else { return Vec::new() };
        let mut changes = vec![(*hash, status)];
        self.refresh(&transaction.account, &mut changes);
        changes
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.queues.values().flat_map(|queue| queue.waiting.values())
    }

    /// Returns the hash of the transaction that `new` replaces, if its nonce is taken.
    fn replaceable(&self, new: &Transaction) -> Result<Option<Hash>, Refusal> {
        let Some(queue) = self.queues.get(&new.account) else { return Ok(None) };
        let Some(Entry { transaction: old, .. }) = queue.waiting.get(&new.nonce) else { return Ok(None) };
        if new.priority <= old.priority {
            return Err(Refusal::TooLowPriority { old: old.priority, new: new.priority });
        }
        Ok(Some(old.hash))
    }

    fn make_room(&mut self, new: &Transaction, next: u32, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let waiting = self.queues.get(&new.account).map_or(0, |queue| queue.waiting.len());
        let ahead = new.nonce.saturating_sub(next) as usize;
        if waiting >= self.limits.per_account || ahead >= self.limits.per_account {
            return Err(Refusal::ImmediatelyDropped);
        }
        while !self.limits.admit(self.len() + 1, self.bytes + new.bytes.len()) {
            let victim =
                self.cheapest_other_than(&new.account).filter(|victim| victim.priority < new.priority);
            let victim = victim.map(|victim| victim.hash).ok_or(Refusal::ImmediatelyDropped)?;
            changes.extend(self.remove_as(&victim, Status::Dropped));
        }
        Ok(())
    }

    /// Returns the transaction to drop: the one of lowest priority among the last ones of all other
    /// accounts. On a tie, the latest arrival.
    fn cheapest_other_than(&self, account: &AccountId32) -> Option<&Transaction> {
        let others = self.queues.iter().filter(|(owner, _)| *owner != account);
        let last = others.filter_map(|(_, queue)| queue.waiting.values().next_back());
        let cheapest = last.min_by_key(|entry| (entry.transaction.priority, u64::MAX - entry.arrival));
        cheapest.map(|entry| &entry.transaction)
    }

    fn put(&mut self, transaction: Transaction, next: u32) {
        let Transaction { hash, nonce, .. } = transaction;
        self.bytes += transaction.bytes.len();
        self.by_hash.insert(hash, (transaction.account.clone(), nonce));
        let new_queue = || Queue { next, waiting: BTreeMap::new() };
        let queue = self.queues.entry(transaction.account.clone()).or_insert_with(new_queue);
        queue.next = next;
        queue.waiting.insert(nonce, Entry { transaction, arrival: self.arrivals, ready: false });
        self.arrivals += 1;
    }

    fn take(&mut self, hash: &Hash) -> Option<Transaction> {
        let (account, nonce) = self.by_hash.remove(hash)?;
        let entry = self.queues.get_mut(&account)?.waiting.remove(&nonce)?;
        self.bytes -= entry.transaction.bytes.len();
        Some(entry.transaction)
    }

    /// Removes the account's transactions that can no longer be included: used nonces, expired eras.
    fn drop_late(&mut self, account: &AccountId32, next: u32, height: u32, changes: &mut Vec<Change>) {
        let Some(queue) = self.queues.get_mut(account) else { return };
        queue.next = next;
        let late = |entry: &&Entry| entry.transaction.nonce < next || entry.transaction.valid_until <= height;
        let late: Vec<Hash> =
            queue.waiting.values().filter(late).map(|entry| entry.transaction.hash).collect();
        for hash in late {
            self.ban(hash, height);
            self.take(&hash);
            changes.push((hash, Status::Invalid));
        }
    }

    /// Marks which transactions of the account are ready, and reports each one whose mark changed.
    fn refresh(&mut self, account: &AccountId32, changes: &mut Vec<Change>) {
        let Some(queue) = self.queues.get_mut(account) else { return };
        let mut expected = Some(queue.next);
        for (nonce, entry) in &mut queue.waiting {
            let ready = expected == Some(*nonce);
            expected = expected.filter(|_| ready).and_then(|nonce| nonce.checked_add(1));
            if entry.ready != ready {
                entry.ready = ready;
                let status = if ready { Status::Ready } else { Status::Future };
                changes.push((entry.transaction.hash, status));
            }
        }
    }

    fn ban(&mut self, hash: Hash, height: u32) {
        if self.banned.len() < self.limits.banned {
            self.banned.insert(hash, height.saturating_add(self.limits.ban_blocks));
        }
    }
}

impl Queue {
    fn ready(&self) -> impl Iterator<Item = &Entry> + use<'_> {
        self.waiting.values().take_while(|entry| entry.ready)
    }
}

/// The first ready transaction of an account, ordered by what a block takes first, and the ready ones
/// after it.
struct Head<'a> {
    entry: &'a Entry,
    rest: Box<dyn Iterator<Item = &'a Entry> + 'a>,
}

impl<'a> Head<'a> {
    fn of(mut entries: impl Iterator<Item = &'a Entry> + 'a) -> Option<Self> {
        let entry = entries.next()?;
        Some(Self { entry, rest: Box::new(entries) })
    }

    fn rank(&self) -> (u64, u64) {
        (self.entry.transaction.priority, u64::MAX - self.entry.arrival)
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Head<'_> {}
