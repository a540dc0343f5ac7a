//! Settings in layers, with the source of each value: default < file < environment < flag.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use devchain::{Config, Genesis};
use toml::{Table, Value};

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// An error in the settings.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("cannot read the configuration file {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("configuration file {path}: {}", source.to_string().trim_end())]
    File { path: PathBuf, source: toml::de::Error },
    #[error("{origin}: `{text}` is not {expected}")]
    Value { origin: Source, text: String, expected: &'static str },
    #[error("{origin}: cannot set `{key}`, since `{parent}` is not a table")]
    NotATable { origin: Source, key: String, parent: String },
    #[error("{origin}: `{text}`: {problem}")]
    Entry { origin: Source, text: String, problem: String },
    #[error("configuration: {}", .0.to_string().trim_end().replace('\n', " "))]
    Merged(toml::de::Error),
    #[error("cannot write the configuration as TOML: {0}")]
    Toml(#[from] toml::ser::Error),
    #[error("cannot write the configuration as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// All values so far, and the source of each by its dotted key.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    values: Table,
    sources: BTreeMap<String, Source>,
}

impl Layers {
    /// Creates the default layer. Genesis values are added only when something sets one of them.
    pub(super) fn new() -> Result<Self, SettingsError> {
        let mut layers = Self { values: Table::new(), sources: BTreeMap::new() };
        layers.merge("", Value::try_from(Config::default())?, &Source::Default)?;
        Ok(layers)
    }

    /// Adds the settings of a file.
    pub(super) fn add_file(&mut self, path: PathBuf) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(&path)
            .map_err(|source| SettingsError::Read { path: path.clone(), source })?;
        // Parse the file on its own first, so that an error names line and column.
        let parsed: Result<(Config, Table), _> =
            toml::from_str(&text).and_then(|config| Ok((config, toml::from_str(&text)?)));
        let (_, table) = parsed.map_err(|source| SettingsError::File { path: path.clone(), source })?;
        self.merge("", Value::Table(table), &Source::File(path))
    }

    /// Sets the value at a dotted key. A table is merged.
    pub(super) fn merge(&mut self, key: &str, value: Value, source: &Source) -> Result<(), SettingsError> {
        if let Value::Table(table) = value {
            for (name, value) in table {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                self.merge(&key, value, source)?;
            }
            return Ok(());
        }
        self.want_genesis(key)?;
        *self.slot(key, source)? = value;
        self.sources.insert(key.into(), source.clone());
        Ok(())
    }

    /// Appends to the list at a dotted key.
    pub(super) fn append(&mut self, key: &str, value: Value, source: &Source) -> Result<(), SettingsError> {
        self.want_genesis(key)?;
        let mut list = self.slot(key, source)?.as_array().cloned().unwrap_or_default();
        list.push(value);
        self.merge(key, Value::Array(list), source)
    }

    /// Returns the configuration that results from all layers.
    pub(super) fn config(self) -> Result<Config, SettingsError> {
        Value::Table(self.values).try_into().map_err(SettingsError::Merged)
    }

    /// Returns the values under a dotted key as TOML, each with its source in a comment.
    pub(super) fn to_toml(&self, under: &str) -> Result<String, SettingsError> {
        let values = self.complete()?;
        let mut text = String::new();
        values.write_toml(&values.values, "", under, &mut text)?;
        Ok(text)
    }

    /// Returns the values under a dotted key as JSON, and their sources by dotted key.
    pub(super) fn to_json(&self, under: &str) -> Result<String, SettingsError> {
        let complete = self.complete()?;
        let values = if under.is_empty() { None } else { complete.values.get(under) };
        let sources = complete.sources.iter().filter(|(key, _)| key.starts_with(under));
        let sources: BTreeMap<_, _> = sources.map(|(key, source)| (key, source.to_string())).collect();
        let values = values.cloned().unwrap_or(Value::Table(complete.values.clone()));
        let text =
            serde_json::to_string_pretty(&serde_json::json!({ "values": values, "sources": sources }))?;
        Ok(text + "\n")
    }

    /// Adds the default genesis values, unless a layer has set some.
    fn complete(&self) -> Result<Self, SettingsError> {
        let mut complete = self.clone();
        complete.want_genesis("genesis.subnet")?;
        Ok(complete)
    }

    /// Inserts the default genesis before the first genesis value is set.
    fn want_genesis(&mut self, key: &str) -> Result<(), SettingsError> {
        if !key.starts_with("genesis.") || self.values.contains_key("genesis") {
            return Ok(());
        }
        self.values.insert("genesis".into(), Value::Table(Table::new()));
        self.merge("genesis", Value::try_from(Genesis::default())?, &Source::Default)
    }

    fn slot(&mut self, key: &str, source: &Source) -> Result<&mut Value, SettingsError> {
        let (parents, name) =
            key.rsplit_once('.').map_or((None, key), |(parents, name)| (Some(parents), name));
        let mut table = &mut self.values;
        for parent in parents.into_iter().flat_map(|parents| parents.split('.')) {
            let next = table.entry(parent).or_insert_with(|| Value::Table(Table::new()));
            table = next.as_table_mut().ok_or_else(|| SettingsError::NotATable {
                origin: source.clone(),
                key: key.into(),
                parent: parent.into(),
            })?;
        }
        Ok(table.entry(name).or_insert(Value::Boolean(false)))
    }

    fn write_toml(
        &self,
        table: &Table,
        at: &str,
        under: &str,
        text: &mut String,
    ) -> Result<(), SettingsError> {
        let is_shown = |key: &str| key.starts_with(under);
        let (tables, leaves): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
        let full = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let shown: Vec<_> = leaves.into_iter().filter(|(name, _)| is_shown(&full(name))).collect();
        if !shown.is_empty() && !at.is_empty() {
            text.push_str(&format!("\n[{at}]\n"));
        }
        for (name, value) in shown {
            let source = self.sources.get(&full(name)).unwrap_or(&Source::Default);
            text.push_str(&format!("# {source}\n{name} = {value}\n"));
        }
        for (name, value) in tables {
            if let Value::Table(table) = value {
                self.write_toml(table, &full(name), under, text)?;
            }
        }
        Ok(())
    }
}
