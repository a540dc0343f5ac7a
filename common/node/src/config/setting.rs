//! The table of all settings of a node: names, form, default and line of help of each.

/// A setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Section and field in the file: `chain.netuid`.
    pub(crate) key: &'static str,
    /// The flag's name, without dashes. Secrets have no flag, since other users can see a process's flags.
    pub(crate) flag: Option<&'static str>,
    /// The environment variable.
    pub(crate) env: &'static str,
    /// The name of the flag's value in help texts.
    pub(crate) placeholder: &'static str,
    /// The form of the value.
    pub(crate) form: Form,
    /// The default value.
    pub(crate) default: Option<&'static str>,
    /// Whether the value is never shown.
    pub(crate) secret: bool,
    /// Whether only validators have it.
    pub(crate) validators: bool,
    /// The line of help.
    pub(crate) help: &'static str,
}

/// The form of a value in the file. Flags and environment give all values as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A text.
    Text,
    /// A path. A relative path in the file begins at the file's folder.
    Path,
    /// A number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Several texts, separated by commas in the environment and in flags.
    List,
}

impl Form {
    /// Returns the name of the form in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Path => "a text in quotes",
            Self::Number => "a number",
            Self::Switch => "true or false",
            Self::List => "a list of texts",
        }
    }
}

const fn setting(key: &'static str, form: Form, env: &'static str, help: &'static str) -> Setting {
    let flag = None;
    let placeholder = "VALUE";
    let default = None;
    let secret = false;
    let validators = false;
    Setting { key, flag, env, placeholder, form, default, secret, validators, help }
}

impl Setting {
    const fn flag(self, flag: &'static str, placeholder: &'static str) -> Self {
        Self { flag: Some(flag), placeholder, ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn validators(self) -> Self {
        Self { validators: true, ..self }
    }
}

/// The environment variable that names the configuration file.
pub(crate) const CONFIG: &str = "MUSTER_CONFIG";

/// All settings, in the order in which they are shown.
#[rustfmt::skip] // A table.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("chain.endpoints", Form::List, "MUSTER_CHAIN", "WebSocket URLs of nodes of the chain, tried in turn")
        .flag("chain", "URL").default("wss://entrypoint-finney.opentensor.ai:443"),
    setting("chain.archive", Form::List, "MUSTER_ARCHIVE", "WebSocket URLs of archive nodes, for a node that was away: other nodes keep the states of about 300 blocks, an hour")
        .flag("archive", "URL"),
    setting("chain.genesis", Form::Text, "MUSTER_GENESIS", "Genesis hash that the chain must have; the run spec's, if not given")
        .flag("genesis", "HASH"),
    setting("chain.netuid", Form::Number, "MUSTER_NETUID", "Number of the subnet; the run spec's, if not given")
        .flag("netuid", "N"),
    setting("chain.block_time", Form::Number, "MUSTER_BLOCK_TIME", "Seconds between two blocks; tells a slow chain from a lost connection")
        .flag("block-time", "SECONDS").default("12"),
    setting("wallet.folder", Form::Path, "MUSTER_WALLETS", "Folder of Bittensor's wallets; ~/.bittensor/wallets, if not given")
        .flag("wallets", "PATH"),
    setting("wallet.name", Form::Text, "MUSTER_WALLET", "Name of the wallet")
        .flag("wallet", "NAME").default("default"),
    setting("wallet.hotkey", Form::Text, "MUSTER_HOTKEY", "Name of the hotkey in the wallet")
        .flag("hotkey", "NAME"),
    setting("wallet.password", Form::Text, "MUSTER_HOTKEY_PASSWORD", "Password of an encrypted hotkey; without one, the variable of Bittensor's tools (BT_PW_ and the path of the key), or the terminal")
        .secret(),
    setting("wallet.password_file", Form::Path, "MUSTER_HOTKEY_PASSWORD_FILE", "File that holds it instead")
        .flag("password-file", "FILE"),
    setting("run.spec", Form::Path, "MUSTER_RUN", "The launched run's TOML file")
        .flag("run", "FILE"),
    setting("data.folder", Form::Path, "MUSTER_DATA", "The run's dataset: the folder that `miner data prepare` made")
        .flag("data", "PATH"),
    setting("bucket.endpoint", Form::Text, "MUSTER_BUCKET_ENDPOINT", "The S3 service of this node's bucket: https://HOST[:PORT]")
        .flag("bucket-endpoint", "URL"),
    setting("bucket.region", Form::Text, "MUSTER_BUCKET_REGION", "Region that requests are signed for")
        .flag("bucket-region", "NAME").default("auto"),
    setting("bucket.name", Form::Text, "MUSTER_BUCKET_NAME", "The bucket's name")
        .flag("bucket-name", "NAME"),
    setting("bucket.read_access", Form::Text, "MUSTER_BUCKET_READ_ACCESS", "Name of the key that may only read, which is announced on chain; none for an open bucket")
        .secret(),
    setting("bucket.read_secret", Form::Text, "MUSTER_BUCKET_READ_SECRET", "The key that may only read")
        .secret(),
    setting("bucket.read_secret_file", Form::Path, "MUSTER_BUCKET_READ_SECRET_FILE", "File that holds it instead"),
    setting("bucket.write_access", Form::Text, "MUSTER_BUCKET_WRITE_ACCESS", "Name of the key that may write")
        .secret(),
    setting("bucket.write_secret", Form::Text, "MUSTER_BUCKET_WRITE_SECRET", "The key that may write")
        .secret(),
    setting("bucket.write_secret_file", Form::Path, "MUSTER_BUCKET_WRITE_SECRET_FILE", "File that holds it instead"),
    setting("bucket.allow_loopback", Form::Switch, "MUSTER_BUCKET_ALLOW_LOOPBACK", "Allow buckets on this machine; only for networks on one machine")
        .flag("allow-loopback", "").default("false"),
    setting("node.folder", Form::Path, "MUSTER_FOLDER", "Folder of this node's journal, events and checkpoints; one for each node")
        .flag("folder", "PATH"),
    setting("node.threads", Form::Text, "MUSTER_THREADS", "Threads that compute on the processor: a number, or auto for all")
        .flag("threads", "N").default("auto"),
    setting("node.device", Form::Text, "MUSTER_DEVICE", "Where the model lives: cpu, cuda:N, or auto for the first GPU if there is one")
        .flag("device", "NAME").default("auto"),
    setting("node.compute", Form::Text, "MUSTER_COMPUTE", "Numbers that passes are computed with: f32 or bf16")
        .flag("compute", "KIND").default("f32"),
    setting("node.micro_batch", Form::Number, "MUSTER_MICRO_BATCH", "Sequences that are computed at a time; memory grows with it")
        .flag("micro-batch", "N").default("8"),
    setting("node.metrics", Form::Text, "MUSTER_METRICS", "Address that serves /metrics and /health, like 127.0.0.1:9100; none, if not given")
        .flag("metrics", "ADDRESS"),
    setting("node.save_every", Form::Number, "MUSTER_SAVE_EVERY", "Windows between two savings of error feedback and optimizer moments, for which training stops at staleness 1")
        .flag("save-every", "N").default("4"),
    setting("fetch.deadline", Form::Number, "MUSTER_FETCH_DEADLINE", "Seconds that one object of another's bucket may take")
        .flag("fetch-deadline", "SECONDS").default("600"),
    setting("fetch.floor", Form::Number, "MUSTER_FETCH_FLOOR", "Bytes a second below which another's bucket is given up")
        .flag("fetch-floor", "BYTES").default("65536"),
    setting("log.level", Form::Text, "MUSTER_LOG", "What is logged: a level, or target=level, separated by commas")
        .flag("log", "FILTER").default("info"),
    setting("log.format", Form::Text, "MUSTER_LOG_FORMAT", "How a line looks: human or json")
        .flag("log-format", "FORMAT").default("human"),
    setting("validator.checkpoint_every", Form::Number, "MUSTER_CHECKPOINT_EVERY", "Windows between two published checkpoints; 0 for none")
        .flag("checkpoint-every", "N").default("10").validators(),
    setting("validator.time_budget", Form::Number, "MUSTER_TIME_BUDGET", "Seconds that the evaluations of one window may take; who is cut comes first in the next")
        .flag("time-budget", "SECONDS").default("600").validators(),
    setting("validator.held_out_sequences", Form::Number, "MUSTER_HELD_OUT_SEQUENCES", "Sequences of held-out data that the shared model's loss is measured on; 0 for none")
        .flag("held-out-sequences", "N").default("64").validators(),
];

/// Environment variables of Muster that are not settings of a node.
pub(crate) const OTHER_VARIABLES: &[&str] = &[CONFIG, "MUSTER_COLDKEY_PASSWORD", "MUSTER_BLESS"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_given_once() {
        let keys: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        let variables: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.env).collect();
        let flags: Vec<_> = SETTINGS.iter().filter_map(|setting| setting.flag).collect();
        assert_eq!((keys.len(), variables.len()), (SETTINGS.len(), SETTINGS.len()));
        assert_eq!(flags.iter().collect::<BTreeSet<_>>().len(), flags.len());
        assert!(variables.iter().all(|name| name.starts_with("MUSTER_")));
    }

    #[test]
    fn secrets_have_no_flag_and_no_default() {
        let secrets: Vec<_> = SETTINGS.iter().filter(|setting| setting.secret).collect();
        assert_eq!(secrets.len(), 5);
        assert!(secrets.iter().all(|setting| setting.flag.is_none() && setting.default.is_none()));
    }
}
