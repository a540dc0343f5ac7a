//! The metrics of a miner.

use telemetry::{Counter, Gauge, Histogram};

telemetry::metrics! {
    /// Metrics about training and uploads.
    pub struct MinerMetrics("muster_miner") {
        /// Tokens trained on.
        pub tokens: Counter,
        /// The mean training loss of the last window, nats per token.
        pub loss: Gauge,
        /// Seconds for the inner steps of a window.
        pub train_seconds: Histogram,
        /// Seconds for compressing and encoding.
        pub compress_seconds: Histogram,
        /// Seconds for an upload.
        pub upload_seconds: Histogram,
        /// The size of the last submission, bytes.
        pub submission_bytes: Gauge,
        /// Claims that are on the chain.
        pub claims: Counter,
        /// Submissions that were accepted.
        pub accepted: Counter,
        /// Windows without a submission.
        pub skipped: Counter,
        /// Uploads and claims that failed and were tried again.
        pub failures: Counter,
    }
}
