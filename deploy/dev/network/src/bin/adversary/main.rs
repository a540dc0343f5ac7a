//! A dishonest miner. It differs from the real miner in the updates that it makes, the time of its
//! claims, and whether it publishes its keys.
#![recursion_limit = "256"] // The futures of a request to a bucket are nested deeply.

mod copy;
mod strategy;

use base::Exit;
use clap::Parser;
use devnet::roster::Kind;
use miner::folder;
use node::{Config, ConfigFlags, NodeRole};
use std::{fmt::Display, process::ExitCode};
use strategy::Adversary;
use telemetry::Shutdown;

/// Mine dishonestly on a development network, to test that it does not pay.
#[derive(Parser)]
#[command(name = "adversary", version, after_help = base::EXIT_CODES)]
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
    let Program { kind, flags } = Program::parse();
    run(kind, &flags).into()
}

fn run(kind: Kind, flags: &ConfigFlags) -> Exit {
    let config = match Config::load(NodeRole::Miner, flags) {
        Ok(config) => config,
        Err(error) => return fail(Exit::Usage, error),
    };
    if let Err(error) = config.log.start() {
        return fail(Exit::Usage, error);
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(mine(kind, config)),
        Err(error) => fail(Exit::Failed, error),
    }
}

async fn mine(kind: Kind, config: Config) -> Exit {
    let shutdown = Shutdown::default();
    if let Err(error) = shutdown.on_signals() {
        return fail(Exit::Failed, error);
    }
    let open = async |node: &node::Node, kept| Adversary::resume(kind, node, folder(node), kept).await;
    miner::run(config, shutdown, open).await
}

fn fail(exit: Exit, error: impl Display) -> Exit {
    eprintln!("adversary: {error}");
    exit
}
