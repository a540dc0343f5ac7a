//! The configuration of a node: from a TOML file, the environment and flags, with the origin of each value.
//!
//! [`Settings::resolve`] combines the three, and [`Config::new`] parses the texts. `config show` prints
//! [`Settings::show`]. It needs neither chain nor model, and shows no secret.

mod error;
mod file;
mod flags;
mod nearest;
#[cfg(test)]
mod reference;
mod setting;
mod settings;

pub use cli::Origin;
pub use error::ConfigError;
pub use flags::{ConfigFlags, ValidatorFlags};
pub use settings::{Environment, Settings, environment};

use base::{BlockHash, Netuid, Secret};
use chain::wallet::{KeyPair, Wallet};
use chain_commands::{HOTKEY_PASSWORD, open_key};
use engine::{Compute, Place};
use protocol::announcement::{AddressPolicy, Bucket, ReadCredentials};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use telemetry::Logs;

/// The kind of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// A miner trains.
    Miner,
    /// A validator judges, votes and sets weights.
    Validator,
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Miner => "miner",
            Self::Validator => "validator",
        })
    }
}

/// The configuration of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The kind of the node.
    pub role: NodeRole,
    /// The chain.
    pub chain: ChainConfig,
    /// The hotkey.
    pub wallet: WalletConfig,
    /// The run's TOML file.
    pub run: PathBuf,
    /// The folder of the run's dataset.
    pub data: PathBuf,
    /// This node's bucket.
    pub bucket: BucketConfig,
    /// The computation, and the folder of the node's files.
    pub node: NodeConfig,
    /// The limits of downloads from the buckets of other nodes.
    pub fetch: FetchConfig,
    /// The logs.
    pub log: Logs,
    /// The settings of validators.
    pub validator: ValidatorConfig,
}

/// `[chain]`
#[derive(Clone, PartialEq)]
pub struct ChainConfig {
    /// WebSocket URLs, in order of preference. They may contain keys.
    pub endpoints: Vec<String>,
    /// WebSocket URLs of archive nodes, asked only for states that other nodes no longer have. They may
    /// contain keys.
    pub archive: Vec<String>,
    /// The genesis that the operator expects. The node always uses the run spec's.
    pub genesis: Option<BlockHash>,
    /// The subnet that the operator expects. The node always uses the run spec's.
    pub netuid: Option<Netuid>,
    /// Time between two blocks.
    pub block_time: Duration,
}

/// `[wallet]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletConfig {
    /// The folder of wallets.
    pub folder: PathBuf,
    /// The wallet.
    pub name: String,
    /// The hotkey in the wallet.
    pub hotkey: String,
    /// The password of the hotkey, if it is given. Bittensor's variable or the terminal may give it too.
    pub password: Option<Secret>,
}

/// `[bucket]`
#[derive(Clone, Debug, PartialEq)]
pub struct BucketConfig {
    /// The announced bucket: its address, and the key that may only read.
    pub announced: Bucket,
    /// The key that may write.
    pub write: ReadCredentials,
    /// The allowed addresses of buckets, of this node and of others.
    pub policy: AddressPolicy,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// The folder of journal, events and checkpoints.
    pub folder: PathBuf,
    /// The options of the model's computation.
    pub compute: engine::Options,
    /// The address that serves metrics and health, if there is one.
    pub metrics: Option<SocketAddr>,
    /// Windows between two saves of error feedback and optimizer moments.
    pub save_every: NonZeroU64,
}

/// `[fetch]`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FetchConfig {
    /// The time limit for one object.
    pub deadline: Duration,
    /// The download speed below which a peer is given up, in bytes a second.
    pub floor: u64,
}

/// `[validator]`. A miner has the defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidatorConfig {
    /// Windows between two published checkpoints; 0 for none.
    pub checkpoint_every: u64,
    /// The time limit for the evaluations of one window.
    pub time_budget: Duration,
    /// The number of sequences of held-out data; 0 for none.
    pub held_out_sequences: u64,
}

impl fmt::Debug for ChainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |urls: &[String]| urls.iter().map(|url| chain::Endpoint::new(url)).collect::<Vec<_>>();
        f.debug_struct("ChainConfig")
            .field("endpoints", &shown(&self.endpoints))
            .field("archive", &shown(&self.archive))
            .field("genesis", &self.genesis)
            .field("netuid", &self.netuid)
            .field("block_time", &self.block_time)
            .finish()
    }
}

impl Config {
    /// Loads the configuration of this process from its flags, its environment and its file.
    ///
    /// # Errors
    /// See [`Settings::resolve`] and [`Config::new`].
    pub fn load(role: NodeRole, flags: &ConfigFlags) -> Result<Self, ConfigError> {
        let settings = Settings::resolve(role, flags, &environment()?)?;
        for warning in settings.warnings() {
            tracing::warn!(target: telemetry::target::NODE, "{warning}");
        }
        Self::new(role, &settings)
    }

    /// Turns settings into values.
    ///
    /// # Errors
    /// The first setting that is missing or cannot be used.
    pub fn new(role: NodeRole, settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            role,
            chain: chain(settings)?,
            wallet: wallet(settings)?,
            run: settings.require("run.spec")?,
            data: settings.require("data.folder")?,
            bucket: bucket(settings)?,
            node: node(settings)?,
            fetch: fetch(settings)?,
            log: log(settings)?,
            validator: match role {
                NodeRole::Miner => ValidatorConfig::default(),
                NodeRole::Validator => validator(settings)?,
            },
        })
    }
}

impl WalletConfig {
    /// Loads the hotkey with its secret. Asks for the password of an encrypted hotkey in a terminal, if it is
    /// not given.
    ///
    /// # Errors
    /// It is missing, cannot be read, is damaged, or its password is missing or wrong.
    pub fn hotkey(&self) -> Result<KeyPair, ConfigError> {
        let wallet = Wallet::new(&self.folder, &self.name)?;
        let open = |password: Option<&Secret>| wallet.hotkey(&self.hotkey, password);
        Ok(open_key(self.password.as_ref(), HOTKEY_PASSWORD, open)?)
    }
}

impl Default for ValidatorConfig {
    fn default() -> Self {
        Self { checkpoint_every: 10, time_budget: Duration::from_secs(600), held_out_sequences: 64 }
    }
}

fn chain(settings: &Settings) -> Result<ChainConfig, ConfigError> {
    let urls = |key: &'static str, text: String| {
        let urls: Vec<String> = text.split(',').map(|url| url.trim().to_owned()).collect();
        let are_valid = urls.iter().all(|url| url.starts_with("ws://") || url.starts_with("wss://"));
        if are_valid {
            Ok(urls)
        } else {
            Err(settings.wrong(key, "each address begins with ws:// or wss://"))
        }
    };
    let endpoints = urls("chain.endpoints", settings.require("chain.endpoints")?)?;
    let archive: Option<String> = settings.get("chain.archive")?;
    let archive = archive.map_or(Ok(Vec::new()), |text| urls("chain.archive", text))?;
    let seconds: f64 = settings.require("chain.block_time")?;
    if !(0.001..=3600.0).contains(&seconds) {
        return Err(settings.wrong("chain.block_time", "it must be 0.001 to 3600 seconds"));
    }
    Ok(ChainConfig {
        endpoints,
        archive,
        genesis: settings.get("chain.genesis")?,
        netuid: settings.get("chain.netuid")?,
        block_time: Duration::from_secs_f64(seconds),
    })
}

fn wallet(settings: &Settings) -> Result<WalletConfig, ConfigError> {
    let folder = match settings.get("wallet.folder")? {
        Some(folder) => folder,
        None => Wallet::default_root(&std::env::home_dir().ok_or(ConfigError::NoHome)?),
    };
    let (name, hotkey) = (settings.require("wallet.name")?, settings.require("wallet.hotkey")?);
    let password = secret(settings, PASSWORD)?.map(Secret::new);
    Ok(WalletConfig { folder, name, hotkey, password })
}

fn bucket(settings: &Settings) -> Result<BucketConfig, ConfigError> {
    let endpoint: String = settings.require("bucket.endpoint")?;
    let region: String = settings.require("bucket.region")?;
    let name: String = settings.require("bucket.name")?;
    let read = match (settings.text("bucket.read_access"), secret(settings, READ)?) {
        (None, None) => None,
        (Some(access), Some(secret)) => Some(key(access, &secret)),
        (Some(_), None) => return Err(settings.missing("bucket.read_secret")),
        (None, Some(_)) => return Err(settings.missing("bucket.read_access")),
    };
    let access =
        settings.text("bucket.write_access").ok_or_else(|| settings.missing("bucket.write_access"))?;
    let secret = secret(settings, WRITE)?.ok_or_else(|| settings.missing("bucket.write_secret"))?;
    let policy = if settings.require("bucket.allow_loopback")? {
        AddressPolicy::PublicOrLoopback
    } else {
        AddressPolicy::Public
    };
    let announced = announced(endpoint.trim_end_matches('/'), &region, &name, read)?;
    Ok(BucketConfig { announced, write: key(access, &secret), policy })
}

/// Creates the announced bucket. A Cloudflare R2 bucket that is named like its account is announced in
/// Templar's form, so that Templar's software can read it.
fn announced(
    endpoint: &str,
    region: &str,
    name: &str,
    read: Option<ReadCredentials>,
) -> Result<Bucket, ConfigError> {
    let is_r2 = endpoint == format!("https://{name}.r2.cloudflarestorage.com");
    let r2 = read.as_ref().filter(|_| is_r2);
    let r2 = r2.and_then(|key| Bucket::r2(name, key.access_key.expose(), key.secret.expose()).ok());
    match r2 {
        Some(bucket) => Ok(bucket),
        None => Ok(Bucket::s3(endpoint, region, name, read)?),
    }
}

fn key(access: &str, secret: &str) -> ReadCredentials {
    ReadCredentials { access_key: Secret::new(access), secret: Secret::new(secret) }
}

/// A secret and the setting of the file that may hold it.
const READ: [&str; 2] = ["bucket.read_secret", "bucket.read_secret_file"];
const WRITE: [&str; 2] = ["bucket.write_secret", "bucket.write_secret_file"];
const PASSWORD: [&str; 2] = ["wallet.password", "wallet.password_file"];

fn secret(settings: &Settings, [key, file]: [&'static str; 2]) -> Result<Option<String>, ConfigError> {
    match (settings.text(key), settings.text(file)) {
        (Some(_), Some(_)) => Err(ConfigError::Twice { key }),
        (Some(secret), None) => Ok(Some(secret.to_owned())),
        (None, Some(path)) => secret_file(file, Path::new(path)).map(Some),
        (None, None) => Ok(None),
    }
}

/// Returns the only line of a file.
fn secret_file(key: &'static str, path: &Path) -> Result<String, ConfigError> {
    let secret = chain_commands::secret_file(path);
    let secret = secret.map_err(|source| ConfigError::SecretFile { key, path: path.to_owned(), source })?;
    Ok(secret.expose().to_owned())
}

fn node(settings: &Settings) -> Result<NodeConfig, ConfigError> {
    let threads = match settings.text("node.threads") {
        Some("auto") => {
            thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
        }
        _ => settings.require::<NonZeroU32>("node.threads")?.get(),
    };
    let compute = engine::Options {
        place: place(settings)?,
        compute: match settings.text("node.compute") {
            Some("f32") => Compute::F32,
            Some("bf16") => Compute::Bf16,
            _ => return Err(settings.wrong("node.compute", "it must be f32 or bf16")),
        },
        micro_batch: settings.require::<NonZeroU32>("node.micro_batch")?.get(),
        threads,
        ..engine::Options::default()
    };
    Ok(NodeConfig {
        folder: settings.require("node.folder")?,
        compute,
        metrics: settings.get("node.metrics")?,
        save_every: settings.require("node.save_every")?,
    })
}

fn place(settings: &Settings) -> Result<Place, ConfigError> {
    let key = "node.device";
    let text: String = settings.require(key)?;
    let number = |text: &str| text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
    match text.as_str() {
        "auto" => Ok(Place::Auto),
        "cpu" => Ok(Place::Cpu),
        "cuda" => Ok(Place::Gpu(0)),
        other => {
            number(other).map(Place::Gpu).ok_or_else(|| settings.wrong(key, "it must be auto, cpu or cuda:N"))
        }
    }
}

fn fetch(settings: &Settings) -> Result<FetchConfig, ConfigError> {
    let deadline = seconds(settings, "fetch.deadline")?;
    Ok(FetchConfig { deadline, floor: settings.require("fetch.floor")? })
}

fn log(settings: &Settings) -> Result<Logs, ConfigError> {
    let key = "log.format";
    let format: String = settings.require(key)?;
    let format =
        format.parse().map_err(|error: telemetry::LogsError| settings.wrong(key, error.to_string()))?;
    Ok(Logs { format, filter: Some(settings.require("log.level")?) })
}

fn validator(settings: &Settings) -> Result<ValidatorConfig, ConfigError> {
    Ok(ValidatorConfig {
        checkpoint_every: settings.require("validator.checkpoint_every")?,
        time_budget: seconds(settings, "validator.time_budget")?,
        held_out_sequences: settings.require("validator.held_out_sequences")?,
    })
}

/// Parses a time of at most a day.
fn seconds(settings: &Settings, key: &'static str) -> Result<Duration, ConfigError> {
    let seconds: f64 = settings.require(key)?;
    if (0.001..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(settings.wrong(key, "it must be 0.001 to 86400 seconds"))
    }
}

#[cfg(test)]
mod tests;
