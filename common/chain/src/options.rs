//! How the client connects and how patient it is.

use std::time::Duration;

use common::BlockHash;

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
    fn an_era_is_one_that_the_chain_knows() {
        let valid = |era| Options { era, ..Options::new(["ws://127.0.0.1:9944"]) }.valid_era();
        assert_eq!([0, 4, 5, 64, 100, 2048, u64::MAX].map(valid), [4, 4, 8, 64, 128, 2048, 2048]);
    }
}
