//! The command `launch`: fills in a run file, so that the run can begin.

mod check;

use crate::{ChainFlags, CommandError, FlagError, flags::FileProblem};
use base::{Exit, Height, Hotkey};
use chain::Metagraph;
use check::{Findings, Subnet};
use clap::Args;
use cli::Answer;
use protocol::{
    dataset::Manifest,
    run_spec::{RunFile, RunSpec},
};
use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

/// Maximum number of bytes of a run file or a dataset's manifest.
const MOST: u64 = 256 << 20;

/// Flags of `launch`.
#[derive(Debug, Args)]
pub struct Launch {
    #[command(flatten)]
    chain: ChainFlags,
    /// Fill in this run file, one of deploy/runs.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Use the dataset of this manifest, in the folder that `miner data prepare` created.
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    manifest: Option<PathBuf>,
    /// Begin window 0 at this block; leave all nodes enough time to get ready.
    #[arg(long, value_name = "BLOCK", required_unless_present = "check")]
    start_block: Option<Height>,
    /// Name the hotkey of a validator that begins the run, once for each; they count before they vote.
    #[arg(long = "founder", value_name = "SS58")]
    founders: Vec<Hotkey>,
    /// Write the completed run file here, to be used by all nodes; it must not exist.
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Only compare the subnet's settings with those that the run needs. Write nothing.
    #[arg(long, conflicts_with_all = ["manifest", "start_block", "out"])]
    check: bool,
    /// Print the answer of `--check` as JSON.
    #[arg(long, requires = "check")]
    json: bool,
}

impl Launch {
    pub(crate) async fn run(self) -> Result<Answer, CommandError> {
        let text = String::from_utf8(read(&self.file)?).map_err(about(&self.file))?;
        let run = RunFile::parse(&text).map_err(about(&self.file))?;
        match (&self.manifest, self.start_block, &self.out) {
            (Some(manifest), Some(start), Some(out)) => {
                self.launch(run, manifest, start, out).await.map(Answer::from)
            }
            _ => self.compare(&run).await,
        }
    }

    /// Completes the run file.
    async fn launch(
        &self,
        mut run: RunFile,
        manifest: &Path,
        start: Height,
        out: &Path,
    ) -> Result<String, CommandError> {
        if self.founders.is_empty() {
            return Err(FlagError::NoFounder.into());
        }
        let manifest = Manifest::read(&read(manifest)?).map_err(about(manifest))?;
        let client = self.chain.connect().await?;
        let head = client.finalized().await?;
        if start <= head.height {
            return Err(FlagError::StartBlock { start, head: head.height }.into());
        }
        let at = client.at(head.hash);
        let metagraph = at.metagraph(self.chain.netuid).await?;
        self.warn_about_founders(&metagraph);
        let required = at.hyperparameters(self.chain.netuid).await?.weights_version;
        run.network.netuid = self.chain.netuid;
        run.network.version_key = run.network.version_key.max(required);
        let spec = run
            .launch(client.genesis(), start, manifest.tokenizer, manifest.hash(), &self.founders)
            .map_err(about(&self.file))?;
        write(out, &spec)?;
        Ok(format!("run {} ({}) begins with block {start}: {}", spec.name, spec.id(), out.display()))
    }

    /// Compares the subnet with the run file. The exit code tells whether the run can be run there.
    async fn compare(&self, run: &RunFile) -> Result<Answer, CommandError> {
        let netuid = self.chain.netuid;
        let client = self.chain.connect().await?;
        let head = client.finalized().await?;
        let best = client.best().await?.height;
        let at = client.at(head.hash).of(run.network.mechanism);
        let metagraph = at.metagraph(netuid).await?;
        let some_hotkey = self.founders.first().unwrap_or(&metagraph.owner_hotkey);
        let commitment_space = at.commitment_space(netuid, some_hotkey).await?.granted;
        let rules = at.hyperparameters(netuid).await?;
        let (schedule, reveal_period) = at.reveal_schedule(netuid).await?;
        let lag = best.0.saturating_sub(head.height.0);
        let subnet = Subnet { metagraph, rules, schedule, reveal_period, commitment_space, lag };
        let findings = Findings::of(run, &self.founders, &subnet);
        let text = if self.json { findings.as_json() } else { findings.to_string() };
        Ok(Answer::new(text, if findings.failed() == 0 { Exit::Good } else { Exit::Failed }))
    }

    /// Warns about founders that do not count as the subnet is now.
    fn warn_about_founders(&self, metagraph: &Metagraph) {
        let counts = |founder: &Hotkey| metagraph.by_hotkey(founder).is_some_and(|neuron| neuron.permit);
        for founder in self.founders.iter().filter(|founder| !counts(founder)) {
            let netuid = self.chain.netuid;
            tracing::warn!(target: "chain", %founder, %netuid, "the founder holds no permit on the subnet now; it counts while it holds one");
        }
    }
}

/// Returns a function that makes an error about this file.
fn about<E: Into<FileProblem>>(path: &Path) -> impl FnOnce(E) -> FlagError {
    |error| FlagError::File { path: path.to_owned(), source: error.into() }
}

fn read(path: &Path) -> Result<Vec<u8>, FlagError> {
    let mut bytes = Vec::new();
    let opened = fs::File::open(path);
    opened.and_then(|file| file.take(MOST).read_to_end(&mut bytes)).map_err(about(path))?;
    Ok(bytes)
}

fn write(path: &Path, spec: &RunSpec) -> Result<(), FlagError> {
    let text = RunFile::from(spec).to_toml().map_err(about(path))?;
    let out = OpenOptions::new().write(true).create_new(true).open(path);
    out.and_then(|mut out| out.write_all(text.as_bytes())).map_err(about(path))
}
