//! Validators that do not evaluate: their dividends beside honest validators, by the chain's Yuma consensus.
//!
//! Each honest validator has its own unassigned data and its own record. All set weights in each window, and
//! an epoch follows. The copier does not measure. It sets weights that it can read: those of the last window.

use crate::pay::Ledger;
use base::Uid;
use devchain_runtime::yuma::{EpochInput, SparseRow, epoch};
use scoring::gauntlet::ScoringSpec;

/// Honest validators beside the copier. The first one also screens.
pub(crate) const HONEST: usize = 4;

/// The weights that a copier sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    /// The incentives of the last epoch: the consensus of all validators.
    Consensus,
    /// The weights of the first validator's last score log.
    Log,
}

/// The other validators of a network, and the bonds of all.
pub(crate) struct Panel {
    copies: Copies,
    /// The records of all honest validators but the first.
    pub(crate) ledgers: Vec<Ledger>,
    bonds: Vec<SparseRow>,
    /// The weights that the copier sets next.
    copied: SparseRow,
    block: u64,
}

/// Blocks of an epoch, which is a window here.
const EPOCH: u64 = 30;

impl Panel {
    /// Creates a panel whose last validator copies.
    pub(crate) fn new(copies: Copies, scoring: ScoringSpec) -> Self {
        let ledgers = (1..HONEST).map(|_| Ledger::new(scoring)).collect();
        Self { copies, ledgers, bonds: Vec::new(), copied: SparseRow::new(), block: EPOCH }
    }

    /// Runs the epoch after a window. Returns the dividends of all validators, the copier's last.
    pub(crate) fn epoch(&mut self, first: &Ledger, miners: usize) -> Vec<f64> {
        let rows: Vec<SparseRow> = std::iter::once(first).chain(&self.ledgers).map(row).collect();
        let neurons = miners + HONEST + 1;
        let validators = miners..neurons;
        let mut weights = vec![SparseRow::new(); miners];
        weights.extend(rows.iter().cloned());
        weights.push(self.copied.clone());
        self.bonds.resize(neurons, SparseRow::new());
        let stake = (0..neurons).map(|neuron| if validators.contains(&neuron) { 1_000_000_000 } else { 0 });
        let output = epoch(&EpochInput {
            block: self.block,
            last_epoch: self.block - EPOCH,
            activity_cutoff: 10 * EPOCH,
            stake: stake.collect(),
            max_allowed_validators: 64,
            kappa: u16::MAX / 2,
            bonds_penalty: u16::MAX,
            bonds_moving_average: 900_000,
            last_update: vec![self.block; neurons],
            registered_at: vec![0; neurons],
            permits: (0..neurons).map(|neuron| validators.contains(&neuron)).collect(),
            weights,
            bonds: self.bonds.clone(),
            emission: 1_000_000_000,
            ..EpochInput::default()
        });
        for (bonds, new) in self.bonds.iter_mut().zip(output.bonds) {
            *bonds = new.unwrap_or_else(|| bonds.clone());
        }
        self.copied = match self.copies {
            Copies::Log => rows[0].clone(),
            Copies::Consensus => {
                (0..).zip(output.incentive).filter(|(_, incentive)| *incentive > 0).collect()
            }
        };
        self.block += EPOCH;
        output.dividends[validators].iter().map(|dividends| f64::from(*dividends)).collect()
    }
}

/// Returns the weights of a validator as the chain stores them.
fn row(ledger: &Ledger) -> SparseRow {
    ledger
        .weights
        .iter()
        .map(|(Uid(uid), weight)| (*uid, *weight))
        .filter(|(_, weight)| *weight > 0)
        .collect()
}
