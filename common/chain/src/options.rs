//! How the client connects and how patient it is.

use std::time::Duration;

use base::BlockHash;

use crate::error::ConnectError;

/// Where the chain is and how long to wait for it. Only the endpoints have no default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// WebSocket URLs of nodes of one chain, `ws://` or `wss://`, in order of preference. When one is lost, the next is
    /// tried.
    pub endpoints: Vec<String>,
    /// The chain's genesis hash. A node of another chain is refused. Without it, the first node decides.
    pub genesis: Option<BlockHash>,
    /// Time between two blocks: 12 s on Bittensor.
    pub block_time: Duration,
    /// After so many block times without a finalized block the connection counts as stalled, and the next endpoint is
    /// tried.
    pub stall_blocks: u32,
    /// How long one attempt to connect may take, handshake and genesis check included.
    pub connect_timeout: Duration,
    /// How long a node may take to answer one request.
    pub request_timeout: Duration,
    /// How long a request waits for a lost connection to come back before it fails.
    pub patience: Duration,
    /// The first pause between two attempts to reconnect; it doubles each time.
    pub first_pause: Duration,
    /// The longest pause between two attempts to reconnect.
    pub longest_pause: Duration,
    /// For how many blocks a transaction stays valid: 4 to 2048. The chain knows powers of two only; others are rounded
    /// up.
    pub era: u64,
    /// How long to wait until a transaction is finalized.
    pub transaction_timeout: Duration,
}

impl Options {
    /// The defaults, for these endpoints: Bittensor's block time, patience of a minute, transactions valid for 64 blocks.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            genesis: None,
            block_time: Duration::from_secs(12),
            stall_blocks: 10,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            patience: Duration::from_secs(60),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            era: 64,
            transaction_timeout: Duration::from_secs(15 * 60),
        }
    }

    /// Refuses options with which a client could not work: the error names the field.
    pub fn check(&self) -> Result<(), ConnectError> {
        const SHORTEST: Duration = Duration::from_millis(1);
        const DEMAND: &str = "must be at least a millisecond";
        let durations = [
            ("block_time", self.block_time),
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("patience", self.patience),
            ("first_pause", self.first_pause),
            ("transaction_timeout", self.transaction_timeout),
        ];
        if let Some((field, _)) = durations.into_iter().find(|(_, duration)| *duration < SHORTEST) {
            return Err(ConnectError::Options { field, demand: DEMAND });
        }
        let demands = [
            (self.longest_pause >= self.first_pause, "longest_pause", "must not be below first_pause"),
            (self.stall_blocks > 0, "stall_blocks", "must be at least 1"),
            (self.endpoints.iter().all(|url| !url.is_empty()), "endpoints", "must not hold an empty address"),
        ];
        match demands.into_iter().find(|(is_met, ..)| !is_met) {
            Some((_, field, demand)) => Err(ConnectError::Options { field, demand }),
            None if self.endpoints.is_empty() => Err(ConnectError::NoEndpoints),
            None => Ok(()),
        }
    }

    /// For how many blocks a transaction stays valid, as the chain can say it.
    ///
    /// Above 4096 the chain rounds its first block too; it remembers 2400 blocks (`System.BlockHashCount`).
    pub(crate) fn valid_era(&self) -> u64 {
        self.era.clamp(4, 2048).next_power_of_two()
    }

    /// How long to wait for the next finalized block.
    pub(crate) fn stall_after(&self) -> Duration {
        self.block_time.saturating_mul(self.stall_blocks.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_named() {
        let good = Options::new(["ws://127.0.0.1:9944"]);
        assert!(good.check().is_ok());
        let zero = Duration::ZERO;
        let cases = [
            ("block_time", Options { block_time: zero, ..good.clone() }),
            ("connect_timeout", Options { connect_timeout: zero, ..good.clone() }),
            ("request_timeout", Options { request_timeout: zero, ..good.clone() }),
            ("patience", Options { patience: zero, ..good.clone() }),
            ("first_pause", Options { first_pause: zero, ..good.clone() }),
            ("longest_pause", Options { longest_pause: zero, ..good.clone() }),
            ("transaction_timeout", Options { transaction_timeout: zero, ..good.clone() }),
            ("stall_blocks", Options { stall_blocks: 0, ..good.clone() }),
            ("endpoints", Options { endpoints: vec![String::new()], ..good.clone() }),
        ];
        for (name, options) in cases {
            let error = options.check().unwrap_err();
            assert!(matches!(error, ConnectError::Options { field, .. } if field == name), "{name}: {error}");
        }
        let none = Options { endpoints: Vec::new(), ..good };
        assert!(matches!(none.check(), Err(ConnectError::NoEndpoints)));
    }

    #[test]
    fn an_era_is_one_that_the_chain_knows() {
        let valid = |era| Options { era, ..Options::new(["ws://127.0.0.1:9944"]) }.valid_era();
        assert_eq!([0, 4, 5, 64, 100, 2048, u64::MAX].map(valid), [4, 4, 8, 64, 128, 2048, 2048]);
    }
}
