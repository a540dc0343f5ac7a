//! The messages between the miner's state machine and its driver.

use base::{Height, Window};

/// The result of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinerEvent<U> {
    /// Time has passed.
    Height,
    /// The shared state at the start of a window is known: after the start, a decision or a resync.
    State {
        /// The window.
        window: Window,
        /// The upload for this window in the journal, made before a restart.
        kept: Option<U>,
    },
    /// The training of this window runs in the background.
    Training(Window),
    /// The training has ended with a result.
    Trained,
    /// The upload is made, and is in the journal.
    Prepared(U),
    /// The downloads of the window run in the background.
    Prefetching,
    /// The training or the upload was not made: it was too late, or this miner has no data in the window.
    GaveUp,
    /// The upload is in the bucket.
    Uploaded,
    /// The claim is in a block.
    Claimed,
    /// The key is in the bucket.
    Revealed,
    /// The decision is known, and its accepted objects are there.
    Decided,
    /// The upload, the claim or the publication of the key failed. A later attempt may succeed.
    Failed,
    /// The shared state is lost: the stake majority names another one, or the next one cannot be made.
    Lost,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinerAction<U> {
    /// Wait until this block is final, then report [`MinerEvent::Height`].
    Wait(Height),
    /// Begin to download the candidates' submissions in the background, as claims stand, until block `until`
    /// is final. Training has priority.
    Prefetch {
        /// The window.
        window: Window,
        /// The block with which the download ends.
        until: Height,
    },
    /// Begin to train in the background when block `from` is final, from the shared state.
    Train {
        /// The window.
        window: Window,
        /// The block from which on the window's data is known or may be used.
        from: Height,
    },
    /// Wait until the training has ended. Interrupt it and give up when block `before` is final.
    Await {
        /// The window that is trained.
        window: Window,
        /// The block from which on it is too late.
        before: Height,
    },
    /// Compress the result of the training, and write the upload to the journal. Give up when block `before`
    /// is final.
    Compress {
        /// The window.
        window: Window,
        /// The block from which on it is too late.
        before: Height,
    },
    /// Put the submission into the bucket. Give up when block `before` is final.
    Upload {
        /// The window.
        window: Window,
        /// The upload.
        upload: U,
        /// The block from which on it is too late.
        before: Height,
    },
    /// Claim the submission. The result is known when the claim's block is final, some blocks later. The
    /// miner has nothing else to do until block `before` is final.
    Claim {
        /// The window.
        window: Window,
        /// The upload.
        upload: U,
        /// The block with which the window is decided.
        before: Height,
    },
    /// Publish the key of the submission. Give up when block `before` is final.
    Reveal {
        /// The window.
        window: Window,
        /// The upload.
        upload: U,
        /// The block with which the window is decided.
        before: Height,
    },
    /// Wait for the decision on the window, and download its accepted objects. Give up on an object that
    /// cannot be downloaded when block `until` is final: then a later checkpoint is better.
    Decide {
        /// The window.
        window: Window,
        /// This miner's upload for the window, if it made one.
        upload: Option<U>,
        /// The block from which on it is useless to wait for an object.
        until: Height,
    },
    /// Apply the decision. No training runs, so the model is free.
    Apply {
        /// The window.
        window: Window,
    },
    /// Get the shared state from other nodes. A training that still runs is of no use: interrupt it.
    Resync,
    /// The run has ended.
    Finish,
}
