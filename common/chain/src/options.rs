//! Options of the client: endpoints, pauses and time limits.

use std::time::Duration;

use base::BlockHash;

use crate::error::ConnectError;

/// The longest era of a transaction, in blocks. The chain forgets the hash of its first block after 2400.
const LONGEST_ERA: u64 = 2048;
/// The number of silent endpoints, one after the other, after which the client gives up.
const NEXT_ENDPOINTS: u32 = 3;

/// The endpoints of the chain, and the client's time limits. Only the endpoints have no default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// WebSocket URLs of nodes of one chain, `ws://` or `wss://`, in order of preference. If one connection
    /// is lost, the client tries the next endpoint. Reads of blocks are spread over all of them, and a node
    /// that is more than `stall_blocks` behind another one is left.
    pub endpoints: Vec<String>,
    /// WebSocket URLs of archive nodes of the same chain, such as `wss://archive.chain.opentensor.ai:443`.
    /// They are asked only for states that other nodes no longer have.
    pub archive: Vec<String>,
    /// The chain's genesis hash. A node of another chain is refused. If not set, the first node decides.
    pub genesis: Option<BlockHash>,
    /// Time between two blocks: 12 s on Bittensor.
    pub block_time: Duration,
    /// Block times without a new block after which the connection counts as stalled. The client then tries
    /// the next endpoint.
    pub stall_blocks: u32,
    /// Time limit for one attempt to connect, including the handshake and the genesis check.
    pub connect_timeout: Duration,
    /// Time limit for a node's answer to one request.
    pub request_timeout: Duration,
    /// Time limit for a read with all its attempts, and for a lost connection to come back.
    pub patience: Duration,
    /// The first pause between two attempts to reconnect; it doubles each time.
    pub first_pause: Duration,
    /// The longest pause between two attempts to reconnect.
    pub longest_pause: Duration,
    /// Blocks after the best block in which a transaction stays valid, at least: 4 to 2048. The lag of
    /// finality is added. The chain supports powers of two only; other values are rounded up.
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
            archive: Vec::new(),
            genesis: None,
            block_time: Duration::from_secs(12),
            stall_blocks: 5,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(20),
            patience: Duration::from_secs(60),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            era: 64,
            transaction_timeout: Duration::from_secs(60 * 60),
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
            (self.archive.iter().all(|url| !url.is_empty()), "archive", "must not hold an empty address"),
        ];
        match demands.into_iter().find(|(is_met, ..)| !is_met) {
            Some((_, field, demand)) => Err(ConnectError::Options { field, demand }),
            None if self.endpoints.is_empty() => Err(ConnectError::NoEndpoints),
            None => Ok(()),
        }
    }

    /// Returns the number of blocks for which a transaction stays valid, rounded up to a value that the chain
    /// supports. It counts from the finalized block, which is `lag` blocks behind the best block.
    ///
    /// The era cannot begin at the best block: if that block is dropped, the signature is wrong. An era that
    /// is as long as the lag would be over at once.
    ///
    /// Above 4096 blocks the chain would round the first block too. It remembers 2400 blocks
    /// (`System.BlockHashCount`).
    pub(crate) fn valid_era(&self, lag: u64) -> u64 {
        self.era.clamp(4, LONGEST_ERA).saturating_add(lag).min(LONGEST_ERA).next_power_of_two()
    }

    /// Returns the time to wait for the next block.
    pub(crate) fn stall_after(&self) -> Duration {
        self.block_time.saturating_mul(self.stall_blocks.max(1))
    }

    /// Returns the time without any sign of life after which the client gives up: streams of blocks, and
    /// calls that are followed, end with an error. It follows from the other options: the time until a
    /// session counts as stalled, one question whether the chain stands still, and the attempts to connect
    /// to three endpoints. It is 100 s by default.
    pub fn silence(&self) -> Duration {
        self.stall_after().saturating_add(self.connect_timeout.saturating_mul(1 + NEXT_ENDPOINTS))
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
        let valid = |era| Options { era, ..Options::new(["ws://127.0.0.1:9944"]) }.valid_era(0);
        assert_eq!([0, 4, 5, 64, 100, 2048, u64::MAX].map(valid), [4, 4, 8, 64, 128, 2048, 2048]);
    }

    #[test]
    fn an_era_outlives_the_lag_of_finality() {
        let options = Options::new(["ws://127.0.0.1:9944"]);
        let lags = [0, 1, 10, 63, 64, 70, 200];
        assert_eq!(lags.map(|lag| options.valid_era(lag)), [64, 128, 128, 128, 128, 256, 512]);
        for lag in lags {
            assert!(options.valid_era(lag) - lag >= options.era, "{lag}");
        }
    }

    /// Checks, for each phase in which a node can go silent, the time until the client leaves it or gives up.
    #[test]
    fn no_silence_lasts_120_seconds() {
        const MOST: Duration = Duration::from_secs(120);
        let options = Options::new(["wss://a", "wss://b", "wss://c"]);
        let endpoints = u32::try_from(options.endpoints.len()).unwrap();
        let connects = options.connect_timeout * endpoints;
        // A stalled session is left after one question, whose limit is that of a connect.
        let next = options.stall_after() + options.connect_timeout + options.first_pause;
        let phases = [
            ("all endpoints are silent at the first connect", connects.min(options.silence())),
            ("the node is silent after the first connect", options.silence()),
            ("a read", options.patience),
            ("the reads before a submission", options.patience),
            ("a submission, from the last answer on", options.silence()),
            ("blocks: the next endpoint", next + options.connect_timeout),
            ("blocks: no endpoint is left", options.silence()),
        ];
        for (phase, longest) in phases {
            assert!(longest < MOST, "{phase}: {longest:?}");
        }
        assert!(
            options.request_timeout < options.patience && next + options.connect_timeout < options.silence()
        );
    }
}
