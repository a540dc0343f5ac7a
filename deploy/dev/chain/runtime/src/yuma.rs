//! Yuma consensus: computes incentive, dividends, bonds and emission from stake and weights.
//!
//! The pure function [`epoch`] uses the fixed point (I32F32) and the order of operations of Subtensor's
//! own epoch. So the stored integers are those of the real chain.

use fixed::types::{I32F32, I96F32};

/// A matrix over the neurons of a subnet: `rows[i][j]` is validator `i`, server `j`.
type Matrix = Vec<Vec<I32F32>>;

/// A stored sparse row of `(uid, value)`. Values are in units of 1/65535.
pub type SparseRow = Vec<(u16, u16)>;

/// The inputs of one epoch of one subnet. Vectors have one entry per uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochInput {
    /// The height of the epoch's block.
    pub block: u64,
    /// The height of the previous epoch's block. Bonds to neurons registered in later blocks are dropped.
    pub last_epoch: u64,
    /// The number of blocks without new weights after which a validator is inactive.
    pub activity_cutoff: u64,
    /// The stake weight in rao (alpha plus the weighted root stake).
    pub stake: Vec<u64>,
    /// The stake in rao below which an entry counts as zero; the owner is exempt.
    pub stake_threshold: u64,
    /// The uid of the subnet owner's hotkey.
    pub owner_uid: Option<u16>,
    /// The maximum number of validators that get a permit.
    pub max_allowed_validators: u16,
    /// The majority that consensus needs, in units of 1/65535 of the active stake.
    pub kappa: u16,
    /// The share of clipped weights, as opposed to raw weights, in bonds, in units of 1/65535.
    pub bonds_penalty: u16,
    /// The weight of the old bonds, in millionths.
    pub bonds_moving_average: u64,
    /// Whether Yuma 3 (bonds as fixed proportions) runs instead of Yuma 2.
    pub yuma3: bool,
    /// The block of each neuron's last weights.
    pub last_update: Vec<u64>,
    /// The block in which each neuron was registered.
    pub registered_at: Vec<u64>,
    /// The validator permits of this epoch.
    pub permits: Vec<bool>,
    /// The stored weights, one row per validator.
    pub weights: Vec<SparseRow>,
    /// The stored bonds, one row per validator.
    pub bonds: Vec<SparseRow>,
    /// The emission of the epoch, in rao.
    pub emission: u64,
}

/// The stored outputs of one epoch. Vectors have one entry per uid. Values of type `u16` are
/// proportions in units of 1/65535, truncated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochOutput {
    /// Whether the neuron set weights within the activity cutoff.
    pub active: Vec<bool>,
    /// The permits of the next epoch.
    pub permits: Vec<bool>,
    /// The share of the network's stake.
    pub stake_weight: Vec<u16>,
    /// The stake-weighted median weight.
    pub consensus: Vec<u16>,
    /// The sum of a validator's weights after clipping.
    pub validator_trust: Vec<u16>,
    /// The share of the servers' reward.
    pub incentive: Vec<u16>,
    /// The share of the validators' reward.
    pub dividends: Vec<u16>,
    /// The emission for serving, in rao.
    pub server_emission: Vec<u64>,
    /// The emission for validating, in rao.
    pub validator_emission: Vec<u64>,
    /// The emission for both, in rao.
    pub emission: Vec<u64>,
    /// The bonds: the new row of a neuron that gets a permit, an empty row for one that loses its
    /// permit, and `None` for all others, whose row stays.
    pub bonds: Vec<Option<SparseRow>>,
}

/// Runs one epoch: stake, permits, consensus, incentive, bonds, dividends, emission.
///
/// Vectors shorter than the number of neurons (the length of `stake`) are filled with zero or `false`.
/// Entries of sparse rows with an unknown uid are ignored.
#[must_use]
pub fn epoch(input: &EpochInput) -> EpochOutput {
    let n = input.stake.len();
    let active = active(input, n);
    let stake = stake_shares(input);
    let voting = voting_stake(input, &stake, &active);

    let weights = effective_weights(input, n);
    let consensus = consensus(&weights, &voting, input.kappa);
    let clipped = clip_columns(&weights, &consensus);
    let validator_trust: Vec<I32F32> = clipped.iter().map(|row| sum(row)).collect();
    let incentive = normalised(mul_rows(&clipped, &voting));

    let for_bonds = interpolate(&weights, &clipped, proportion(input.bonds_penalty));
    let Bonding { stored, dividends } = if input.yuma3 {
        bond_yuma3(input, &for_bonds, &voting, &incentive)
    } else {
        bond_yuma2(input, &for_bonds, &voting, &incentive)
    };

    let shares = EmissionShares::new(&incentive, &dividends, if is_zero(&voting) { &stake } else { &voting });
    let permits = new_permits(input, &stake);
    EpochOutput {
        stake_weight: to_u16(&stake),
        consensus: to_u16(&consensus),
        validator_trust: to_u16(&validator_trust),
        incentive: to_u16(&incentive),
        dividends: to_u16(&dividends),
        server_emission: amounts(&shares.servers, input.emission),
        validator_emission: amounts(&shares.validators, input.emission),
        emission: amounts(&shares.combined, input.emission),
        bonds: (0..n).map(|i| kept_bonds(&stored[i], permits[i], permitted(input, i))).collect(),
        permits,
        active,
    }
}

fn active(input: &EpochInput, n: usize) -> Vec<bool> {
    let fresh = |i| at(&input.last_update, i).saturating_add(input.activity_cutoff) >= input.block;
    (0..n).map(fresh).collect()
}

/// Returns the shares of the stake above the threshold. They sum to one, or all are zero.
fn stake_shares(input: &EpochInput) -> Vec<I32F32> {
    let counts = |i: usize, rao: u64| rao >= input.stake_threshold || input.owner_uid == Some(i as u16);
    let kept: Vec<u64> =
        input.stake.iter().enumerate().map(|(i, &rao)| if counts(i, rao) { rao } else { 0 }).collect();
    let total: u128 = kept.iter().map(|&rao| u128::from(rao)).sum();
    if total == 0 {
        return vec![I32F32::ZERO; kept.len()];
    }
    let share = |rao: u64| I32F32::from_bits(((u128::from(rao) << 32) / total) as i64);
    kept.into_iter().map(share).collect()
}

/// Returns the stake that votes: that of permitted and active neurons, normalised again.
fn voting_stake(input: &EpochInput, stake: &[I32F32], active: &[bool]) -> Vec<I32F32> {
    let votes = |i: usize| active[i] && permitted(input, i);
    normalised(stake.iter().enumerate().map(|(i, &s)| if votes(i) { s } else { I32F32::ZERO }).collect())
}

fn permitted(input: &EpochInput, uid: usize) -> bool {
    input.owner_uid == Some(uid as u16) || input.permits.get(uid).copied().unwrap_or(false)
}

/// Returns the next permits: the neurons with the largest non-zero stakes, and always the owner. On a
/// tie the higher uid goes first.
fn new_permits(input: &EpochInput, stake: &[I32F32]) -> Vec<bool> {
    let mut by_stake: Vec<usize> = (0..stake.len()).filter(|&i| stake[i] > I32F32::ZERO).collect();
    by_stake.sort_by_key(|&i| std::cmp::Reverse((stake[i], i)));
    let mut permits = vec![false; stake.len()];
    for &i in by_stake.iter().take(usize::from(input.max_allowed_validators)) {
        permits[i] = true;
    }
    if let Some(owner) = input.owner_uid.and_then(|uid| permits.get_mut(usize::from(uid))) {
        *owner = true;
    }
    permits
}

/// Returns the effective weights: those set by permitted validators on other neurons (the owner also on
/// itself) after the named neuron was registered. Rows sum to one.
fn effective_weights(input: &EpochInput, n: usize) -> Matrix {
    let counts = |i: usize, j: usize| {
        (i != j || input.owner_uid == Some(i as u16))
            && at(&input.last_update, i) > at(&input.registered_at, j)
    };
    (0..n)
        .map(|i| {
            let row = if permitted(input, i) { row(&input.weights, i) } else { &[] };
            normalised(dense(row.iter().filter(|&&(j, _)| counts(i, usize::from(j))), n))
        })
        .collect()
}

/// Returns, per server, the largest weight that at least `kappa` of the voting stake supports. Missing
/// entries count as zero.
fn consensus(weights: &Matrix, voting: &[I32F32], kappa: u16) -> Vec<I32F32> {
    let total: i128 = voting.iter().map(|s| i128::from(s.to_bits())).sum();
    (0..voting.len())
        .map(|j| {
            let mut votes: Vec<(I32F32, i128)> = (0..voting.len())
                .filter(|&i| voting[i] > I32F32::ZERO)
                .map(|i| (weights[i][j], i128::from(voting[i].to_bits())))
                .collect();
            votes.sort_by_key(|&(weight, _)| std::cmp::Reverse(weight));
            let mut support = 0;
            let majority = votes.into_iter().find(|&(_, stake)| {
                support += stake;
                support * i128::from(u16::MAX) >= total * i128::from(kappa)
            });
            majority.map_or(I32F32::ZERO, |(weight, _)| weight)
        })
        .collect()
}

/// The new bonds of an epoch and the dividends from them.
struct Bonding {
    /// The bonds as proportions of one, as stored.
    stored: Matrix,
    dividends: Vec<I32F32>,
}

/// Returns the row to store: the new one with a permit, an empty one for a lost permit, `None` otherwise.
fn kept_bonds(row: &[I32F32], permit: bool, permit_so_far: bool) -> Option<SparseRow> {
    match (permit, permit_so_far) {
        (true, _) => Some(sparse(row)),
        (false, true) => Some(SparseRow::new()),
        (false, false) => None,
    }
}

/// Computes bonds as a moving average of column shares of weight times stake.
fn bond_yuma2(input: &EpochInput, weights: &Matrix, voting: &[I32F32], incentive: &[I32F32]) -> Bonding {
    let old = normalise_columns(old_bonds(input, voting.len(), I32F32::from_num));
    let stakes = |(row, &s): (&Vec<I32F32>, &I32F32)| row.iter().map(|w| w.saturating_mul(s)).collect();
    let new = normalise_columns(weights.iter().zip(voting).map(stakes).collect());
    let bonds = normalise_columns(moving_average(input, &new, &old));
    let dividends = normalised(bonds.iter().map(|row| dot(row, incentive)).collect());
    Bonding {
        stored: scale_columns(bonds, |column| column.iter().copied().max().unwrap_or_default()),
        dividends,
    }
}

/// Computes bonds as fixed proportions, each a moving average of the weight itself.
fn bond_yuma3(input: &EpochInput, weights: &Matrix, voting: &[I32F32], incentive: &[I32F32]) -> Bonding {
    let old = old_bonds(input, voting.len(), proportion);
    let bonds = moving_average(input, weights, &old);
    let shares = normalise_columns(bonds.clone());
    let earned = shares.iter().zip(voting).map(|(row, &s)| dot(row, incentive).saturating_mul(s)).collect();
    Bonding { stored: bonds, dividends: normalised(earned) }
}

/// Returns the stored bonds, without those to neurons that registered since the last epoch.
fn old_bonds(input: &EpochInput, n: usize, value: impl Fn(u16) -> I32F32) -> Matrix {
    let lasting = |j: usize| at(&input.registered_at, j) <= input.last_epoch;
    (0..n)
        .map(|i| {
            let mut bonds = vec![I32F32::ZERO; n];
            for &(j, stored) in row(&input.bonds, i) {
                let j = usize::from(j);
                if j < n && lasting(j) {
                    bonds[j] = value(stored);
                }
            }
            bonds
        })
        .collect()
}

/// Returns `alpha · new + (1 − alpha) · old`, entry by entry. Here `1 − alpha` is the weight of
/// the old bonds.
fn moving_average(input: &EpochInput, new: &Matrix, old: &Matrix) -> Matrix {
    let millions = I96F32::from_num(input.bonds_moving_average.min(1_000_000)) / I96F32::from_num(1_000_000);
    let keep = I32F32::saturating_from_num(millions);
    interpolate(old, new, I32F32::ONE.saturating_sub(keep))
}

/// The shares of the emission per neuron.
struct EmissionShares {
    servers: Vec<I32F32>,
    validators: Vec<I32F32>,
    combined: Vec<I32F32>,
}

impl EmissionShares {
    /// Divides incentive and dividends by their common sum. If the sum is zero, the validators get
    /// `fallback`.
    fn new(incentive: &[I32F32], dividends: &[I32F32], fallback: &[I32F32]) -> Self {
        let combined: Vec<I32F32> =
            incentive.iter().zip(dividends).map(|(i, d)| i.saturating_add(*d)).collect();
        let total = sum(&combined);
        if total == I32F32::ZERO {
            let servers = vec![I32F32::ZERO; incentive.len()];
            return Self { servers, validators: fallback.to_vec(), combined: fallback.to_vec() };
        }
        let over = |shares: &[I32F32]| shares.iter().map(|share| share.saturating_div(total)).collect();
        Self { servers: over(incentive), validators: over(dividends), combined: over(&combined) }
    }
}

/// Multiplies shares by the emission, truncated to whole rao.
fn amounts(shares: &[I32F32], emission: u64) -> Vec<u64> {
    let emission = I96F32::from_num(emission);
    shares.iter().map(|&s| I96F32::from(s).saturating_mul(emission).saturating_to_num()).collect()
}

fn at(values: &[u64], i: usize) -> u64 {
    values.get(i).copied().unwrap_or(0)
}

fn row(rows: &[SparseRow], i: usize) -> &[(u16, u16)] {
    rows.get(i).map_or(&[], Vec::as_slice)
}

fn dense<'a>(entries: impl Iterator<Item = &'a (u16, u16)>, n: usize) -> Vec<I32F32> {
    let mut row = vec![I32F32::ZERO; n];
    for &(j, value) in entries {
        if let Some(entry) = row.get_mut(usize::from(j)) {
            *entry = I32F32::from_num(value);
        }
    }
    row
}

fn sparse(row: &[I32F32]) -> SparseRow {
    let stored = to_u16(row).into_iter().enumerate().map(|(j, value)| (j as u16, value));
    stored.filter(|&(_, value)| value > 0).collect()
}

fn proportion(value: u16) -> I32F32 {
    I32F32::from_num(value) / I32F32::from_num(u16::MAX)
}

fn to_u16(shares: &[I32F32]) -> Vec<u16> {
    let whole = I32F32::from_num(u16::MAX);
    shares.iter().map(|share| share.saturating_mul(whole).saturating_to_num()).collect()
}

fn sum(values: &[I32F32]) -> I32F32 {
    values.iter().fold(I32F32::ZERO, |total, value| total.saturating_add(*value))
}

fn is_zero(values: &[I32F32]) -> bool {
    values.iter().all(|value| *value == I32F32::ZERO)
}

fn dot(a: &[I32F32], b: &[I32F32]) -> I32F32 {
    a.iter().zip(b).fold(I32F32::ZERO, |total, (x, y)| total.saturating_add(x.saturating_mul(*y)))
}

/// Divides values by their sum, unless the sum is zero.
fn normalised(mut values: Vec<I32F32>) -> Vec<I32F32> {
    let total = sum(&values);
    if total != I32F32::ZERO {
        values.iter_mut().for_each(|value| *value = value.saturating_div(total));
    }
    values
}

/// Returns `Σ_i rows[i][j] · factors[i]` for each `j`.
fn mul_rows(rows: &Matrix, factors: &[I32F32]) -> Vec<I32F32> {
    let mut totals = vec![I32F32::ZERO; factors.len()];
    for (row, &factor) in rows.iter().zip(factors).filter(|(_, factor)| **factor != I32F32::ZERO) {
        for (total, value) in totals.iter_mut().zip(row) {
            *total = total.saturating_add(value.saturating_mul(factor));
        }
    }
    totals
}

fn clip_columns(rows: &Matrix, limits: &[I32F32]) -> Matrix {
    rows.iter().map(|row| row.iter().zip(limits).map(|(value, limit)| *value.min(limit)).collect()).collect()
}

/// Returns `(1 − ratio) · a + ratio · b`, entry by entry.
fn interpolate(a: &Matrix, b: &Matrix, ratio: I32F32) -> Matrix {
    let rest = I32F32::ONE.saturating_sub(ratio);
    let mix = |(x, y): (&I32F32, &I32F32)| x.saturating_mul(rest).saturating_add(y.saturating_mul(ratio));
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(mix).collect()).collect()
}

fn normalise_columns(rows: Matrix) -> Matrix {
    scale_columns(rows, sum)
}

/// Divides each column by the result of `scale` for it. A column with the result zero stays unchanged.
fn scale_columns(mut rows: Matrix, scale: impl Fn(&[I32F32]) -> I32F32) -> Matrix {
    for j in 0..rows.len() {
        let column: Vec<I32F32> = rows.iter().map(|row| row[j]).collect();
        let scale = scale(&column);
        if scale != I32F32::ZERO {
            rows.iter_mut().for_each(|row| row[j] = row[j].saturating_div(scale));
        }
    }
    rows
}
