//! The known networks, by their genesis hash.

use std::fmt;

use base::BlockHash;

/// A public network of Bittensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The main network, `finney`: its TAO has a price.
    Main,
    /// The public test network.
    Test,
}

impl Network {
    const ALL: [Self; 2] = [Self::Main, Self::Test];

    /// Returns the network with this genesis hash. Returns `None` for others, such as development chains.
    #[must_use]
    pub fn of(genesis: BlockHash) -> Option<Self> {
        Self::ALL.into_iter().find(|network| network.genesis() == genesis)
    }

    /// Returns the hash of the network's first block. Source: the networks' own nodes, and the settings of
    /// Bittensor's SDK.
    #[must_use]
    pub fn genesis(self) -> BlockHash {
        BlockHash(match self {
            Self::Main => [
                0x2f, 0x05, 0x55, 0xcc, 0x76, 0xfc, 0x28, 0x40, 0xa2, 0x5a, 0x6e, 0xa3, 0xb9, 0x63, 0x71,
                0x46, 0x80, 0x6f, 0x1f, 0x44, 0xb0, 0x90, 0xc1, 0x75, 0xff, 0xde, 0x2a, 0x7e, 0x5a, 0xb3,
                0x6c, 0x03,
            ],
            Self::Test => [
                0x8f, 0x9c, 0xf8, 0x56, 0xbf, 0x55, 0x8a, 0x14, 0x44, 0x0e, 0x75, 0x56, 0x9c, 0x9e, 0x58,
                0x59, 0x47, 0x57, 0x04, 0x8d, 0x7b, 0x3a, 0x84, 0xb5, 0xd2, 0x5f, 0x6b, 0xd9, 0x78, 0x26,
                0x31, 0x05,
            ],
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Main => "Bittensor's main network (finney)",
            Self::Test => "Bittensor's test network",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_known_by_their_genesis() {
        let main: BlockHash =
            "0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03".parse().unwrap();
        let test: BlockHash =
            "0x8f9cf856bf558a14440e75569c9e58594757048d7b3a84b5d25f6bd978263105".parse().unwrap();
        assert_eq!([main, test].map(Network::of), [Some(Network::Main), Some(Network::Test)]);
        assert_eq!(Network::of(BlockHash([0; 32])), None);
    }
}
