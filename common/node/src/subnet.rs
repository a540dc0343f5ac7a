//! Checks whether a run fits the subnet in its present state.

use crate::{NodeError, Run};
use base::{BlockHash, Hotkey, digest::RunId};
use chain::{Client, error::ReadError};
use exchange::BlockState;
use protocol::{
    announcement::Record,
    run_spec::{LiveProblem, LiveRules, LiveSubnet},
};
use std::sync::Arc;
use telemetry::{Component, target::NODE};

/// Reads the facts about the run's subnet that the run must fit, in a state of the chain.
pub(crate) async fn read(
    client: &Client,
    hotkey: &Hotkey,
    state: &BlockState,
    run: &Run,
) -> Result<LiveSubnet, NodeError> {
    Ok(LiveSubnet {
        genesis: client.genesis(),
        netuid: run.spec.network.netuid,
        height: state.height,
        rules: rules(client, hotkey, state.hash, run).await?,
        permits: state.permitted().len(),
        runs: runs(state, run),
    })
}

/// Reads the subnet's rules that the run depends on.
async fn rules(
    client: &Client,
    hotkey: &Hotkey,
    block: BlockHash,
    run: &Run,
) -> Result<LiveRules, ReadError> {
    let at = client.at(block);
    let netuid = run.spec.network.netuid;
    let rules = at.hyperparameters(netuid).await?;
    Ok(LiveRules {
        tempo: rules.tempo,
        commitment_space: at.commitment_space(netuid, hotkey).await?.granted,
        version_key: rules.weights_version,
    })
}

/// Looks once a window whether the subnet's rules still fit the run: its owner may change them.
#[derive(Debug)]
pub(crate) struct RulesWatch {
    pub(crate) client: Client,
    pub(crate) hotkey: Hotkey,
    pub(crate) run: Arc<Run>,
    pub(crate) component: Component,
}

impl RulesWatch {
    /// Compares the rules after a block with the run, and says what does not fit any more.
    pub(crate) async fn check(self: Arc<Self>, block: BlockHash) {
        let rules = match rules(&self.client, &self.hotkey, block, &self.run).await {
            Ok(rules) => rules,
            Err(error) => {
                tracing::debug!(target: NODE, error = %base::ErrorChain(&error), "the subnet's rules are not known");
                return;
            }
        };
        let problems: Vec<String> =
            self.run.spec.rule_problems(&rules).iter().map(ToString::to_string).collect();
        for problem in &problems {
            tracing::error!(target: NODE, "the subnet's rules have changed: {problem}");
        }
        match problems.first() {
            None => self.component.ready(),
            Some(_) => self.component.degraded(problems.join("; ")),
        }
    }
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
            tracing::warn!(target: NODE, "{problem}");
            false
        }
        _ => true,
    });
    if problems.is_empty() { Ok(()) } else { Err(NodeError::Live(problems)) }
}
