//! Tests of weights on a subnet with commit-reveal: from the commit to the weights on chain.

use std::time::Duration;

use base::{Height, Mechanism, Uid};
use chain::{
    Client, Commit, CommitKind, SentWeights, WeightsError, WeightsForm, refusal::Refusal, wallet::KeyPair,
};
use devchain::{Clock, Config, Devchain, Genesis, Pace, StorageWrite};
use parity_scale_codec::{Decode, Encode};
use sp_crypto_hashing::{twox_64, twox_128};

use crate::support::*;

const PALLET: &[u8] = b"SubtensorModule";
/// Blocks between two epochs.
const TEMPO: u16 = 30;
const WEIGHTS: [(Uid, u16); 2] = [(Uid(2), 3), (Uid(3), 1)];
const SCALED: [(u16, u16); 2] = [(2, 65535), (3, 21845)];

/// A chain whose blocks are 12 seconds apart by its own clock, and are sealed on command.
struct Chain {
    devchain: Devchain,
    client: Client,
}

fn key_of(entry: &[u8], suffix: Vec<u8>) -> Vec<u8> {
    [&twox_128(PALLET)[..], &twox_128(entry), &suffix].concat()
}

/// Returns the suffix of a map whose key is hashed with Twox64Concat.
fn twox_concat(netuid: u16) -> Vec<u8> {
    let netuid = netuid.to_le_bytes();
    [&twox_64(&netuid)[..], &netuid].concat()
}

impl Chain {
    /// Starts a chain with commit-reveal and two mechanisms.
    async fn start(change: impl FnOnce(&mut Genesis)) -> Self {
        let mut genesis = Genesis::default();
        genesis.subnet.commit_reveal_weights_enabled = true;
        genesis.subnet.tempo = TEMPO;
        change(&mut genesis);
        let config =
            Config { block_time_ms: 12_000, clock: Clock::Logical, pace: Pace::Outside, ..config(genesis) };
        let devchain = Devchain::start(config).await.unwrap();
        let options = chain::Options {
            block_time: Duration::from_secs(12),
            stall_blocks: 20,
            ..options(&devchain.url())
        };
        let client = Client::connect(options).await.unwrap();
        let chain = Self { devchain, client };
        chain.write(b"MechanismCountCurrent", twox_concat(SUBNET.0), 2u8.encode()).await;
        chain.seal(1).await;
        chain
    }

    async fn write(&self, entry: &[u8], suffix: Vec<u8>, value: Vec<u8>) {
        let write = StorageWrite { key: key_of(entry, suffix), value: Some(value) };
        self.devchain.handle().set_storage(vec![write]).await.unwrap();
    }

    /// Makes the chain take hashes only: it asks for a version of timelocked commits that is not known.
    async fn without_timelock(&self) {
        self.write(b"CommitRevealWeightsVersion", Vec::new(), 5u16.encode()).await;
        self.seal(1).await;
    }

    async fn seal(&self, blocks: u32) {
        self.devchain.handle().new_block(blocks).await.unwrap();
    }

    /// Seals blocks up to this one.
    async fn seal_up_to(&self, height: Height) {
        let head = self.client.finalized().await.unwrap().height;
        self.seal(u32::try_from(height.0 - head.0).unwrap()).await;
    }

    /// Runs work, and seals a block whenever a transaction waits.
    async fn sealing<T>(&self, work: impl Future<Output = T>) -> T {
        let handle = self.devchain.handle();
        let mut work = Box::pin(work);
        in_time(async move {
            loop {
                tokio::select! {
                    done = &mut work => return done,
                    () = seal_when_ready(&handle, 1) => {}
                }
            }
        })
        .await
    }

    async fn commit(&self, mechanism: Mechanism, hotkey: &KeyPair) -> Result<SentWeights, WeightsError> {
        let place = (SUBNET, mechanism);
        self.sealing(async {
            let prepared = self.client.prepare_weights(place, &WEIGHTS, 0, hotkey).await?;
            self.client.send_weights(prepared, hotkey).await
        })
        .await
    }

    async fn reveal(
        &self,
        mechanism: Mechanism,
        commit: &Commit,
        hotkey: &KeyPair,
    ) -> Result<bool, WeightsError> {
        let reveal = self.client.reveal_weights((SUBNET, mechanism), commit, hotkey);
        Ok(self.sealing(reveal).await?.is_some())
    }

    /// Returns the weights of a uid on a mechanism, as the chain stores them.
    async fn weights(&self, mechanism: u8, uid: u16) -> Vec<(u16, u16)> {
        let index = SUBNET.0 + 4096 * u16::from(mechanism);
        let suffix = [index.to_le_bytes(), uid.to_le_bytes()].concat();
        let bytes = self.devchain.handle().storage(key_of(b"Weights", suffix)).await.unwrap();
        bytes.map_or(Vec::new(), |bytes| Decode::decode(&mut &bytes[..]).unwrap())
    }

    async fn pending(&self, mechanism: Mechanism, hotkey: &KeyPair) -> Vec<chain::PendingCommit> {
        let head = self.client.finalized_hash().await.unwrap();
        self.client.at(head).of(mechanism).pending_commits(SUBNET, &hotkey.hotkey()).await.unwrap()
    }
}

#[tokio::test]
async fn the_chain_reveals_what_is_committed_encrypted() {
    let chain = Chain::start(|_| ()).await;
    let alice = validator("Alice");
    for mechanism in [Mechanism::MAIN, Mechanism(1)] {
        let standing = chain.client.weights_standing(SUBNET, mechanism, &alice.hotkey()).await.unwrap();
        assert!(matches!(standing.form, WeightsForm::Timelocked(_)), "{standing:?}");
        let sent = chain.commit(mechanism, &alice).await.unwrap();
        let commit = sent.commit.unwrap();
        let pending = chain.pending(mechanism, &alice).await;
        assert_eq!(pending.len(), 1);
        let found = (pending[0].hash, pending[0].epoch, pending[0].block);
        assert_eq!(found, (commit.hash, commit.epoch, sent.included.height));
        assert_eq!(commit.kind, CommitKind::Timelocked { round: pending[0].round.unwrap() });
        let next = chain.client.at(sent.included.block).epochs(SUBNET).await.unwrap().next().unwrap();
        assert_eq!(commit.reveal, Height(next.0 + 3));
        assert_eq!(chain.reveal(mechanism, &commit, &alice).await, Ok(false), "the chain does it");
        // In the first block of the next epoch the round is not signed yet.
        chain.seal_up_to(next).await;
        assert_eq!(chain.weights(mechanism.0, 1).await, []);
        // The chain knows a round one block after the time at which it is signed.
        chain.seal_up_to(commit.reveal.next()).await;
        assert_eq!(chain.weights(mechanism.0, 1).await, SCALED);
        assert_eq!(chain.pending(mechanism, &alice).await, []);
        let head = chain.client.finalized_hash().await.unwrap();
        let at = chain.client.at(head);
        let row = SCALED.map(|(uid, weight)| (Uid(uid), weight)).to_vec();
        assert_eq!(at.of(mechanism).weights(SUBNET, &[Uid(1)]).await, Ok(vec![row]));
        if mechanism == Mechanism::MAIN {
            assert_eq!(at.of(Mechanism(1)).weights(SUBNET, &[Uid(1)]).await, Ok(vec![vec![]]));
        }
    }
}

#[tokio::test]
async fn a_validator_reveals_its_hashes_in_their_epoch() {
    let chain = Chain::start(|_| ()).await;
    chain.without_timelock().await;
    let alice = validator("Alice");
    for mechanism in [Mechanism::MAIN, Mechanism(1)] {
        let sent = chain.commit(mechanism, &alice).await.unwrap();
        let commit = sent.commit.unwrap();
        assert!(matches!(commit.kind, CommitKind::Hash { .. }), "{commit:?}");
        let pending = chain.pending(mechanism, &alice).await;
        assert_eq!((pending[0].hash, pending[0].epoch, pending[0].round), (commit.hash, commit.epoch, None));
        let early = chain.reveal(mechanism, &commit, &alice).await;
        assert_eq!(early, Err(WeightsError::RevealTooEarly { reveal: commit.reveal }));
        // A transaction in the first block of the epoch can reveal already.
        chain.seal_up_to(Height(commit.reveal.0 - 1)).await;
        // What was written to the journal before a restart is as good.
        let stored: Commit = serde_json::from_str(&serde_json::to_string(&commit).unwrap()).unwrap();
        assert_eq!(chain.reveal(mechanism, &stored, &alice).await, Ok(true));
        assert_eq!(chain.weights(mechanism.0, 1).await, SCALED);
        assert_eq!(chain.pending(mechanism, &alice).await, []);
    }
    let lost = chain.commit(Mechanism::MAIN, &alice).await.unwrap().commit.unwrap();
    chain.seal_up_to(Height(lost.reveal.0 + u64::from(TEMPO))).await;
    let late = chain.reveal(Mechanism::MAIN, &lost, &alice).await;
    assert_eq!(late, Err(WeightsError::RevealTooLate { epoch: lost.epoch + 1 }));
    assert!(!late.unwrap_err().is_retryable());
}

/// Checks that the loss of a commit is known at once: no block comes until the validator goes on, and
/// transactions that were sent after it wait for its nonce.
#[tokio::test]
async fn a_commit_whose_round_is_over_frees_its_nonce() {
    let chain = Chain::start(|_| ()).await;
    let alice = validator("Alice");
    let place = (SUBNET, Mechanism::MAIN);
    let prepared = chain.client.prepare_weights(place, &WEIGHTS, 0, &alice).await.unwrap();
    let CommitKind::Timelocked { round } = prepared.commit().unwrap().kind else { panic!("{prepared:?}") };
    let key = [&twox_128(b"Drand")[..], &twox_128(b"LastStoredRound")].concat();
    let write = StorageWrite { key, value: Some((round + 1).encode()) };
    chain.devchain.handle().set_storage(vec![write]).await.unwrap();
    let lost = chain.sealing(chain.client.send_weights(prepared, &alice)).await.unwrap_err();
    assert!(lost.is_retryable(), "{lost:?}");
    let head = chain.client.finalized().await.unwrap().height;
    chain.without_timelock().await;
    let again = chain.commit(Mechanism::MAIN, &alice).await.unwrap();
    assert_eq!(again.included.height, Height(head.0 + 2));
}

#[tokio::test]
async fn a_longer_reveal_period_and_an_epoch_on_request_move_the_reveal() {
    let chain = Chain::start(|genesis| genesis.subnet.reveal_period_epochs = 2).await;
    let asked = chain.client.finalized().await.unwrap().height.0 + 8;
    chain.write(b"PendingEpochAt", SUBNET.0.to_le_bytes().into(), asked.encode()).await;
    chain.seal(1).await;
    let alice = validator("Alice");
    let commit = chain.commit(Mechanism::MAIN, &alice).await.unwrap().commit.unwrap();
    assert_eq!(commit.reveal, Height(asked + u64::from(TEMPO) + 3));
    chain.seal_up_to(Height(commit.reveal.0 - 3)).await;
    assert_eq!(chain.weights(0, 1).await, []);
    chain.seal_up_to(commit.reveal.next()).await;
    assert_eq!(chain.weights(0, 1).await, SCALED);
}

#[tokio::test]
async fn the_form_follows_the_flag_at_that_block() {
    let chain = Chain::start(|genesis| genesis.subnet.commit_reveal_weights_enabled = false).await;
    let alice = validator("Alice");
    assert_eq!(chain.commit(Mechanism::MAIN, &alice).await.unwrap().commit, None);
    assert_eq!(chain.commit(Mechanism(1), &alice).await.unwrap().commit, None);
    assert_eq!((chain.weights(0, 1).await, chain.weights(1, 1).await), (SCALED.into(), SCALED.into()));
    chain.write(b"CommitRevealWeightsEnabled", SUBNET.0.to_le_bytes().into(), vec![1]).await;
    chain.seal(1).await;
    assert!(chain.commit(Mechanism::MAIN, &alice).await.unwrap().commit.is_some());
}

#[tokio::test]
async fn nothing_is_committed_at_the_end_of_an_epoch_or_without_a_permit() {
    let chain = Chain::start(|genesis| genesis.neurons[3].permit = false).await;
    let (alice, charlie) = (validator("Alice"), validator("Charlie"));
    let denied = chain.commit(Mechanism::MAIN, &charlie).await;
    assert_eq!(denied, Err(WeightsError::Foreseen(Refusal::NoValidatorPermit)));
    let head = chain.client.finalized_hash().await.unwrap();
    let next = chain.client.at(head).epochs(SUBNET).await.unwrap().next().unwrap();
    chain.seal_up_to(Height(next.0 - 2)).await;
    assert_eq!(chain.commit(Mechanism::MAIN, &alice).await, Err(WeightsError::EpochEnds { next }));
    chain.seal_up_to(next).await;
    let commit = chain.commit(Mechanism::MAIN, &alice).await.unwrap().commit.unwrap();
    assert_eq!(commit.reveal, Height(next.0 + u64::from(TEMPO) + 3));
}
