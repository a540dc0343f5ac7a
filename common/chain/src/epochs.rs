//! The schedule of a subnet's epochs: decides when epochs run, and to which epoch a block belongs.

use base::{Height, Netuid};
use chain_metadata::api;

use crate::{
    ChainSnapshot,
    error::ReadError,
    storage::{Batch, Slot, Values},
    subnet::{epoch_of_fixed_tempo, has_fixed_tempos, next_epoch_of_fixed_tempo},
};

/// The most blocks between two epochs that run to the end. Source: `MAX_TEMPO` of the chain's pallet.
const LONGEST: u64 = 50_400;

/// The state of a subnet's epochs after a block.
///
/// An epoch runs before the transactions of its block. It begins `tempo` blocks after the last one, or in the
/// block for which the subnet's owner, or the chain itself, has asked. Source: `should_run_epoch` and
/// `drain_pending` of the chain's pallet (June 2026).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochSchedule {
    /// The block.
    pub block: Height,
    /// Blocks between two epochs; 0 if the subnet has none.
    pub tempo: u64,
    /// The block of the last epoch (`LastEpochBlock`).
    pub last: Height,
    /// The block for which an epoch is asked (`PendingEpochAt`).
    pub pending: Option<Height>,
    /// The number of the epoch that the block belongs to (`SubnetEpochIndex`).
    pub index: u64,
    /// Blocks since the last epoch that ran to the end (`BlocksSinceLastStep`).
    pub since_step: u64,
}

impl EpochSchedule {
    /// Returns the block of the next epoch, or `None` if the subnet has no epochs.
    ///
    /// The chain may run it some blocks later, if many subnets have an epoch at once.
    #[must_use]
    pub fn next(&self) -> Option<Height> {
        if self.tempo == 0 {
            return None;
        }
        let regular = self.last.0.saturating_add(self.tempo);
        let overdue = self.block.0.saturating_add((LONGEST + 1).saturating_sub(self.since_step));
        let pending = self.pending.map_or(u64::MAX, |pending| pending.0);
        Some(Height(regular.min(overdue).min(pending).max(self.block.0.saturating_add(1))))
    }

    /// Returns the first block of an epoch later than the present one. Returns `None` if the subnet has no
    /// epochs, or the epoch has begun.
    #[must_use]
    pub fn first_block(&self, epoch: u64) -> Option<Height> {
        let later = epoch.checked_sub(self.index)?.checked_sub(1)?;
        let next = self.next()?;
        Some(Height(next.0.saturating_add(later.saturating_mul(self.tempo))))
    }

    /// Returns the number of the epoch to which transactions in a later block belong.
    #[must_use]
    pub fn epoch_of(&self, block: Height) -> u64 {
        match self.next() {
            Some(next) if block >= next => {
                self.index.saturating_add(1 + block.0.saturating_sub(next.0) / self.tempo.max(1))
            }
            _ => self.index,
        }
    }
}

/// The slots of an [`EpochSchedule`].
pub(crate) struct Slots {
    netuid: Netuid,
    tempo: Slot<u16>,
    last: Option<Slot<u64>>,
    pending: Option<Slot<u64>>,
    index: Option<Slot<u64>>,
    since_step: Slot<u64>,
}

impl Slots {
    pub(crate) fn plan(batch: &mut Batch<'_>, netuid: Netuid) -> Result<Self, ReadError> {
        let subtensor = || api::storage().subtensor_module();
        Ok(Self {
            netuid,
            tempo: batch.add(subtensor().tempo(), (netuid.0,))?,
            last: batch.add_if_present(subtensor().last_epoch_block(), (netuid.0,))?,
            pending: batch.add_if_present(subtensor().pending_epoch_at(), (netuid.0,))?,
            index: batch.add_if_present(subtensor().subnet_epoch_index(), (netuid.0,))?,
            since_step: batch.add(subtensor().blocks_since_last_step(), (netuid.0,))?,
        })
    }

    /// Returns the schedule after `block`, which is the block of the values.
    pub(crate) fn take(self, values: &Values, block: Height) -> Result<EpochSchedule, ReadError> {
        let tempo = values.get(self.tempo)?;
        match (self.last, self.pending, self.index) {
            (Some(last), Some(pending), Some(index)) => Ok(EpochSchedule {
                block,
                tempo: tempo.into(),
                last: Height(values.get(last)?),
                pending: Some(values.get(pending)?).filter(|pending| *pending > 0).map(Height),
                index: values.get(index)?,
                since_step: values.get(self.since_step)?,
            }),
            _ => {
                // Requires the counter again, so that a runtime that lacks only a part is not taken for old.
                debug_assert!(
                    has_fixed_tempos(&values.runtime),
                    "a runtime with dynamic tempos has all three"
                );
                Ok(of_fixed_tempo(self.netuid, tempo, block))
            }
        }
    }
}

/// Returns the schedule of a runtime from before tempos could change: epochs are `tempo + 1` blocks apart.
fn of_fixed_tempo(netuid: Netuid, tempo: u16, block: Height) -> EpochSchedule {
    let period = u64::from(tempo) + 1;
    let next = next_epoch_of_fixed_tempo(netuid, tempo, block);
    EpochSchedule {
        block,
        tempo: next.map_or(0, |_| period),
        last: Height(next.map_or(0, |next| next.0.saturating_sub(period))),
        // The first epoch of a chain is shorter.
        pending: next,
        index: epoch_of_fixed_tempo(netuid, tempo, block),
        since_step: 0,
    }
}

impl ChainSnapshot<'_> {
    /// Reads the schedule of a subnet's epochs. Two requests.
    pub async fn epochs(&self, netuid: Netuid) -> Result<EpochSchedule, ReadError> {
        let header = self.client().header(self.block()).await?;
        let (slots, values) = self.read(|batch| Slots::plan(batch, netuid)).await?;
        slots.take(&values, Height(header.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule() -> EpochSchedule {
        EpochSchedule {
            block: Height(1100),
            tempo: 360,
            last: Height(1000),
            pending: None,
            index: 40,
            since_step: 100,
        }
    }

    #[test]
    fn an_epoch_comes_after_the_tempo_or_when_it_is_asked_for() {
        let next = |schedule: EpochSchedule| schedule.next();
        assert_eq!(next(schedule()), Some(Height(1360)));
        for (pending, expected) in [(1105, 1105), (1500, 1360), (1100, 1101), (1, 1101)] {
            let pending = Some(Height(pending));
            assert_eq!(next(EpochSchedule { pending, ..schedule() }), Some(Height(expected)), "{pending:?}");
        }
        let late = EpochSchedule { block: Height(1700), ..schedule() };
        assert_eq!(next(late), Some(Height(1701)), "an epoch that was put off");
        assert_eq!(next(EpochSchedule { since_step: LONGEST, ..schedule() }), Some(Height(1101)));
        assert_eq!(next(EpochSchedule { tempo: 0, ..schedule() }), None);
        assert_eq!(EpochSchedule { tempo: 0, ..schedule() }.first_block(41), None);
    }

    #[test]
    fn the_first_block_of_an_epoch_is_a_tempo_after_that_of_the_one_before() {
        let asked = EpochSchedule { pending: Some(Height(1105)), ..schedule() };
        for (schedule, epoch, expected) in [
            (schedule(), 40, None),
            (schedule(), 41, Some(1360)),
            (schedule(), 43, Some(2080)),
            (asked, 41, Some(1105)),
            (asked, 42, Some(1465)),
        ] {
            assert_eq!(schedule.first_block(epoch), expected.map(Height), "{epoch}");
        }
    }

    #[test]
    fn a_fixed_tempo_gives_the_same_epochs_as_the_older_rule() {
        for tempo in [0, 1, 20, 99] {
            for block in (0..300).map(Height) {
                let schedule = of_fixed_tempo(Netuid(3), tempo, block);
                assert_eq!(schedule.next(), next_epoch_of_fixed_tempo(Netuid(3), tempo, block));
                for later in (block.0 + 1..block.0 + 50).map(Height) {
                    let expected = if tempo == 0 {
                        schedule.index
                    } else {
                        epoch_of_fixed_tempo(Netuid(3), tempo, later)
                    };
                    assert_eq!(schedule.epoch_of(later), expected, "tempo {tempo}, {block} to {later}");
                }
            }
        }
    }

    proptest! {
        /// Checks the answers against a chain that is run block by block.
        #[test]
        fn the_schedule_says_what_the_chain_does(
            tempo in 1u64..40, last in 0u64..40, ahead in 0u64..60, pending in prop::option::of(0u64..100),
        ) {
            let block = Height(last + ahead);
            let begin = EpochSchedule {
                block, tempo, last: Height(last), pending: pending.map(Height), index: 7, since_step: ahead,
            };
            let mut live = begin;
            for now in (block.0 + 1..block.0 + 120).map(Height) {
                let asked = live.pending.is_some_and(|pending| now >= pending);
                let runs = asked || now.0 - live.last.0 >= tempo;
                prop_assert_eq!(live.next() == Some(now), runs);
                live.block = now;
                if runs {
                    (live.last, live.pending, live.since_step) = (now, None, 0);
                    live.index += 1;
                    prop_assert_eq!(begin.first_block(live.index), Some(now));
                } else {
                    live.since_step += 1;
                }
                prop_assert_eq!(begin.epoch_of(now), live.index);
            }
        }
    }
}
