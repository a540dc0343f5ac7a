//! The subnet as it is now, and whether a run fits it.

use crate::{NodeError, Run};
use base::{Hotkey, Netuid, digest::RunId};
use chain::{Block, Client};
use exchange::BlockState;
use protocol::{
    announcement::Record,
    run_spec::{LiveProblem, LiveSubnet},
};

/// Reads the subnet after a block, as far as a run must fit it. `netuid` is the one that was asked for.
pub(crate) async fn read(
    client: &Client,
    netuid: Netuid,
    hotkey: &Hotkey,
    block: &Block,
    state: &BlockState,
    run: &Run,
) -> Result<LiveSubnet, NodeError> {
    let at = client.at(block.hash);
    Ok(LiveSubnet {
        genesis: client.genesis(),
        netuid,
        height: block.height,
        tempo: at.hyperparameters(netuid).await?.tempo,
        commitment_space: at.commitment_space(netuid, hotkey).await?.granted,
        permits: state.permitted().len(),
        runs: runs(state, run),
    })
}

/// The runs that votes name, with the stake behind each. A vote that was set before this run began says nothing against
/// it: it is of a run before.
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

/// Refuses a run that does not fit. One that is over is no problem: who comes late may still have to set its weights.
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
