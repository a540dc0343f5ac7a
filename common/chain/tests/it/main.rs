//! The client against a development chain, through real sockets.

mod flow;
mod proxy;
mod reads;
mod reconnect;
mod refusals;
mod restart;
mod runtimes;
mod support;
mod transactions;
