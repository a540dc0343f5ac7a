//! Reads weights and incentives from the chain, for the table and for the end of the run.

use crate::run_record::{EndRecord, RunRecord};
use base::{Height, Uid};
use chain::Row;
use exchange::{BlockState, ChainReader, ExchangeError};
use std::collections::BTreeMap;

/// Reads weights and incentives after a block. The epoch of the result is 0.
pub(crate) async fn read(
    chain_reader: &ChainReader,
    record: &RunRecord,
    height: Height,
) -> Result<EndRecord, ExchangeError> {
    let state = chain_reader.at(height).await?;
    let uids: Vec<Uid> = state.metagraph.neurons.iter().map(|neuron| neuron.uid).collect();
    let rows = chain_reader.snapshot(state.hash).weights(chain_reader.netuid(), &uids).await?;
    Ok(of(record, &state, &rows))
}

/// Computes each participant's weight and incentive. `rows` has each neuron's weights, in the order of
/// uids.
fn of(record: &RunRecord, state: &BlockState, rows: &[Row]) -> EndRecord {
    let neurons = &state.metagraph.neurons;
    let name = |uid: Uid| record.participants.iter().find(|(p, _)| p.uid == uid).map(|(p, _)| p.name.clone());
    let incentives: Vec<f64> = neurons.iter().map(|neuron| neuron.incentive.into()).collect();
    let stakes = neurons.iter().map(|neuron| f64::from(neuron.stake_weight));
    let named = neurons.iter().filter_map(|neuron| name(neuron.uid));
    let mut weights = BTreeMap::<String, f64>::new();
    let voting: f64 =
        stakes.clone().zip(rows).filter(|(_, row)| !row.is_empty()).map(|(stake, _)| stake).sum();
    for (stake, row) in stakes.zip(rows) {
        let total: f64 = row.iter().map(|(_, weight)| f64::from(*weight)).sum();
        for (uid, weight) in row.iter().filter(|_| total > 0.0 && voting > 0.0) {
            let share = f64::from(*weight) / total * stake / voting;
            if let Some(name) = name(*uid) {
                *weights.entry(name).or_default() += share;
            }
        }
    }
    let set = neurons.iter().zip(rows).filter(|(_, row)| row.iter().any(|(_, weight)| *weight > 0));
    EndRecord {
        incentives: named.zip(shares(&incentives)).collect(),
        weights,
        set: set.filter_map(|(neuron, _)| Some((name(neuron.uid)?, neuron.last_update.0))).collect(),
        epoch: 0,
    }
}

/// Returns each value as a share of the sum. All shares are 0 if the sum is 0.
fn shares(values: &[f64]) -> Vec<f64> {
    let total: f64 = values.iter().sum();
    values.iter().map(|value| if total > 0.0 { value / total } else { 0.0 }).collect()
}
