//! [`NeuronId`], the name of a neuron that stays valid when its uid is reassigned.

use crate::{
    Height, Hotkey,
    wire::{Reader, WireError, Writer},
};
use std::fmt;

/// A registration on a subnet: the hotkey, and the block in which it was registered.
///
/// The chain reassigns uids, and a hotkey that lost its uid may register again. So only hotkey and
/// block together name one participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeuronId {
    /// The account that the neuron acts with.
    pub hotkey: Hotkey,
    /// The block of its registration (`BlockAtRegistration`).
    pub registered: Height,
}

impl NeuronId {
    /// Number of bytes in every format.
    pub const BYTES: usize = 32 + 8;

    /// Appends hotkey and block.
    pub fn write(&self, to: &mut Writer) {
        to.raw(self.hotkey.as_bytes()).u64(self.registered.0);
    }

    /// Reads hotkey and block.
    ///
    /// # Errors
    /// The input ends within them.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let hotkey = Hotkey(from.array("the hotkey")?);
        Ok(Self { hotkey, registered: Height(from.u64("the block at registration")?) })
    }
}

impl fmt::Display for NeuronId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (registered in block {})", self.hotkey, self.registered)
    }
}
