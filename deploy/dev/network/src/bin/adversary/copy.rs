//! Copying what others are about to send. That takes submissions that can be read before claims are closed: sealed ones
//! cannot.

use crate::strategy::sent;
use base::Window;
use bytes::Bytes;
use codec::submission::Submission;
use miner::{MinerError, PreparedUpdate};
use node::Node;
use std::collections::BTreeMap;
use telemetry::target;

/// Another miner's update, under the own name.
pub(crate) async fn one(node: &Node, window: Window) -> Result<PreparedUpdate, MinerError> {
    mean(node, window, 1).await
}

/// The mean of two others' updates, which is none of them.
pub(crate) async fn mixture(node: &Node, window: Window) -> Result<PreparedUpdate, MinerError> {
    mean(node, window, 2).await
}

async fn mean(node: &Node, window: Window, count: usize) -> Result<PreparedUpdate, MinerError> {
    let found = look_around(node, window, count).await?;
    if found.len() < count {
        return Err(MinerError::NothingToSend(window));
    }
    let mut values = vec![0.0; node.run.flat.len()];
    for submission in found.iter().take(count) {
        add(node, submission, 1.0 / count as f32, &mut values)?;
    }
    sent(node, window, node.state(), &values)
}

/// Reads what others have claimed for the window, with every block, until so many could be read or claims are about to close.
async fn look_around(
    node: &Node,
    window: Window,
    count: usize,
) -> Result<Vec<Submission<Bytes>>, MinerError> {
    let closes = node.run.clock.heights(window).map_err(node::NodeError::from)?.claims_close;
    loop {
        let height = node.height();
        let state = node.ask(async || node.chain_reader.at(height).await).await?;
        let claims = state.claims(node.run.id, window);
        let mut found = BTreeMap::new();
        for (miner, claim) in claims.iter().filter(|(miner, _)| **miner != node.id) {
            let expected = node.run.expected(*miner, window, node.state());
            match Box::pin(node.fetcher.submission(&state, claim, &expected, &node.run.layout)).await {
                Ok(submission) => drop(found.insert(*miner, submission)),
                Err(error) => tracing::debug!(target: target::TRAIN, %window, %error, "cannot be copied"),
            }
        }
        let (claimed, readable) = (claims.len(), found.len());
        if found.len() >= count || height.next() >= closes {
            tracing::info!(target: target::TRAIN, %window, claimed, readable, "looked for something to copy");
            return Ok(found.into_values().collect());
        }
        node.wait_for(height.next()).await?;
    }
}

/// Adds what was sent, scaled, to the values of the whole model.
fn add(
    node: &Node,
    submission: &Submission<Bytes>,
    share: f32,
    values: &mut [f32],
) -> Result<(), MinerError> {
    let tensors = node.run.layout.tensors().iter().zip(node.run.flat.iter());
    for (number, (tensor, (_, place))) in tensors.enumerate() {
        let (sent, values) = (submission.tensor(number)?, &mut values[place]);
        sent.for_each(tensor.geometry(), |at, value| values[at] += share * value);
    }
    Ok(())
}
