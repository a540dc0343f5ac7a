//! The audited run and the flags that name it.

use crate::{AuditError, audit::Auditor, progress::Progress};
use base::digest::{RunHash, RunId};
use chain_commands::ChainFlags;
use clap::Args;
use codec::submission;
use protocol::{announcement::AddressPolicy, clock::Clock, model, run_spec::RunSpec};
use std::{fs, num::NonZero, path::PathBuf, sync::Arc, thread};
use storage::Storage;

/// Flags that name a run.
#[derive(Debug, Args)]
pub struct RunFlags {
    #[command(flatten)]
    chain: ChainFlags,
    /// TOML file of the complete run spec.
    #[arg(long, value_name = "FILE", env = "MUSTER_RUN")]
    run: PathBuf,
    /// Allow buckets on this machine (for development networks).
    #[arg(long)]
    allow_loopback: bool,
}

/// A run, with the values that follow from its spec.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) spec: RunSpec,
    pub(crate) hash: RunHash,
    pub(crate) id: RunId,
    pub(crate) clock: Clock,
    /// The layout of submissions.
    pub(crate) layout: Arc<submission::SubmissionLayout>,
    /// The layout of the parameters.
    pub(crate) flat: model::ParameterLayout,
    /// Number of threads for hashes and outer steps.
    pub(crate) threads: usize,
}

impl Run {
    /// Creates the run of a complete spec.
    ///
    /// # Errors
    /// The spec is inconsistent.
    pub(crate) fn new(spec: RunSpec) -> Result<Self, AuditError> {
        let layout = submission::SubmissionLayout::new(&spec.model.tensors(), &spec.sparse)?;
        let clock = spec.clock().map_err(protocol::run_spec::RunSpecError::from)?;
        let hash = spec.hash();
        let id = spec.id();
        let flat = model::ParameterLayout::new(&spec.model);
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self { spec, hash, id, clock, layout: Arc::new(layout), flat, threads })
    }
}

impl RunFlags {
    /// Reads the run spec and connects to the run's chain.
    ///
    /// # Errors
    /// The run spec cannot be read, the chain cannot be reached, or it is not the run's.
    pub(crate) async fn open(&self, progress: Progress) -> Result<Auditor, AuditError> {
        let file = |source| AuditError::RunFile { path: self.run.clone(), source };
        let text = fs::read_to_string(&self.run).map_err(file)?;
        let spec = RunSpec::parse(&text)
            .map_err(|error| AuditError::Run { path: self.run.clone(), source: Box::new(error) })?;
        let run = Run::new(spec)?;
        let client = self.chain.connect().await?;
        let network = run.spec.network;
        if client.genesis() != network.genesis {
            return Err(AuditError::OtherChain { expected: network.genesis, found: client.genesis() });
        }
        if self.chain.netuid != network.netuid {
            return Err(AuditError::OtherSubnet { expected: network.netuid, found: self.chain.netuid });
        }
        let policy =
            if self.allow_loopback { AddressPolicy::PublicOrLoopback } else { AddressPolicy::Public };
        Ok(Auditor::new(run, client, Storage::new(policy), progress))
    }
}
