use super::*;

fn account(name: u8) -> AccountId32 {
    AccountId32::new([name; 32])
}

/// Creates transaction `nonce` of account `name` with 100 bytes. Its hash holds name, nonce and
/// priority.
fn transaction(name: u8, nonce: u32, priority: u64) -> Transaction {
    let mut hash = Hash::repeat_byte(name);
    hash.0[1] = nonce as u8;
    hash.0[2] = priority as u8;
    Transaction {
        hash,
        bytes: vec![name; 100],
        account: account(name),
        nonce,
        priority,
        valid_until: u32::MAX,
    }
}

fn hash(name: u8, nonce: u32, priority: u64) -> Hash {
    transaction(name, nonce, priority).hash
}

fn pool_of(transactions: &[Transaction]) -> Pool {
    let mut pool = Pool::new(Limits::default());
    for transaction in transactions {
        pool.insert(transaction.clone(), 0).unwrap();
    }
    pool
}

fn ready_nonces(pool: &Pool) -> Vec<(u8, u32)> {
    let name = |account: &AccountId32| <[u8; 32]>::from(account.clone())[0];
    pool.ready().iter().map(|transaction| (name(&transaction.account), transaction.nonce)).collect()
}

const BLOCK: Hash = Hash::repeat_byte(0xbb);

#[test]
fn nonces_are_ordered_whatever_the_arrival() {
    let orders: [&[u32]; 4] = [&[0, 1, 2], &[2, 1, 0], &[1, 0, 2], &[2, 0, 1]];
    for order in orders {
        let pool = pool_of(&order.iter().map(|nonce| transaction(1, *nonce, 0)).collect::<Vec<_>>());
        assert_eq!(ready_nonces(&pool), [(1, 0), (1, 1), (1, 2)], "arrived as {order:?}");
    }
}

#[test]
fn a_gap_makes_a_future_transaction_until_it_is_filled() {
    let mut pool = Pool::new(Limits::default());
    assert_eq!(pool.insert(transaction(1, 1, 0), 0), Ok(vec![(hash(1, 1, 0), Status::Future)]));
    assert_eq!(ready_nonces(&pool), []);
    assert_eq!(pool.next_nonce(&account(1), 0), 0);

    let changes = pool.insert(transaction(1, 0, 0), 0).unwrap();
    assert_eq!(changes, [(hash(1, 0, 0), Status::Ready), (hash(1, 1, 0), Status::Ready)]);
    assert_eq!(pool.next_nonce(&account(1), 0), 2);
}

#[test]
fn accounts_go_by_priority_then_by_arrival() {
    let pool = pool_of(&[
        transaction(1, 0, 5),
        transaction(2, 0, 9),
        transaction(3, 0, 5),
        transaction(2, 1, 1),
        transaction(1, 1, 50),
    ]);
    // The second transaction of account 1 has the highest priority of all, but must wait for the first.
    assert_eq!(ready_nonces(&pool), [(2, 0), (1, 0), (1, 1), (3, 0), (2, 1)]);
}

#[test]
fn the_same_transaction_is_known() {
    let pool = pool_of(&[transaction(1, 0, 0)]);
    assert_eq!(pool.check_unknown(&hash(1, 0, 0), 9), Err(Refusal::AlreadyImported(hash(1, 0, 0))));
    assert_eq!(pool.check_unknown(&hash(1, 1, 0), 9), Ok(()));
}

#[test]
fn only_a_higher_priority_replaces() {
    let mut pool = pool_of(&[transaction(1, 0, 5)]);
    for priority in [4, 5] {
        let refusal = Refusal::TooLowPriority { old: 5, new: priority };
        assert_eq!(pool.insert(transaction(1, 0, priority), 0), Err(refusal));
    }
    let changes = pool.insert(transaction(1, 0, 6), 0).unwrap();
    assert_eq!(changes, [(hash(1, 0, 5), Status::Usurped(hash(1, 0, 6))), (hash(1, 0, 6), Status::Ready)]);
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_sealed_block_takes_out_what_it_included() {
    let mut pool = pool_of(&[transaction(1, 0, 0), transaction(1, 1, 0), transaction(2, 0, 0)]);
    let included = [hash(1, 0, 0), hash(2, 0, 0)];
    let changes = pool.settle(1, BLOCK, &included, |_| 1);
    assert_eq!(changes, included.map(|hash| (hash, Status::Included(BLOCK))));
    assert_eq!(ready_nonces(&pool), [(1, 1)]);
    assert_eq!(pool.check_unknown(&hash(1, 0, 0), 2), Err(Refusal::Banned));
    let end_of_ban = 1 + Limits::default().ban_blocks;
    assert_eq!(pool.check_unknown(&hash(1, 0, 0), end_of_ban), Err(Refusal::Banned));
    assert_eq!(pool.check_unknown(&hash(1, 0, 0), end_of_ban + 1), Ok(()));
}

#[test]
fn a_used_nonce_makes_a_transaction_invalid() {
    let mut pool = pool_of(&[transaction(1, 0, 0), transaction(1, 2, 0)]);
    let changes = pool.settle(1, BLOCK, &[], |_| 2);
    assert_eq!(changes, [(hash(1, 0, 0), Status::Invalid), (hash(1, 2, 0), Status::Ready)]);
}

#[test]
fn mortal_transactions_expire() {
    let mortal = Transaction { valid_until: 8, ..transaction(1, 0, 0) };
    let mut pool = pool_of(&[mortal, transaction(1, 1, 0)]);
    assert_eq!(pool.settle(7, BLOCK, &[], |_| 0), []);
    let changes = pool.settle(8, BLOCK, &[], |_| 0);
    assert_eq!(changes, [(hash(1, 0, 0), Status::Invalid), (hash(1, 1, 0), Status::Future)]);
}

#[test]
fn a_rejected_transaction_makes_those_after_it_future() {
    let mut pool = pool_of(&[transaction(1, 0, 0), transaction(1, 1, 0)]);
    let changes = pool.reject(&hash(1, 0, 0), 3);
    assert_eq!(changes, [(hash(1, 0, 0), Status::Invalid), (hash(1, 1, 0), Status::Future)]);
    assert_eq!(pool.check_unknown(&hash(1, 0, 0), 3), Err(Refusal::Banned));
    assert_eq!(pool.reject(&hash(9, 9, 9), 3), []);
}

#[test]
fn a_removed_transaction_is_dropped_and_may_come_back() {
    let mut pool = pool_of(&[transaction(1, 0, 0)]);
    assert_eq!(pool.remove(&hash(1, 0, 0)), [(hash(1, 0, 0), Status::Dropped)]);
    assert_eq!(pool.check_unknown(&hash(1, 0, 0), 0), Ok(()));
    assert_eq!(pool.len(), 0);
}

#[test]
fn a_full_pool_drops_the_lowest_priority_or_refuses() {
    let by_count = Limits { count: 2, ..Limits::default() };
    let by_bytes = Limits { bytes: 250, ..Limits::default() };
    for limits in [by_count, by_bytes] {
        let mut pool = Pool::new(limits);
        pool.insert(transaction(1, 0, 5), 0).unwrap();
        pool.insert(transaction(2, 0, 3), 0).unwrap();
        assert_eq!(pool.insert(transaction(3, 0, 3), 0), Err(Refusal::ImmediatelyDropped));
        let changes = pool.insert(transaction(3, 0, 4), 0).unwrap();
        assert_eq!(changes, [(hash(2, 0, 3), Status::Dropped), (hash(3, 0, 4), Status::Ready)]);
        assert_eq!(pool.len(), 2);
    }
}

#[test]
fn a_full_pool_drops_an_accounts_last_nonce_only() {
    let mut pool = Pool::new(Limits { count: 2, ..Limits::default() });
    pool.insert(transaction(1, 0, 1), 0).unwrap();
    pool.insert(transaction(1, 1, 2), 0).unwrap();
    let changes = pool.insert(transaction(2, 0, 9), 0).unwrap();
    assert_eq!(changes, [(hash(1, 1, 2), Status::Dropped), (hash(2, 0, 9), Status::Ready)]);
    assert_eq!(ready_nonces(&pool), [(2, 0), (1, 0)]);
}

#[test]
fn one_account_has_a_limit_of_its_own() {
    let mut pool = Pool::new(Limits { per_account: 2, ..Limits::default() });
    assert_eq!(pool.insert(transaction(1, 2, 9), 0), Err(Refusal::ImmediatelyDropped), "too far ahead");
    pool.insert(transaction(1, 0, 0), 0).unwrap();
    pool.insert(transaction(1, 1, 0), 0).unwrap();
    assert_eq!(pool.insert(transaction(1, 2, 9), 1), Err(Refusal::ImmediatelyDropped), "too many");
    assert!(pool.insert(transaction(2, 0, 0), 0).is_ok(), "another account");
}

#[test]
fn the_list_of_bans_is_bounded() {
    let mut pool = Pool::new(Limits { banned: 1, ..Limits::default() });
    pool.settle(1, BLOCK, &[hash(1, 0, 0), hash(2, 0, 0)], |_| 0);
    assert_eq!(pool.check_unknown(&hash(1, 0, 0), 1), Err(Refusal::Banned));
    assert_eq!(pool.check_unknown(&hash(2, 0, 0), 1), Ok(()));
}
