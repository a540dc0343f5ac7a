//! The metrics of a validator.

use telemetry::{Counter, Family, Gauge, Histogram};

telemetry::metrics! {
    /// Metrics about votes, evaluations and weights.
    pub struct ValidatorMetrics("muster_validator") {
        /// Claims whose submissions were downloaded.
        pub claims: Counter,
        /// Votes that are on chain.
        pub votes: Counter,
        /// Submissions that were evaluated.
        pub evaluations: Counter,
        /// Submissions that failed, by fault.
        pub faults: Family<Counter> = Family::new("fault", 16),
        /// Miners that were skipped in a window.
        pub cut: Counter,
        /// Score logs that were closed.
        pub logs: Counter,
        /// Times that weights were set.
        pub weights: Counter,
        /// The loss on held-out data, in nats per token.
        pub held_out_loss: Gauge,
        /// Seconds for the download and the checks of a window's submissions.
        pub fetch_seconds: Histogram,
        /// Seconds for the evaluations of a window.
        pub evaluate_seconds: Histogram,
    }
}
