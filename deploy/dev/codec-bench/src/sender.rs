//! Creates the miners that sign the measured submissions.

use base::{
    Height, NeuronId, Window,
    digest::{RunHash, State},
    signature::SigningKey,
};
use codec::submission::Expected;

/// Returns the key of a miner, and the requirements on its open submissions.
pub(crate) fn sender(miner: u8) -> (SigningKey, Expected) {
    let key = SigningKey::from_seed(&[miner; 32]);
    let expected = Expected {
        run: RunHash([1; 32]),
        spec: RunHash([1; 32]),
        neuron: NeuronId { hotkey: key.hotkey(), registered: Height(0) },
        window: Window(0),
        base: State([0; 32]),
        least_samples: 0,
        sealed: false,
    };
    (key, expected)
}
