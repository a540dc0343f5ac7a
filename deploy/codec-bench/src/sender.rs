//! Creates the miners that sign the measured submissions.

use common::{
    Height, NeuronId, Window,
    digest::{RunHash, State},
    signature::SigningKey,
    submission::Expected,
};

/// Returns the key of a miner, and the requirements on its open submissions.
pub(crate) fn sender(miner: u8) -> anyhow::Result<(SigningKey, Expected)> {
    let secret = schnorrkel::MiniSecretKey::from_bytes(&[miner; 32]).map_err(anyhow::Error::msg)?;
    let secret = secret.expand(schnorrkel::ExpansionMode::Ed25519);
    let key = SigningKey::from_bytes(&secret.to_bytes())?;
    let expected = Expected {
        run: RunHash([1; 32]),
        spec: RunHash([1; 32]),
        neuron: NeuronId { hotkey: key.hotkey(), registered: Height(0) },
        window: Window(0),
        base: State([0; 32]),
        least_samples: 0,
        sealed: false,
    };
    Ok((key, expected))
}
