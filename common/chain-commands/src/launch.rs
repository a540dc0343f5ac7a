//! The command `launch`: fills in a run file, so that the run can begin.

use crate::{ChainFlags, CommandError, FlagError, flags::FileProblem};
use base::{Height, Hotkey};
use chain::Metagraph;
use clap::Args;
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
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Begin window 0 at this block; leave all nodes enough time to get ready.
    #[arg(long, value_name = "BLOCK")]
    start_block: Height,
    /// Name the hotkey of a validator that begins the run, once for each; they count before they vote.
    #[arg(long = "founder", value_name = "SS58")]
    founders: Vec<Hotkey>,
    /// Write the completed run file here, to be used by all nodes; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Launch {
    pub(crate) async fn run(self) -> Result<String, CommandError> {
        if self.founders.is_empty() {
            return Err(FlagError::NoFounder.into());
        }
        let text = String::from_utf8(read(&self.file)?).map_err(about(&self.file))?;
        let mut run = RunFile::parse(&text).map_err(about(&self.file))?;
        let manifest = Manifest::read(&read(&self.manifest)?).map_err(about(&self.manifest))?;
        let client = self.chain.connect().await?;
        let head = client.finalized().await?;
        if self.start_block <= head.height {
            return Err(FlagError::StartBlock { start: self.start_block, head: head.height }.into());
        }
        let metagraph = client.at(head.hash).metagraph(self.chain.netuid).await?;
        self.warn_about_founders(&metagraph);
        run.network.netuid = self.chain.netuid;
        let spec = run
            .launch(client.genesis(), self.start_block, manifest.tokenizer, manifest.hash(), &self.founders)
            .map_err(about(&self.file))?;
        write(&self.out, &spec)?;
        Ok(format!(
            "run {} ({}) begins with block {}: {}",
            spec.name,
            spec.id(),
            self.start_block,
            self.out.display()
        ))
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
