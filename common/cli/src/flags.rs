//! Flags that name a chain and a key.

use base::{BlockHash, Hotkey, Netuid, Secret};
use chain::{
    Client, Options,
    error::ConnectError,
    wallet::{KeyPair, Wallet, WalletError},
};
use clap::Args;
use std::{
    env::VarError,
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

/// The environment variable that may hold the coldkey's password; never a flag, which other users could see.
const PASSWORD: &str = "MUSTER_COLDKEY_PASSWORD";

/// Flags that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// Neither a wallet nor a folder for wallets is known.
    #[error("HOME is not set, so the wallets' folder is unknown: give --wallets PATH")]
    NoHome,
    /// No hotkey is named.
    #[error("no hotkey is named: give --hotkey NAME, or --hotkey-address ADDRESS where no secret is needed")]
    NoHotkey,
    /// The password could not be read.
    #[error("the password cannot be read from the terminal: {0}; set {PASSWORD} instead")]
    Password(io::Error),
    /// The coldkey is encrypted, and nobody can be asked.
    #[error("{} is encrypted: set {PASSWORD} to its password, or run this in a terminal to be asked for it", .0.display())]
    PasswordNeeded(PathBuf),
    /// The environment variable of the password holds no text.
    #[error("{PASSWORD} is not UTF-8: set it to the coldkey's password")]
    PasswordText,
    /// An address that is no WebSocket's.
    #[error("--chain: an address begins with ws:// or wss://, and `{0}` does not")]
    Endpoint(String),
    /// A file that a flag names.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A run that would have begun already.
    #[error("--start-block {start} is over, the chain is at block {head}: give a later one")]
    StartBlock {
        /// As given.
        start: base::Height,
        /// The finalized block.
        head: base::Height,
    },
    /// A time between blocks that is none.
    #[error("--block-time is {0}: give the seconds between two blocks, 0.001 to 3600")]
    BlockTime(f64),
}

/// Which chain, and which subnet of it.
#[derive(Clone, Debug, Args)]
pub struct ChainFlags {
    /// WebSocket URL of a node of the chain; several are tried in turn.
    #[arg(
        long = "chain",
        value_name = "URL",
        env = "MUSTER_CHAIN",
        hide_env_values = true, // providers put keys into addresses
        value_delimiter = ',',
        default_value = "wss://entrypoint-finney.opentensor.ai:443"
    )]
    pub endpoints: Vec<String>,
    /// Genesis hash that the chain must have; another chain is refused.
    #[arg(long, value_name = "HASH", env = "MUSTER_GENESIS")]
    pub genesis: Option<BlockHash>,
    /// Number of the subnet.
    #[arg(long, value_name = "N", env = "MUSTER_NETUID", default_value = "3")]
    pub netuid: Netuid,
    /// Seconds between two blocks; tells a slow chain from a lost connection.
    #[arg(long, value_name = "SECONDS", default_value = "12")]
    pub block_time: f64,
}

impl ChainFlags {
    /// Connects.
    ///
    /// # Errors
    /// The flags are wrong, or there is no such chain.
    pub async fn connect(&self) -> Result<Client, crate::CommandError> {
        if !(0.001..=3600.0).contains(&self.block_time) {
            return Err(FlagError::BlockTime(self.block_time).into());
        }
        let is_address = |url: &&String| url.starts_with("ws://") || url.starts_with("wss://");
        if let Some(other) = self.endpoints.iter().find(|url| !is_address(url)) {
            // What stands before the path, since a path may hold a key.
            let shown = other.split(['/', '?', '@']).next().unwrap_or_default();
            return Err(FlagError::Endpoint(shown.chars().take(80).collect()).into());
        }
        let options = Options {
            genesis: self.genesis,
            block_time: Duration::from_secs_f64(self.block_time),
            ..Options::new(self.endpoints.iter().cloned())
        };
        Client::connect(options).await.map_err(|error: ConnectError| error.into())
    }
}

/// Which key.
#[derive(Clone, Debug, Args)]
pub struct WalletFlags {
    /// Folder of Bittensor's wallets [default: ~/.bittensor/wallets].
    #[arg(long, value_name = "PATH", env = "MUSTER_WALLETS")]
    pub wallets: Option<PathBuf>,
    /// Name of the wallet.
    #[arg(long, value_name = "NAME", env = "MUSTER_WALLET", default_value = "default")]
    pub wallet: String,
    /// Name of the hotkey in the wallet.
    #[arg(long, value_name = "NAME", env = "MUSTER_HOTKEY")]
    pub hotkey: Option<String>,
    /// Address of the hotkey, where its secret is not needed; it is used instead of --hotkey.
    #[arg(long, value_name = "ADDRESS")]
    pub hotkey_address: Option<Hotkey>,
}

impl WalletFlags {
    /// The hotkey's account.
    ///
    /// # Errors
    /// Neither a name nor an address is given, or the wallet has no such key.
    pub fn hotkey_account(&self) -> Result<Hotkey, crate::CommandError> {
        match (self.hotkey_address, &self.hotkey) {
            (Some(address), _) => Ok(address),
            (None, Some(name)) => Ok(self.folder()?.hotkey_public(name)?),
            (None, None) => Err(FlagError::NoHotkey.into()),
        }
    }

    /// The coldkey with its secret. The password of an encrypted one comes from the environment or the terminal.
    ///
    /// # Errors
    /// The wallet has none, or the password does not open it.
    pub fn coldkey(&self) -> Result<KeyPair, crate::CommandError> {
        let wallet = self.folder()?;
        match wallet.coldkey(password_of_environment()?.as_ref()) {
            Err(WalletError::NeedsPassword { path }) if io::stdin().is_terminal() => {
                let prompt = format!("Password of {}: ", path.display());
                let password = rpassword::prompt_password(prompt).map_err(FlagError::Password)?;
                Ok(wallet.coldkey(Some(&Secret::new(password)))?)
            }
            Err(WalletError::NeedsPassword { path }) => Err(FlagError::PasswordNeeded(path).into()),
            other => Ok(other?),
        }
    }

    /// The wallet itself.
    fn folder(&self) -> Result<Wallet, crate::CommandError> {
        let root = match &self.wallets {
            Some(path) => path.clone(),
            None => Wallet::default_root(&std::env::home_dir().ok_or(FlagError::NoHome)?),
        };
        Ok(Wallet::new(&root, &self.wallet)?)
    }
}

fn password_of_environment() -> Result<Option<Secret>, FlagError> {
    match std::env::var(PASSWORD) {
        Ok(password) => Ok(Some(Secret::new(password))),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(FlagError::PasswordText),
    }
}
