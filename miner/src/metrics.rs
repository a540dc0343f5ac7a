//! What a miner counts.

use telemetry::{Counter, Gauge, Histogram};

telemetry::metrics! {
    /// Numbers about training and what comes of it.
    pub struct MinerMetrics("muster_miner") {
        /// Tokens that were trained on.
        pub tokens: Counter,
        /// The mean training loss of the last window, nats per token.
        pub loss: Gauge,
        /// Seconds that the inner steps of a window took.
        pub train_seconds: Histogram,
        /// Seconds that compressing and encoding took.
        pub compress_seconds: Histogram,
        /// Seconds that an upload took.
        pub upload_seconds: Histogram,
        /// The size of the last submission, bytes.
        pub submission_bytes: Gauge,
        /// Claims that are on the chain.
        pub claims: Counter,
        /// Submissions that were accepted.
        pub accepted: Counter,
        /// Windows in which nothing was sent.
        pub skipped: Counter,
        /// Uploads and claims that did not succeed and were tried again.
        pub failures: Counter,
    }
}
