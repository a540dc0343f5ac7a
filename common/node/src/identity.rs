//! The node's identity on the subnet: its keys, its neuron, and the two places where it publishes.

use crate::{Config, Network, NodeError, NodeRole};
use base::{Hotkey, Netuid, NeuronId, Uid, signature::SigningKey};
use chain::wallet::KeyPair;
use exchange::{BlockState, CommitmentWriter, OwnBucket};

/// A node's keys, its neuron, its bucket and its commitment.
#[derive(Debug)]
pub struct Identity {
    /// The hotkey, for signing transactions.
    pub hotkey: KeyPair,
    /// The hotkey, for signing objects.
    pub key: SigningKey,
    /// The neuron, as of the last decided window.
    pub neuron: NeuronId,
    /// Its uid, as of the last decided window.
    pub uid: Uid,
    /// The node's own bucket.
    pub own_bucket: OwnBucket,
    /// The writer of the node's own commitment.
    pub commitment_writer: CommitmentWriter,
    pub(crate) registration: Registration,
}

/// The registration of a hotkey on a subnet, to be looked up in a state of the chain.
#[derive(Clone, Debug)]
pub struct Registration {
    hotkey: Hotkey,
    netuid: Netuid,
    /// The hotkey's name in the wallet, and the program: the error for an unregistered hotkey names them.
    name: String,
    program: NodeRole,
}

impl Identity {
    /// Looks the neuron up again: uids change, and a hotkey can lose its uid.
    pub(crate) async fn refresh(&mut self, network: &Network) -> Result<(), NodeError> {
        let state = network.newest().await?;
        crate::open::hide_announced(&state);
        (self.neuron, self.uid) = self.registration.find(&state)?;
        Ok(())
    }
}

impl Registration {
    /// Creates the registration of a hotkey on the subnet of a network.
    #[must_use]
    pub fn new(hotkey: Hotkey, network: &Network, config: &Config) -> Self {
        let netuid = network.chain_reader.netuid();
        Self { hotkey, netuid, name: config.wallet.hotkey.clone(), program: config.role }
    }

    /// Returns the neuron and the uid of the hotkey.
    ///
    /// # Errors
    /// The hotkey is not registered: [`NodeError::NotRegistered`].
    pub fn find(&self, state: &BlockState) -> Result<(NeuronId, Uid), NodeError> {
        state.neuron(&self.hotkey).ok_or_else(|| self.missing())
    }

    /// Creates the error for a hotkey that is not registered.
    #[must_use]
    pub fn missing(&self) -> NodeError {
        let Self { hotkey, netuid, name, program } = self.clone();
        NodeError::NotRegistered { hotkey, netuid, program, name }
    }
}
