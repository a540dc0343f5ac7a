//! Copies the updates of other miners before claims close. This works only if submissions can be read
//! by then: sealed submissions cannot.

use crate::strategy::encode_update;
use base::Window;
use bytes::Bytes;
use codec::submission::Submission;
use miner::{MinerError, PreparedUpdate};
use node::Node;
use std::collections::BTreeMap;
use telemetry::target;

/// Prepares a copy of another miner's update under this miner's name.
pub(crate) async fn one(node: &Node, window: Window) -> Result<PreparedUpdate, MinerError> {
    mean(node, window, 1).await
}

/// Prepares the mean of two other miners' updates, which equals neither of them.
pub(crate) async fn mixture(node: &Node, window: Window) -> Result<PreparedUpdate, MinerError> {
    mean(node, window, 2).await
}

async fn mean(node: &Node, window: Window, count: usize) -> Result<PreparedUpdate, MinerError> {
    let found = find_submissions(node, window, count).await?;
    if found.len() < count {
        return Err(MinerError::NothingToSend(window));
    }
    let mut values = vec![0.0; node.shared.run().flat.len()];
    for submission in found.iter().take(count) {
        add(node, submission, 1.0 / count as f32, &mut values)?;
    }
    encode_update(node, window, node.shared.base(), &values)
}

/// Reads the submissions that other miners have claimed for the window. Tries again at each block,
/// until `count` submissions can be read or claims are about to close.
async fn find_submissions(
    node: &Node,
    window: Window,
    count: usize,
) -> Result<Vec<Submission<Bytes>>, MinerError> {
    let (network, run) = (&node.network, node.shared.run());
    let closes = run.clock.heights(window).map_err(node::NodeError::from)?.claims_close;
    loop {
        let height = network.height();
        let state = network.at(height).await?;
        let claims = state.claims(run.id, window);
        let mut found = BTreeMap::new();
        for (miner, claim) in claims.iter().filter(|(miner, _)| **miner != node.identity.neuron) {
            let expected = node.shared.expected(*miner);
            match Box::pin(network.fetcher.submission(&state, claim, &expected, &run.layout)).await {
                Ok(submission) => drop(found.insert(*miner, submission)),
                Err(error) => {
                    let why = base::ErrorChain(&error);
                    tracing::debug!(target: target::TRAIN, %window, error = %why, "cannot read the submission to copy")
                }
            }
        }
        let claimed = claims.len();
        let readable = found.len();
        if found.len() >= count || height.next() >= closes {
            tracing::info!(target: target::TRAIN, %window, claimed, readable, "searched for submissions to copy");
            return Ok(found.into_values().collect());
        }
        network.wait_for(height.next()).await?;
    }
}

/// Adds the decoded values of a submission, times `share`, to the values of the whole model.
fn add(
    node: &Node,
    submission: &Submission<Bytes>,
    share: f32,
    values: &mut [f32],
) -> Result<(), MinerError> {
    let run = node.shared.run();
    let tensors = run.layout.tensors().iter().zip(run.flat.iter());
    for (number, (tensor, (_, place))) in tensors.enumerate() {
        let sent = submission.tensor(number)?;
        let values = &mut values[place];
        sent.for_each(tensor.geometry(), |at, value| values[at] += share * value);
    }
    Ok(())
}
