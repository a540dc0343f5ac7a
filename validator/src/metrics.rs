//! What a validator counts.

use telemetry::{Counter, Family, Gauge, Histogram};

telemetry::metrics! {
    /// Numbers about votes, evaluations and weights.
    pub struct ValidatorMetrics("muster_validator") {
        /// Claims that were followed up.
        pub claims: Counter,
        /// Votes that are on chain.
        pub votes: Counter,
        /// Submissions that were evaluated.
        pub evaluations: Counter,
        /// Submissions that failed, by what was wrong.
        pub faults: Family<Counter> = Family::new("fault", 16),
        /// Miners that were cut from a window.
        pub cut: Counter,
        /// Score logs that were closed.
        pub logs: Counter,
        /// How often weights were set.
        pub weights: Counter,
        /// The loss on held-out data, in nats per token.
        pub held_out_loss: Gauge,
        /// Seconds that fetching and checking the submissions of a window took.
        pub fetch_seconds: Histogram,
        /// Seconds that the evaluations of a window took.
        pub evaluate_seconds: Histogram,
    }
}
