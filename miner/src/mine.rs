//! `miner run` and `miner config`.

use base::Exit;
use miner::{SparseLoCo, folder};
use node::{Config, ConfigFlags, NodeRole, Settings, environment};
use std::fmt::Display;
use telemetry::Shutdown;

/// Threads for everything but the model, which has its own.
const THREADS: usize = 2;

/// Commands about the configuration.
#[derive(clap::Subcommand)]
pub(crate) enum Configuration {
    /// Print every setting, its value, and where that came from: flag, environment, file or default.
    Show(ConfigFlags),
}

impl Configuration {
    /// Runs the command.
    pub(crate) fn main(self) -> Exit {
        let Self::Show(flags) = self;
        let settings = environment().and_then(|ours| Settings::resolve(NodeRole::Miner, &flags, &ours));
        match settings {
            Ok(settings) => cli::say(&settings.show()),
            Err(error) => fail(Exit::Usage, error),
        }
    }
}

/// Mines until the run ends, a signal arrives, or an error occurs that only the operator can fix.
pub(crate) fn run(flags: &ConfigFlags) -> Exit {
    let config = match Config::load(NodeRole::Miner, flags) {
        Ok(config) => config,
        Err(error) => return fail(Exit::Usage, error),
    };
    if let Err(error) = config.log.start() {
        return fail(Exit::Usage, error);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(mine(config)),
        Err(error) => fail(Exit::Failed, format!("cannot start threads: {error}")),
    }
}

async fn mine(config: Config) -> Exit {
    let shutdown = Shutdown::default();
    if let Err(error) = shutdown.on_signals() {
        return fail(Exit::Failed, format!("cannot catch signals: {error}"));
    }
    let open = async |node: &node::Node, kept| SparseLoCo::resume(node, folder(node), kept).await;
    miner::run(config, shutdown, open).await
}

fn fail(exit: Exit, error: impl Display) -> Exit {
    eprintln!("miner: {error}");
    exit
}
