//! The flags that configure a chain, and their environment variables.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use base::Rao;
use clap::{ArgMatches, Args, ValueEnum, parser::ValueSource};
use cli::Origin;
use devchain_runtime::genesis::{Balance, Neuron};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::layers::{Layers, SettingsError};

/// The flags of all settings. Flags with a single value also have an environment variable. A flag
/// overrides its variable.
#[derive(Args)]
pub(super) struct Settings {
    /// Read settings from this TOML file; `devchain config show` prints one.
    #[arg(long, value_name = "FILE", env = "DEVCHAIN_CONFIG")]
    config: Option<PathBuf>,
    /// Listen on this address; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", env = "DEVCHAIN_LISTEN")]
    listen: Option<SocketAddr>,
    /// Allow a --listen address that other machines reach.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", env = "DEVCHAIN_ALLOW_REMOTE")]
    allow_remote: Option<bool>,
    /// Set the block time (ms).
    #[arg(long, value_name = "MS", env = "DEVCHAIN_BLOCK_TIME_MS")]
    block_time_ms: Option<u64>,
    /// Choose when blocks are sealed.
    #[arg(long, env = "DEVCHAIN_PACE")]
    pace: Option<PaceArg>,
    /// Choose the source of block timestamps.
    #[arg(long, env = "DEVCHAIN_CLOCK")]
    clock: Option<ClockArg>,
    /// Keep the chain in this file; create it if missing.
    #[arg(long, value_name = "FILE", env = "DEVCHAIN_LOG")]
    log: Option<PathBuf>,
    /// Choose when the file is flushed to the disk.
    #[arg(long, env = "DEVCHAIN_SYNC")]
    sync: Option<SyncArg>,
    /// Keep the finalized block at least this many blocks behind the best block.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_FINALITY_LAG")]
    finality_lag: Option<u32>,
    /// Add up to this many blocks to the lag, drawn for each block.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_FINALITY_JITTER")]
    finality_jitter: Option<u32>,
    /// Stall finality once in each period of this many blocks, at a drawn place.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_FINALITY_STALL_EVERY")]
    finality_stall_every: Option<u32>,
    /// Set the length of each stall; finality then catches up at once.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_FINALITY_STALL_BLOCKS")]
    finality_stall_blocks: Option<u32>,
    /// Drop the newest non-final blocks for another branch, on average once in this many blocks.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_FINALITY_DROP_EVERY")]
    finality_drop_every: Option<u32>,
    /// Drop up to this many blocks at a time, drawn each time.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_FINALITY_DROP_DEPTH")]
    finality_drop_depth: Option<u32>,
    /// Set the seed of all draws of finality.
    #[arg(long, value_name = "SEED", env = "DEVCHAIN_FINALITY_SEED")]
    finality_seed: Option<u64>,
    /// Genesis: set the subnet's number.
    #[arg(long, env = "DEVCHAIN_NETUID")]
    netuid: Option<u16>,
    /// Genesis: set the number of blocks per epoch.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_TEMPO")]
    tempo: Option<u16>,
    /// Genesis: set the subnet's largest number of neurons.
    #[arg(long, value_name = "UIDS", env = "DEVCHAIN_MAX_UIDS")]
    max_uids: Option<u16>,
    /// Genesis: set the smallest number of weights in one call.
    #[arg(long, value_name = "COUNT", env = "DEVCHAIN_MIN_WEIGHTS")]
    min_weights: Option<u16>,
    /// Genesis: set the number of blocks that a validator must wait between two weight settings.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_WEIGHTS_RATE_LIMIT")]
    weights_rate_limit: Option<u64>,
    /// Genesis: switch commit-reveal on: weights must be committed and revealed.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", env = "DEVCHAIN_COMMIT_REVEAL")]
    commit_reveal: Option<bool>,
    /// Genesis: fund one more coldkey, an SS58 address or a path such as //Alice, with this much TAO.
    /// May be repeated.
    #[arg(long, value_name = "COLDKEY=TAO")]
    fund: Vec<String>,
    /// Genesis: add a validator with a permit and this stake in TAO. May be repeated.
    #[arg(long, value_name = "HOTKEY,COLDKEY,STAKE")]
    validator: Vec<String>,
    /// Genesis: add a registered miner. May be repeated.
    #[arg(long, value_name = "HOTKEY,COLDKEY")]
    miner: Vec<String>,
    /// Set any setting by its dotted key, as in `genesis.subnet.kappa=32767` or `rpc.connections=10`.
    /// May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// A flag, its dotted key, and its value if one is given.
type SingleValue = (&'static str, &'static str, Option<Value>);

#[derive(Clone, Copy, ValueEnum)]
enum PaceArg {
    /// At the block time.
    Fixed,
    /// On dev_newBlock and dev_fastForward only.
    Outside,
}

#[derive(Clone, Copy, ValueEnum)]
enum ClockArg {
    /// The machine's clock.
    Wall,
    /// Exactly one block time after the parent.
    Logical,
}

#[derive(Clone, Copy, ValueEnum)]
enum SyncArg {
    /// At a clean shutdown.
    AtClose,
    /// After each block.
    EveryBlock,
}

impl Settings {
    /// Returns all layers, with these flags on top.
    pub(super) fn layers(&self, matches: &ArgMatches) -> Result<Layers, SettingsError> {
        let mut layers = Layers::new()?;
        if let Some(path) = &self.config {
            layers.add_file(path.clone())?;
        }
        let single_values = self.single_values(matches)?.into_iter();
        for (flag, key, value) in single_values.chain(self.finality_values(matches)?) {
            let Some(value) = value else { continue };
            layers.merge(key, value, &origin_of(matches, flag))?;
        }
        for text in &self.fund {
            layers.append("genesis.balances", balance(text)?, &Origin::Flag("fund"))?;
        }
        for text in &self.validator {
            layers.append("genesis.neurons", validator(text)?, &Origin::Flag("validator"))?;
        }
        for text in &self.miner {
            layers.append("genesis.neurons", miner(text)?, &Origin::Flag("miner"))?;
        }
        for text in &self.set {
            let (key, value) = assignment(text)?;
            layers.merge(key, value, &Origin::Flag("set"))?;
        }
        Ok(layers)
    }

    /// Returns flag, key and value of each setting with a single value.
    fn single_values(&self, matches: &ArgMatches) -> Result<[SingleValue; 13], SettingsError> {
        let log = self.log.as_deref().map(|path| log_path(path, matches)).transpose()?;
        let number = |flag, value| number(flag, value, matches);
        Ok([
            ("listen", "listen", self.listen.map(|address| address.to_string().into())),
            ("allow-remote", "allow_remote", self.allow_remote.map(Value::from)),
            ("block-time-ms", "block_time_ms", number("block-time-ms", self.block_time_ms)?),
            ("pace", "pace", self.pace.map(name)),
            ("clock", "clock", self.clock.map(name)),
            ("log", "log", log),
            ("sync", "sync", self.sync.map(name)),
            ("netuid", "genesis.subnet.netuid", self.netuid.map(small)),
            ("tempo", "genesis.subnet.tempo", self.tempo.map(small)),
            ("max-uids", "genesis.subnet.max_allowed_uids", self.max_uids.map(small)),
            ("min-weights", "genesis.subnet.min_allowed_weights", self.min_weights.map(small)),
            (
                "weights-rate-limit",
                "genesis.subnet.weights_set_rate_limit",
                number("weights-rate-limit", self.weights_rate_limit)?,
            ),
            (
                "commit-reveal",
                "genesis.subnet.commit_reveal_weights_enabled",
                self.commit_reveal.map(Value::from),
            ),
        ])
    }

    /// Returns flag, key and value of each setting of finality.
    fn finality_values(&self, matches: &ArgMatches) -> Result<[SingleValue; 7], SettingsError> {
        let seed = number("finality-seed", self.finality_seed, matches)?;
        Ok([
            ("finality-lag", "finality.lag", self.finality_lag.map(small)),
            ("finality-jitter", "finality.jitter", self.finality_jitter.map(small)),
            ("finality-stall-every", "finality.stall_every", self.finality_stall_every.map(small)),
            ("finality-stall-blocks", "finality.stall_blocks", self.finality_stall_blocks.map(small)),
            ("finality-drop-every", "finality.drop_every", self.finality_drop_every.map(small)),
            ("finality-drop-depth", "finality.drop_depth", self.finality_drop_depth.map(small)),
            ("finality-seed", "finality.seed", seed),
        ])
    }
}

/// Converts a flag's number to a TOML integer.
fn number(
    flag: &'static str,
    value: Option<u64>,
    matches: &ArgMatches,
) -> Result<Option<Value>, SettingsError> {
    value.map(|value| integer(value).ok_or_else(|| too_large(flag, value, matches))).transpose()
}

/// Returns the origin of a flag's value, if it has one. The command line overrides the environment.
fn origin_of(matches: &ArgMatches, flag: &'static str) -> Origin {
    match matches.value_source(&flag.replace('-', "_")) {
        Some(ValueSource::EnvVariable) => {
            Origin::Environment(format!("DEVCHAIN_{}", flag.replace('-', "_").to_uppercase()))
        }
        _ => Origin::Flag(flag),
    }
}

/// Converts to a TOML integer; returns `None` above `i64::MAX`.
fn integer(number: u64) -> Option<Value> {
    i64::try_from(number).ok().map(Value::Integer)
}

fn small(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}

fn too_large(flag: &'static str, number: u64, matches: &ArgMatches) -> SettingsError {
    let expected = "a number up to 9223372036854775807";
    SettingsError::Value { origin: origin_of(matches, flag), text: number.to_string(), expected }
}

/// Returns the log's path as text; a settings file needs UTF-8.
fn log_path(path: &Path, matches: &ArgMatches) -> Result<Value, SettingsError> {
    let wrong = || SettingsError::Value {
        origin: origin_of(matches, "log"),
        text: path.to_string_lossy().into_owned(),
        expected: "a valid log path; it must be UTF-8",
    };
    path.to_str().map(Value::from).ok_or_else(wrong)
}

fn name(value: impl ValueEnum) -> Value {
    Value::String(value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()))
}

fn balance(text: &str) -> Result<Value, SettingsError> {
    let expected = "of the form COLDKEY=TAO, as in //Alice=1000";
    let (coldkey, tao) = text.split_once('=').ok_or_else(|| wrong("fund", text, expected))?;
    let rao = rao("fund", text, tao, expected)?;
    entry::<Balance>("fund", text, [("coldkey", coldkey.into()), ("rao", rao)])
}

fn validator(text: &str) -> Result<Value, SettingsError> {
    let parts: Vec<&str> = text.split(',').collect();
    let [hotkey, coldkey, stake] = parts[..] else {
        return Err(wrong("validator", text, "of the form HOTKEY,COLDKEY,STAKE"));
    };
    let stake = rao("validator", text, stake, "an entry with an amount of TAO as its stake")?;
    let neuron =
        [("hotkey", hotkey.into()), ("coldkey", coldkey.into()), ("stake", stake), ("permit", true.into())];
    entry::<Neuron>("validator", text, neuron)
}

fn miner(text: &str) -> Result<Value, SettingsError> {
    let (hotkey, coldkey) =
        text.split_once(',').ok_or_else(|| wrong("miner", text, "of the form HOTKEY,COLDKEY"))?;
    entry::<Neuron>("miner", text, [("hotkey", hotkey.into()), ("coldkey", coldkey.into())])
}

/// Parses `key=value`. A value that is not TOML is taken as text, so paths and addresses need no
/// quotes.
fn assignment(text: &str) -> Result<(&str, Value), SettingsError> {
    let (key, value) = text.split_once('=').ok_or_else(|| wrong("set", text, "of the form KEY=VALUE"))?;
    let is_key =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !key.split('.').all(is_key) {
        return Err(wrong("set", text, "an assignment to a dotted key such as genesis.subnet.tempo"));
    }
    let parsed = toml::from_str::<Table>(&format!("value = {value}"));
    let value = parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| value.into());
    Ok((key, value))
}

fn rao(flag: &'static str, text: &str, tao: &str, expected: &'static str) -> Result<Value, SettingsError> {
    let amount = tao.parse::<Rao>().map_err(|_| wrong(flag, text, expected))?;
    integer(amount.0).ok_or_else(|| wrong(flag, text, "an entry with at most 9223372036.854775807 TAO"))
}

/// Builds an entry of a genesis list. Decodes it once, so that an error names the flag.
fn entry<T: DeserializeOwned>(
    flag: &'static str,
    text: &str,
    fields: impl IntoIterator<Item = (&'static str, Value)>,
) -> Result<Value, SettingsError> {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    let value = Value::Table(fields.collect());
    match value.clone().try_into::<T>() {
        Ok(_) => Ok(value),
        Err(error) => {
            let origin = Origin::Flag(flag);
            let problem = error.message().to_owned();
            Err(SettingsError::Entry { origin, text: text.into(), problem })
        }
    }
}

fn wrong(flag: &'static str, text: &str, expected: &'static str) -> SettingsError {
    SettingsError::Value { origin: Origin::Flag(flag), text: text.to_owned(), expected }
}
