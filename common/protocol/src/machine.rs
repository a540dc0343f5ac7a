//! The state machines of the nodes: decide what a miner and a validator do at which height.
//!
//! They do no I/O and read no clock. A step takes an event and the latest finalized height, and returns the
//! next action. The programs' drivers carry the actions out, and a simulation can drive the same machines
//! in virtual time.
//!
//! Next: [`miner::MinerMachine`], [`validator::ValidatorMachine`].

pub mod miner;
pub mod validator;
