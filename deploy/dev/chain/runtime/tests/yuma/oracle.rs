//! Computes Yuma consensus a second time: one epoch in plain `f64` on dense matrices, without
//! regard to speed.
//!
//! It follows the rules of Subtensor's epoch step by step and shares no code with
//! `devchain_runtime::yuma`. If the two agree, two readings of the rules agree. It computes nothing in
//! fixed point; it only tracks the possible losses of fixed point (see [`Approx`]). One question must
//! not depend on rounding: whether the stake behind a weight reaches kappa. It is answered in integers.

use devchain_runtime::yuma::{EpochInput, SparseRow};

use super::approx::Approx;

/// A dense `n x n` matrix, one row per validator.
type Matrix = Vec<Vec<Approx>>;

/// The expected results of an epoch, before the conversion to stored integers. Shares are in 0..=1.
pub(crate) struct Expected {
    pub(crate) active: Vec<bool>,
    pub(crate) permits: Vec<bool>,
    pub(crate) stake_weight: Vec<Approx>,
    pub(crate) consensus: Vec<Approx>,
    pub(crate) validator_trust: Vec<Approx>,
    pub(crate) incentive: Vec<Approx>,
    pub(crate) dividends: Vec<Approx>,
    pub(crate) server_share: Vec<Approx>,
    pub(crate) validator_share: Vec<Approx>,
    /// The bonds, in shares of 65535: max-upscaled columns (Yuma 2) or plain proportions (Yuma 3).
    pub(crate) bonds: Matrix,
    /// Whether rounding decides a comparison, so that the results of this epoch are uncertain. This is
    /// so if the stake behind some weight (but not all of the stake) is close to kappa, or if a stake
    /// that gets a permit is close to a smaller one that does not.
    pub(crate) too_close_to_call: bool,
}

/// Runs the epoch.
pub(crate) fn epoch(input: &EpochInput) -> Expected {
    let n = input.stake.len();
    let owner = input.owner_uid.map(usize::from);

    // 1. Active neurons.
    let active: Vec<bool> =
        input.last_update.iter().map(|&updated| updated + input.activity_cutoff >= input.block).collect();

    // 2. Stake that counts.
    let counted: Vec<u64> = (0..n)
        .map(|i| {
            let counts = input.stake[i] >= input.stake_threshold || owner == Some(i);
            if counts { input.stake[i] } else { 0 }
        })
        .collect();
    let stake = shares_of(&counted);

    // 3. Next permits.
    let (permits, border) = next_permits(&counted, owner, input.max_allowed_validators);
    let mut too_close_to_call =
        border.is_some_and(|(last_in, first_out)| !stake[last_in].surely_above(stake[first_out]));

    // 4. Stake that votes.
    let permitted: Vec<bool> = (0..n).map(|i| input.permits[i] || owner == Some(i)).collect();
    let votes: Vec<u64> = (0..n).map(|i| if active[i] && permitted[i] { counted[i] } else { 0 }).collect();
    let voting = normalized(
        &stake
            .iter()
            .zip(&votes)
            .map(|(&share, &rao)| if rao > 0 { share } else { Approx::default() })
            .collect::<Vec<_>>(),
    );

    // 5. Weights that count.
    let weights = counted_weights(input, &permitted);

    // 6., 7. Consensus, and the weights clipped to it.
    let rounding = voting.iter().copied().sum::<Approx>().slack;
    let mut consensus = Vec::new();
    for j in 0..n {
        let column: Vec<Approx> = weights.iter().map(|row| row[j]).collect();
        let (median, margin) = weighted_median(&column, &votes, input.kappa);
        consensus.push(median);
        too_close_to_call |= margin <= rounding;
    }
    let clipped: Matrix = weights
        .iter()
        .map(|row| row.iter().zip(&consensus).map(|(weight, most)| weight.min(*most)).collect())
        .collect();
    let validator_trust = clipped.iter().map(|row| row.iter().copied().sum()).collect();
    let rank: Vec<Approx> = (0..n).map(|j| (0..n).map(|i| voting[i] * clipped[i][j]).sum()).collect();
    let incentive = normalized(&rank);

    // 8., 9. Bonds and dividends.
    let (bonds, earned) = bonds_and_earnings(input, &weights, &clipped, &voting, &incentive);
    let dividends = normalized(&earned);

    // 10. Division of the emission.
    let total: Approx = incentive.iter().chain(&dividends).copied().sum();
    let (server_share, validator_share) = if total.value > 0.0 {
        (divided(&incentive, total), divided(&dividends, total))
    } else if votes.iter().any(|&rao| rao > 0) {
        (vec![Approx::default(); n], voting)
    } else {
        (vec![Approx::default(); n], stake.clone())
    };

    Expected {
        active,
        permits,
        stake_weight: stake,
        consensus,
        validator_trust,
        incentive,
        dividends,
        server_share,
        validator_share,
        bonds,
        too_close_to_call,
    }
}

/// Returns the weights that count: those of permitted neurons, for other neurons, set after the other was
/// registered.
fn counted_weights(input: &EpochInput, permitted: &[bool]) -> Matrix {
    let owner = input.owner_uid.map(usize::from);
    let mut weights = dense(&input.weights, permitted.len());
    for (i, row) in weights.iter_mut().enumerate() {
        for (j, weight) in row.iter_mut().enumerate() {
            let of_predecessor = input.last_update[i] <= input.registered_at[j];
            let own = i == j && owner != Some(i);
            if !permitted[i] || own || of_predecessor {
                *weight = Approx::default();
            }
        }
        *row = normalized(row);
    }
    weights
}

/// Returns the bonds after the epoch, and the unscaled dividends of each neuron.
fn bonds_and_earnings(
    input: &EpochInput,
    weights: &Matrix,
    clipped: &Matrix,
    voting: &[Approx],
    incentive: &[Approx],
) -> (Matrix, Vec<Approx>) {
    let beta = Approx::exact(f64::from(input.bonds_penalty)) / Approx::exact(65535.0);
    let weights_for_bonds = blend(weights, clipped, beta);
    let held = dense_of_known(&input.bonds, &input.registered_at, input.last_epoch);
    let keep = Approx::exact(input.bonds_moving_average as f64) / Approx::exact(1e6);
    if input.yuma3 {
        let proportions = map_columns(&held, |_| Approx::exact(65535.0));
        let bonds = blend(&weights_for_bonds, &proportions, keep);
        let owned = normalized_columns(&bonds);
        let earned: Vec<Approx> = (0..voting.len()).map(|i| voting[i] * dot(&owned[i], incentive)).collect();
        (bonds, earned)
    } else {
        let bought: Matrix = weights_for_bonds
            .iter()
            .zip(voting)
            .map(|(row, stake)| row.iter().map(|weight| *weight * *stake).collect())
            .collect();
        let blended = blend(&normalized_columns(&bought), &normalized_columns(&held), keep);
        let bonds = normalized_columns(&blended);
        let earned: Vec<Approx> = bonds.iter().map(|row| dot(row, incentive)).collect();
        (map_columns(&bonds, |column| column.iter().copied().fold(Approx::default(), Approx::max)), earned)
    }
}

/// Returns the next permits: the largest non-zero stakes, and always the owner's uid. On a tie the
/// higher uid goes first (Subtensor drops the lowest of a stable ascending order). Also returns the
/// last uid in and the first one out, unless their stakes are equal.
fn next_permits(stake: &[u64], owner: Option<usize>, most: u16) -> (Vec<bool>, Option<(usize, usize)>) {
    let mut order: Vec<usize> = (0..stake.len()).filter(|&uid| stake[uid] > 0).collect();
    order.sort_by_key(|&uid| (stake[uid], uid));
    order.reverse();
    let (chosen, rest) = order.split_at(order.len().min(usize::from(most)));
    let permits = (0..stake.len()).map(|uid| chosen.contains(&uid) || owner == Some(uid)).collect();
    let border = chosen.last().copied().zip(rest.first().copied());
    (permits, border.filter(|&(last_in, first_out)| stake[last_in] != stake[first_out]))
}

/// Returns the largest weight of a column that at least `kappa / 65535` of the voting stake supports; 0
/// without votes. A stake supports a weight if it gave that weight or a larger one. The decision uses
/// integers, so it is exact. Also returns the margin of the closest decision, as a share of the stake.
fn weighted_median(column: &[Approx], votes: &[u64], kappa: u16) -> (Approx, f64) {
    let total: u128 = votes.iter().map(|&rao| u128::from(rao)).sum();
    let needed = u128::from(kappa) * total;
    let mut median = Approx::default();
    let mut margin = f64::INFINITY;
    for (weight, _) in column.iter().zip(votes).filter(|&(_, &rao)| rao > 0) {
        let supporters = column.iter().zip(votes).filter(|&(other, _)| other.value >= weight.value);
        let behind: u128 = supporters.map(|(_, &rao)| u128::from(rao)).sum();
        if behind * 65535 >= needed && weight.value > median.value {
            median = *weight;
        }
        // A weight that all the stake supports is certain, at any kappa.
        if behind < total {
            margin = margin.min((behind * 65535).abs_diff(needed) as f64 / (65535.0 * total as f64));
        }
    }
    (median, margin)
}

/// Returns the sparse rows of the chain's storage as a matrix of the stored integers.
fn dense(rows: &[SparseRow], n: usize) -> Matrix {
    let mut matrix = vec![vec![Approx::default(); n]; n];
    for (row, entries) in matrix.iter_mut().zip(rows) {
        for &(uid, value) in entries {
            if let Some(cell) = row.get_mut(usize::from(uid)) {
                *cell = Approx::exact(f64::from(value));
            }
        }
    }
    matrix
}

/// Returns the stored bonds, without those to neurons that registered since the last epoch.
fn dense_of_known(rows: &[SparseRow], registered_at: &[u64], last_epoch: u64) -> Matrix {
    let mut matrix = dense(rows, registered_at.len());
    for row in &mut matrix {
        for (cell, &registered) in row.iter_mut().zip(registered_at) {
            if registered > last_epoch {
                *cell = Approx::default();
            }
        }
    }
    matrix
}

/// Returns the shares of whole amounts of rao.
fn shares_of(rao: &[u64]) -> Vec<Approx> {
    normalized(&rao.iter().map(|&rao| Approx::exact(rao as f64)).collect::<Vec<_>>())
}

fn dot(left: &[Approx], right: &[Approx]) -> Approx {
    left.iter().zip(right).map(|(a, b)| *a * *b).sum()
}

fn divided(values: &[Approx], by: Approx) -> Vec<Approx> {
    values.iter().map(|value| *value / by).collect()
}

fn normalized(values: &[Approx]) -> Vec<Approx> {
    divided(values, values.iter().copied().sum())
}

/// Returns `(1 - share) * left + share * right`, entry by entry.
fn blend(left: &Matrix, right: &Matrix, share: Approx) -> Matrix {
    let rest = Approx::exact(1.0) - share;
    let row = |(a, b): (&Vec<Approx>, &Vec<Approx>)| {
        a.iter().zip(b).map(|(left, right)| rest * *left + share * *right).collect()
    };
    left.iter().zip(right).map(row).collect()
}

/// Divides every column by a number that depends on the column.
fn map_columns(matrix: &Matrix, divisor: impl Fn(&[Approx]) -> Approx) -> Matrix {
    let divisors: Vec<Approx> =
        (0..matrix.len()).map(|j| divisor(&matrix.iter().map(|row| row[j]).collect::<Vec<_>>())).collect();
    matrix.iter().map(|row| row.iter().zip(&divisors).map(|(value, by)| *value / *by).collect()).collect()
}

fn normalized_columns(matrix: &Matrix) -> Matrix {
    map_columns(matrix, |column| column.iter().copied().sum())
}
