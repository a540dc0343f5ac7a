//! Checks whether a run fits the subnet in its present state.

use crate::{NodeError, Run};
use base::{Hotkey, digest::RunId};
use chain::Client;
use exchange::BlockState;
use protocol::{
    announcement::Record,
    run_spec::{LiveProblem, LiveSubnet},
};

/// Reads the facts about the run's subnet that the run must fit, in a state of the chain.
pub(crate) async fn read(
    client: &Client,
    hotkey: &Hotkey,
    state: &BlockState,
    run: &Run,
) -> Result<LiveSubnet, NodeError> {
    let at = client.at(state.hash);
    let netuid = run.spec.network.netuid;
    let rules = at.hyperparameters(netuid).await?;
    Ok(LiveSubnet {
        genesis: client.genesis(),
        netuid,
        height: state.height,
        tempo: rules.tempo,
        commitment_space: at.commitment_space(netuid, hotkey).await?.granted,
        version_key: rules.weights_version,
        permits: state.permitted().len(),
        runs: runs(state, run),
    })
}

/// Returns the runs that votes name, with the stake behind each. A vote that was set before this run
/// began is of an earlier run, and says nothing against this one.
fn runs(state: &BlockState, run: &Run) -> Vec<(RunId, u64)> {
    let votes = state.snapshot.participants().filter_map(|participant| {
        let (set, record) = participant.record.as_ref()?;
        let neuron = &participant.neuron;
        match record {
            Record::Vote(vote) if neuron.permit && *set >= run.spec.network.start_block => {
                Some((vote.run, u64::from(neuron.stake)))
            }
            _ => None,
        }
    });
    votes.filter(|(_, stake)| *stake > 0).collect()
}

/// Refuses a run that does not fit. A run that is over is accepted, since a late validator may still have
/// to set weights.
pub(crate) fn check(run: &Run, live: &LiveSubnet) -> Result<(), NodeError> {
    let mut problems = run.spec.problems(live);
    problems.retain(|problem| match problem {
        LiveProblem::Over { .. } => {
            tracing::warn!(target: telemetry::target::NODE, "{problem}");
            false
        }
        _ => true,
    });
    if problems.is_empty() { Ok(()) } else { Err(NodeError::Live(problems)) }
}
