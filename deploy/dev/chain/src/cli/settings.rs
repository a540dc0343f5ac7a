//! The flags that set up a chain, and the environment variables beside them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use base::Rao;
use clap::{ArgMatches, Args, ValueEnum, parser::ValueSource};
use devchain_runtime::genesis::{Balance, Neuron};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::layers::{Layers, SettingsError, Source};

/// Settings, each by flag; those of one value also by environment variable. Flags are stronger.
#[derive(Args)]
pub(super) struct Settings {
    /// File of settings in TOML; `devchain config show` prints one.
    #[arg(long, value_name = "FILE", env = "DEVCHAIN_CONFIG")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", env = "DEVCHAIN_LISTEN")]
    listen: Option<SocketAddr>,
    /// Let --listen be an address that other machines reach.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", env = "DEVCHAIN_ALLOW_REMOTE")]
    allow_remote: Option<bool>,
    /// Milliseconds from block to block.
    #[arg(long, value_name = "MS", env = "DEVCHAIN_BLOCK_TIME_MS")]
    block_time_ms: Option<u64>,
    /// Who decides when a block is sealed.
    #[arg(long, env = "DEVCHAIN_PACE")]
    pace: Option<PaceArg>,
    /// Where timestamps come from.
    #[arg(long, env = "DEVCHAIN_CLOCK")]
    clock: Option<ClockArg>,
    /// File that keeps the chain; made when it does not exist.
    #[arg(long, value_name = "FILE", env = "DEVCHAIN_LOG")]
    log: Option<PathBuf>,
    /// When the file's bytes are forced to the disk.
    #[arg(long, env = "DEVCHAIN_SYNC")]
    sync: Option<SyncArg>,
    /// Genesis: the subnet's number.
    #[arg(long, env = "DEVCHAIN_NETUID")]
    netuid: Option<u16>,
    /// Genesis: blocks from epoch to epoch.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_TEMPO")]
    tempo: Option<u16>,
    /// Genesis: the subnet's largest number of neurons.
    #[arg(long, value_name = "UIDS", env = "DEVCHAIN_MAX_UIDS")]
    max_uids: Option<u16>,
    /// Genesis: the smallest number of weights that can be set.
    #[arg(long, value_name = "COUNT", env = "DEVCHAIN_MIN_WEIGHTS")]
    min_weights: Option<u16>,
    /// Genesis: blocks that a validator waits between two settings of weights.
    #[arg(long, value_name = "BLOCKS", env = "DEVCHAIN_WEIGHTS_RATE_LIMIT")]
    weights_rate_limit: Option<u64>,
    /// Genesis: refuse plain weights; commit-reveal itself is not there.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", env = "DEVCHAIN_COMMIT_REVEAL")]
    commit_reveal: Option<bool>,
    /// Genesis: one more funded coldkey, an SS58 address or a path such as //Alice, and its TAO. May be repeated.
    #[arg(long, value_name = "COLDKEY=TAO")]
    fund: Vec<String>,
    /// Genesis: one more validator with its stake and a permit. May be repeated.
    #[arg(long, value_name = "HOTKEY,COLDKEY,STAKE")]
    validator: Vec<String>,
    /// Genesis: one more registered miner. May be repeated.
    #[arg(long, value_name = "HOTKEY,COLDKEY")]
    miner: Vec<String>,
    /// Any setting by its dotted key, as in `genesis.subnet.kappa=32767` or `rpc.connections=10`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Flag, dotted key, and the value if one is given.
type SingleValue = (&'static str, &'static str, Option<Value>);

#[derive(Clone, Copy, ValueEnum)]
enum PaceArg {
    /// The block time.
    Fixed,
    /// Whoever calls dev_newBlock or dev_fastForward.
    Outside,
}

#[derive(Clone, Copy, ValueEnum)]
enum ClockArg {
    /// The machine's clock.
    Wall,
    /// Exactly one block time from block to block.
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
    /// All layers, these flags on top.
    pub(super) fn layers(&self, matches: &ArgMatches) -> Result<Layers, SettingsError> {
        let mut layers = Layers::new()?;
        if let Some(path) = &self.config {
            layers.add_file(path.clone())?;
        }
        for (flag, key, value) in self.single_values(matches)? {
            let Some(value) = value else { continue };
            layers.merge(key, value, &source_of(matches, flag))?;
        }
        for text in &self.fund {
            layers.append("genesis.balances", balance(text)?, &Source::Flag("fund"))?;
        }
        for text in &self.validator {
            layers.append("genesis.neurons", validator(text)?, &Source::Flag("validator"))?;
        }
        for text in &self.miner {
            layers.append("genesis.neurons", miner(text)?, &Source::Flag("miner"))?;
        }
        for text in &self.set {
            let (key, value) = assignment(text)?;
            layers.merge(key, value, &Source::Flag("set"))?;
        }
        Ok(layers)
    }

    /// Flag, key and value of each setting of one value.
    fn single_values(&self, matches: &ArgMatches) -> Result<[SingleValue; 13], SettingsError> {
        let log = self.log.as_deref().map(|path| log_path(path, matches)).transpose()?;
        let number = |flag, number: Option<u64>| {
            number.map(|number| integer(number).ok_or_else(|| too_large(flag, number, matches))).transpose()
        };
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
}

/// Where the value of a flag came from, if it has one: the command line is stronger than the environment.
fn source_of(matches: &ArgMatches, flag: &'static str) -> Source {
    match matches.value_source(&flag.replace('-', "_")) {
        Some(ValueSource::EnvVariable) => {
            Source::Environment(format!("DEVCHAIN_{}", flag.replace('-', "_").to_uppercase()))
        }
        _ => Source::Flag(flag),
    }
}

/// None above what TOML's integers hold.
fn integer(number: u64) -> Option<Value> {
    i64::try_from(number).ok().map(Value::Integer)
}

fn small(number: u16) -> Value {
    Value::Integer(number.into())
}

fn too_large(flag: &'static str, number: u64, matches: &ArgMatches) -> SettingsError {
    let expected = "a number up to 9223372036854775807";
    SettingsError::Value { origin: source_of(matches, flag), text: number.to_string(), expected }
}

/// A path in UTF-8, as a file of settings needs it.
fn log_path(path: &Path, matches: &ArgMatches) -> Result<Value, SettingsError> {
    let wrong = || SettingsError::Value {
        origin: source_of(matches, "log"),
        text: path.to_string_lossy().into_owned(),
        expected: "the name of a log, which must be UTF-8",
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
    let stake = rao("validator", text, stake, "one with an amount of TAO as its stake")?;
    let neuron =
        [("hotkey", hotkey.into()), ("coldkey", coldkey.into()), ("stake", stake), ("permit", true.into())];
    entry::<Neuron>("validator", text, neuron)
}

fn miner(text: &str) -> Result<Value, SettingsError> {
    let (hotkey, coldkey) =
        text.split_once(',').ok_or_else(|| wrong("miner", text, "of the form HOTKEY,COLDKEY"))?;
    entry::<Neuron>("miner", text, [("hotkey", hotkey.into()), ("coldkey", coldkey.into())])
}

/// `key=value`. What is not TOML by itself is taken as text, so that paths and addresses need no quotes.
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
    integer(amount.0).ok_or_else(|| wrong(flag, text, "one with at most 9223372036.854775807 TAO"))
}

/// An entry of a genesis list, read once so that what is wrong in it is told of the flag.
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
            let (origin, problem) = (Source::Flag(flag), error.message().to_owned());
            Err(SettingsError::Entry { origin, text: text.into(), problem })
        }
    }
}

fn wrong(flag: &'static str, text: &str, expected: &'static str) -> SettingsError {
    SettingsError::Value { origin: Source::Flag(flag), text: text.to_owned(), expected }
}
