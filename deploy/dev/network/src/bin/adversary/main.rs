//! A dishonest miner. It differs from the real miner in the updates that it makes, the time of its
//! claims, and whether it publishes its keys.
#![recursion_limit = "256"] // The futures of the chain's client are nested deeply.

mod copy;
mod strategy;

use base::Exit;
use clap::Parser;
use cli::{Answer, Failure, Job};
use devnet::roster::Kind;
use miner::folder;
use node::{Config, ConfigFlags, NodeRole};
use std::process::ExitCode;
use strategy::Adversary;
use telemetry::Shutdown;

/// Mine dishonestly on a development network, to test that it does not pay.
#[derive(Parser)]
#[command(name = "adversary", version, after_help = cli::EXIT_CODES)]
struct Program {
    /// Act as this kind: noise, lazy, late, huge, stale, garbage, copycat, mixcopy or keyless.
    #[arg(value_name = "KIND", value_parser = kind)]
    kind: Kind,
    #[command(flatten)]
    flags: ConfigFlags,
}

fn kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|()| format!("must be one of {}", Kind::ALL.map(Kind::name).join(", ")))
}

fn main() -> ExitCode {
    cli::run_program(|program: Program, _| {
        let Program { kind, flags } = program;
        let config = Config::load(NodeRole::Miner, &flags).map_err(Failure::usage)?;
        let logs = config.log.clone();
        Ok(Job::service(async move |shutdown: Shutdown| mine(kind, config, shutdown).await).with_logs(logs))
    })
}

async fn mine(kind: Kind, config: Config, shutdown: Shutdown) -> Result<Answer, Failure> {
    let open = async |node: &node::Node, kept| Adversary::resume(kind, node, folder(node), kept).await;
    match miner::run(config, shutdown, open).await {
        Ok(()) => Ok(Exit::Good.into()),
        Err(error) => Err(Failure::new(error.exit(), error)),
    }
}
