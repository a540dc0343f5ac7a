//! Options of the client: endpoints, pauses and time limits.

use std::time::Duration;

use base::BlockHash;

use crate::error::ConnectError;

/// The endpoints of the chain, and the client's time limits. Only the endpoints have no default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// WebSocket URLs of nodes of one chain, `ws://` or `wss://`, in order of preference. If one connection
    /// is lost, the client tries the next endpoint.
    pub endpoints: Vec<String>,
    /// The chain's genesis hash. A node of another chain is refused. If not set, the first node decides.
    pub genesis: Option<BlockHash>,
    /// Time between two blocks: 12 s on Bittensor.
    pub block_time: Duration,
    /// Block times without a finalized block after which the connection counts as stalled. The client then
    /// tries the next endpoint.
    pub stall_blocks: u32,
    /// Time limit for one attempt to connect, including the handshake and the genesis check.
    pub connect_timeout: Duration,
    /// Time limit for a node's answer to one request.
    pub request_timeout: Duration,
    /// Time that a request waits for a lost connection to come back before it fails.
    pub patience: Duration,
    /// The first pause between two attempts to reconnect; it doubles each time.
    pub first_pause: Duration,
    /// The longest pause between two attempts to reconnect.
    pub longest_pause: Duration,
    /// Blocks for which a transaction stays valid: 4 to 2048. The chain supports powers of two only; other
    /// values are rounded up.
    pub era: u64,
    /// Time limit for a transaction to be finalized.
    pub transaction_timeout: Duration,
}

impl Options {
    /// Creates the default options for these endpoints: Bittensor's block time, a patience of one minute, and
    /// transactions that are valid for 64 blocks.
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

    /// Checks that a client can work with these options. The error names the wrong field.
    pub fn check(&self) -> Result<(), ConnectError> {
        const SHORTEST: Duration = Duration::from_millis(1);
        const DEMAND: &str = "must be at least one millisecond";
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

    /// Returns the number of blocks for which a transaction stays valid, rounded up to a value that the chain
    /// supports.
    ///
    /// Above 4096 blocks the chain would round the first block too. It remembers 2400 blocks
    /// (`System.BlockHashCount`).
    pub(crate) fn valid_era(&self) -> u64 {
        self.era.clamp(4, 2048).next_power_of_two()
    }

    /// Returns the time to wait for the next finalized block.
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
