//! The trial steps that the screen made, until the evaluation uses them.

use base::NeuronId;
use engine::SparseStep;
use std::{collections::BTreeMap, sync::Arc};

/// The trial steps of some miners, and the bytes that they take.
#[derive(Debug, Default)]
pub(super) struct KeptSteps {
    steps: BTreeMap<NeuronId, Arc<SparseStep>>,
    bytes: usize,
}

impl KeptSteps {
    /// Keeps a miner's step, unless all kept steps would then take more than `most` bytes.
    pub(super) fn keep(&mut self, miner: NeuronId, step: &Arc<SparseStep>, most: usize) {
        self.take(&miner);
        if self.bytes + step.bytes() <= most {
            self.bytes += step.bytes();
            self.steps.insert(miner, Arc::clone(step));
        }
    }

    /// Removes and returns the step of a miner.
    pub(super) fn take(&mut self, miner: &NeuronId) -> Option<Arc<SparseStep>> {
        let step = self.steps.remove(miner)?;
        self.bytes -= step.bytes();
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Height, Hotkey};

    #[test]
    fn steps_are_kept_up_to_the_bound_and_taken_once() {
        let miners = [1, 2, 3].map(|name| NeuronId { hotkey: Hotkey([name; 32]), registered: Height(1) });
        let step = |change| Arc::new(SparseStep::new(&[1, 2], vec![change; 2]).unwrap());
        let mut kept = KeptSteps::default();
        let most = 2 * step(1.0).bytes();
        for (miner, change) in miners.iter().zip([1.0, 2.0, 3.0]) {
            kept.keep(*miner, &step(change), most);
        }
        kept.keep(miners[0], &step(4.0), most);
        assert_eq!(kept.take(&miners[0]), Some(step(4.0)), "the newer step takes the place of the older");
        assert_eq!((kept.take(&miners[0]), kept.take(&miners[2])), (None, None));
        kept.keep(miners[2], &step(3.0), most);
        assert_eq!((kept.take(&miners[2]), kept.take(&miners[1])), (Some(step(3.0)), Some(step(2.0))));
        assert_eq!(kept.bytes, 0);
    }
}
