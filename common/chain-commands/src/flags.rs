//! Flags that name a chain and a key.

use crate::{COLDKEY_PASSWORD, PasswordFlags, open_key};
use base::{BlockHash, Coldkey, Hotkey, Netuid};
use chain::{
    Client, Endpoint, Network, Options,
    wallet::{KeyPair, Wallet},
};
use clap::Args;
use protocol::{
    clock::{ClockError, WindowSpec},
    dataset::ManifestError,
    run_spec::RunSpecError,
};
use std::{io, path::PathBuf, string::FromUtf8Error, time::Duration};

/// An error in the flags.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// No folder of wallets.
    #[error("cannot find the folder of wallets, since HOME is not set: give --wallets PATH")]
    NoHome,
    /// No hotkey.
    #[error("no hotkey is named: give --hotkey NAME, or --hotkey-address ADDRESS where no secret is needed")]
    NoHotkey,
    /// An address that is not a WebSocket address.
    #[error("--{flag}: an address begins with ws:// or wss://, and `{shown}` does not")]
    Endpoint {
        /// The flag, without dashes.
        flag: &'static str,
        /// The part of the address that holds no secret.
        shown: String,
    },
    /// A time limit that is out of range.
    #[error("--timeout is {0}: give the seconds to wait for an answer, 0.1 to 3600")]
    Timeout(f64),
    /// An error in a file that a flag names.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: FileProblem,
    },
    /// A start block in the past.
    #[error("--start-block {start} is in the past: the chain is at block {head}, give a later block")]
    StartBlock {
        /// The given block.
        start: base::Height,
        /// The finalized block.
        head: base::Height,
    },
    /// A launch without founders.
    #[error(
        "--founder is missing: name the hotkey (SS58) of each validator that will run from the beginning; they count \
         from the first window on, so that no stranger with stake decides it alone"
    )]
    NoFounder,
    /// A time between blocks that is out of range.
    #[error("--block-time is {0}: give the seconds between two blocks, 0.001 to 3600")]
    BlockTime(f64),
}

/// The reason why a file that a flag names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// A file that cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file that is not UTF-8.
    #[error(transparent)]
    Text(#[from] FromUtf8Error),
    /// A file that is not a run file.
    #[error(transparent)]
    Run(Box<RunSpecError>),
    /// A run file whose deadlines leave too little time for finality or for the work.
    #[error("{problem}\nthese lines of [window] leave enough time:\n{}", proposed.toml_lines())]
    Deadlines {
        /// The broken rule.
        problem: ClockError,
        /// Lengths that obey the rules.
        proposed: WindowSpec,
    },
    /// A file that is not the manifest of a dataset.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl From<RunSpecError> for FileProblem {
    fn from(error: RunSpecError) -> Self {
        if let RunSpecError::Window(problem @ ClockError::Deadline { spec, .. }) = error
            && let Some(proposed) = spec.proposed()
        {
            return Self::Deadlines { problem, proposed };
        }
        Self::Run(Box::new(error))
    }
}

/// The flags of the chain and the subnet.
#[derive(Clone, Debug, Args)]
pub struct ChainFlags {
    /// Connect to this node of the chain (WebSocket URL); several are tried in turn, and share the reads.
    #[arg(
        long = "chain",
        value_name = "URL",
        env = "MUSTER_CHAIN",
        hide_env_values = true, // providers put keys into addresses
        value_delimiter = ',',
        default_value = "wss://entrypoint-finney.opentensor.ai:443"
    )]
    pub endpoints: Vec<String>,
    /// Read old blocks from this archive node: other nodes keep the states of about 300 blocks, an hour.
    #[arg(long, value_name = "URL", env = "MUSTER_ARCHIVE", hide_env_values = true, value_delimiter = ',')]
    pub archive: Vec<String>,
    /// Refuse a chain with another genesis hash. Without this, there is a warning unless it is a public
    /// network.
    #[arg(long, value_name = "HASH", env = "MUSTER_GENESIS")]
    pub genesis: Option<BlockHash>,
    /// Use the subnet of this number.
    #[arg(long, value_name = "N", env = "MUSTER_NETUID", default_value = "3")]
    pub netuid: Netuid,
    /// Expect this many seconds between two blocks; a much longer silence counts as a lost connection.
    #[arg(long, value_name = "SECONDS", default_value = "12")]
    pub block_time: f64,
    /// Give up if the nodes have not answered for this many seconds, all attempts together.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub timeout: f64,
}

impl ChainFlags {
    /// Connects to the chain. Waits while its nodes only limit requests.
    ///
    /// # Errors
    /// The flags are wrong, or no node of such a chain answers.
    pub async fn connect(&self) -> Result<Client, crate::CommandError> {
        let (options, limit) = self.options()?;
        let client = Client::connect_within(options, limit).await?;
        self.name_network(&client);
        Ok(client)
    }

    /// Returns the options of the client, and the time limit.
    fn options(&self) -> Result<(Options, Duration), FlagError> {
        if !(0.001..=3600.0).contains(&self.block_time) {
            return Err(FlagError::BlockTime(self.block_time));
        }
        if !(0.1..=3600.0).contains(&self.timeout) {
            return Err(FlagError::Timeout(self.timeout));
        }
        check_addresses("chain", &self.endpoints)?;
        check_addresses("archive", &self.archive)?;
        let limit = Duration::from_secs_f64(self.timeout);
        let options = Options::new(self.endpoints.iter().cloned());
        let options = Options {
            archive: self.archive.clone(),
            genesis: self.genesis,
            block_time: Duration::from_secs_f64(self.block_time),
            connect_timeout: options.connect_timeout.min(limit),
            request_timeout: options.request_timeout.min(limit),
            patience: limit,
            ..options
        };
        Ok((options, limit))
    }

    /// Warns of a chain that is no known network, if the user has not named it by its genesis. A chain on
    /// this machine is a development chain.
    fn name_network(&self, client: &Client) {
        let genesis = client.genesis();
        match Network::of(genesis) {
            Some(network) => tracing::info!(target: "chain", %network, "connected"),
            None if self.genesis.is_some()
                || self.endpoints.iter().all(|url| Endpoint::new(url).is_loopback()) => {}
            None => tracing::warn!(
                target: "chain", %genesis,
                "this chain is not a public network of Bittensor: if you expect it, give --genesis {genesis}"
            ),
        }
    }
}

fn check_addresses(flag: &'static str, urls: &[String]) -> Result<(), FlagError> {
    let is_address = |url: &&String| url.starts_with("ws://") || url.starts_with("wss://");
    match urls.iter().find(|url| !is_address(url)) {
        None => Ok(()),
        Some(other) => {
            // Show only the part before the path, since a path may hold a key.
            let shown = other.split(['/', '?', '@']).next().unwrap_or_default();
            Err(FlagError::Endpoint { flag, shown: shown.chars().take(80).collect() })
        }
    }
}

/// The flags of the wallet.
#[derive(Clone, Debug, Args)]
pub struct WalletFolder {
    /// Look for Bittensor's wallets in this folder [default: ~/.bittensor/wallets].
    #[arg(long, value_name = "PATH", env = "MUSTER_WALLETS")]
    pub wallets: Option<PathBuf>,
    /// Use the wallet of this name.
    #[arg(long, value_name = "NAME", env = "MUSTER_WALLET", default_value = "default")]
    pub wallet: String,
}

impl WalletFolder {
    /// Opens the wallet. Reads nothing yet.
    ///
    /// # Errors
    /// The folder of wallets is unknown, or the name is not plain.
    pub fn open(&self) -> Result<Wallet, crate::CommandError> {
        let root = match &self.wallets {
            Some(path) => path.clone(),
            None => Wallet::default_root(&std::env::home_dir().ok_or(FlagError::NoHome)?),
        };
        Ok(Wallet::new(&root, &self.wallet)?)
    }
}

/// The flags of the wallet and the key.
#[derive(Clone, Debug, Args)]
pub struct WalletFlags {
    #[command(flatten)]
    folder: WalletFolder,
    /// Use the hotkey of this name in the wallet, or of this address.
    #[arg(long, value_name = "NAME", env = "MUSTER_HOTKEY")]
    pub hotkey: Option<String>,
    /// Use the hotkey of this address instead of --hotkey; no secret is needed.
    #[arg(long, value_name = "ADDRESS")]
    pub hotkey_address: Option<Hotkey>,
}

impl WalletFlags {
    /// Returns the hotkey's account. A name that is an address needs no wallet.
    ///
    /// # Errors
    /// Neither a name nor an address is given, or the wallet has no such key.
    pub fn hotkey_account(&self) -> Result<Hotkey, crate::CommandError> {
        match (self.hotkey_address, &self.hotkey) {
            (Some(address), _) => Ok(address),
            (None, Some(name)) => match name.parse() {
                Ok(address) => Ok(address),
                Err(_) => Ok(self.folder.open()?.hotkey_public(name)?),
            },
            (None, None) => Err(FlagError::NoHotkey.into()),
        }
    }

    /// Reads the coldkey with its secret. The password of an encrypted coldkey comes from the flag's file,
    /// the environment or the terminal.
    ///
    /// # Errors
    /// The wallet has no coldkey, or the password does not decrypt it.
    pub fn coldkey(&self, password: &PasswordFlags) -> Result<KeyPair, crate::CommandError> {
        let (wallet, given) = (self.folder.open()?, password.given(COLDKEY_PASSWORD)?);
        Ok(open_key(given.as_ref(), COLDKEY_PASSWORD, |password| wallet.coldkey(password))?)
    }

    /// Reads the coldkey's account. It needs no password where the wallet has the public file.
    ///
    /// # Errors
    /// The wallet has neither the public file nor a plain coldkey.
    pub fn coldkey_account(&self) -> Result<Coldkey, crate::CommandError> {
        Ok(self.folder.open()?.coldkey_public()?)
    }
}
