//! `miner run` and `miner config`.

use base::Exit;
use cli::{Answer, Failure, Job};
use miner::{SparseLoCo, folder};
use node::{Config, ConfigFlags, NodeRole, Settings, environment};
use telemetry::Shutdown;

/// Number of threads for everything but the model, which has its own.
const THREADS: usize = 2;

/// Commands about the configuration.
#[derive(clap::Subcommand)]
pub(crate) enum Configuration {
    /// Print every setting, its value, and where that came from: flag, environment, file or default.
    Show(ConfigFlags),
}

impl Configuration {
    /// Returns the command's job.
    pub(crate) fn job(self) -> Result<Job, Failure> {
        let Self::Show(flags) = self;
        let settings = environment().and_then(|ours| Settings::resolve(NodeRole::Miner, &flags, &ours));
        Ok(Job::answer(settings.map_err(Failure::usage)?.show()))
    }
}

/// Returns the job of mining. It ends with the run, with a signal, or with an error that only the
/// operator can mend.
pub(crate) fn job(flags: &ConfigFlags) -> Result<Job, Failure> {
    let config = Config::load(NodeRole::Miner, flags).map_err(Failure::usage)?;
    let logs = config.log.clone();
    let job = Job::service(async move |shutdown: Shutdown| mine(config, shutdown).await);
    Ok(job.with_logs(logs).on_threads(Some(THREADS)))
}

async fn mine(config: Config, shutdown: Shutdown) -> Result<Answer, Failure> {
    let open = async |node: &node::Node, kept| SparseLoCo::resume(node, folder(node), kept).await;
    match miner::run(config, shutdown, open).await {
        Ok(()) => Ok(Exit::Good.into()),
        Err(error) => Err(Failure::new(error.exit(), error)),
    }
}
