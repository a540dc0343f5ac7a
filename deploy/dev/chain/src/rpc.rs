//! The JSON-RPC methods, by namespace, with the names and errors of a Substrate node.
//!
//! It has the methods that subxt's legacy backend, `@polkadot/api` and Bittensor's SDK call. It lacks
//! those of the newer specification (`chainHead_v1_*`, `archive_v1_*`, `transaction_v1_*`); clients
//! that do not find them use the older ones. Substrate documents the parameters and answers. The
//! `dev_*` methods are documented in [`dev`].

mod author;
mod chain;
pub(crate) mod dev;
mod error;
mod payment;
mod state;
mod subscription;
mod system;

use jsonrpsee::{
    RpcModule,
    server::{Methods, RegisterMethodError},
};

use self::{
    author::AuthorApiServer, chain::ChainApiServer, dev::DevApiServer, payment::PaymentApiServer,
    state::StateApiServer, system::SystemApiServer,
};
use crate::handle::Handle;

/// Registers all methods of a chain.
pub(crate) fn methods(handle: &Handle) -> Result<Methods, RegisterMethodError> {
    let mut all = RpcModule::new(());
    all.merge(chain::Chain(handle.clone()).into_rpc())?;
    all.merge(state::State(handle.clone()).into_rpc())?;
    all.merge(system::System(handle.clone()).into_rpc())?;
    all.merge(author::Author(handle.clone()).into_rpc())?;
    all.merge(payment::Payment(handle.clone()).into_rpc())?;
    all.merge(dev::Dev(handle.clone()).into_rpc())?;

    let mut names: Vec<&str> = all.method_names().chain(["rpc_methods"]).collect();
    names.sort_unstable();
    let answer = serde_json::json!({ "methods": names });
    all.register_method("rpc_methods", move |_, _, _| answer.clone())?;
    Ok(all.into())
}
