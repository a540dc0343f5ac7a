//! The settings of a chain in layers, as TOML values.

use std::{collections::BTreeMap, path::PathBuf};

use cli::Origin;
use devchain::{Config, Genesis};
use toml::{Table, Value};

/// Describes the origin of a value, with the name of its layer.
fn described(origin: &Origin) -> String {
    match origin {
        Origin::Default | Origin::Unset => origin.to_string(),
        _ => format!("{} {origin}", origin.layer()),
    }
}

/// An error in the settings.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("cannot read the configuration file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot use the configuration file {path}")]
    File { path: PathBuf, source: toml::de::Error },
    #[error("{}: `{text}` is not {expected}", described(origin))]
    Value { origin: Origin, text: String, expected: &'static str },
    #[error("{}: cannot set `{key}`, since `{parent}` is not a table", described(origin))]
    NotATable { origin: Origin, key: String, parent: String },
    #[error("{}: `{text}`: {problem}", described(origin))]
    Entry { origin: Origin, text: String, problem: String },
    #[error("cannot use the configuration")]
    Merged(#[source] toml::de::Error),
    #[error("cannot write the configuration as TOML")]
    Toml(#[from] toml::ser::Error),
    #[error("cannot write the configuration as JSON")]
    Json(#[from] serde_json::Error),
}

/// All values so far by dotted key, each with its origin. A list is one value.
#[derive(Clone, Debug)]
pub(super) struct Layers(cli::Layers<Value>);

impl Layers {
    /// Creates the default layer. Genesis values are added only when something sets one of them.
    pub(super) fn new() -> Result<Self, SettingsError> {
        let mut layers = Self(cli::Layers::default());
        layers.merge("", Value::try_from(Config::default())?, &Origin::Default)?;
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
        self.merge("", Value::Table(table), &Origin::File { path, line: None })
    }

    /// Sets the value at a dotted key. A table is merged.
    pub(super) fn merge(&mut self, key: &str, value: Value, origin: &Origin) -> Result<(), SettingsError> {
        if let Value::Table(table) = value {
            for (name, value) in table {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                self.merge(&key, value, origin)?;
            }
            return Ok(());
        }
        self.want_genesis(key)?;
        if let Some(parent) = self.0.above(key) {
            let key = key.to_owned();
            let parent = parent.to_owned();
            return Err(SettingsError::NotATable { origin: origin.clone(), key, parent });
        }
        self.0.remove_below(key);
        self.0.set(key, value, origin.clone());
        Ok(())
    }

    /// Appends to the list at a dotted key.
    pub(super) fn append(&mut self, key: &str, value: Value, origin: &Origin) -> Result<(), SettingsError> {
        self.want_genesis(key)?;
        let mut list = self.0.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        list.push(value);
        self.merge(key, Value::Array(list), origin)
    }

    /// Returns the configuration that results from all layers.
    pub(super) fn config(self) -> Result<Config, SettingsError> {
        Value::Table(self.tree()).try_into().map_err(SettingsError::Merged)
    }

    /// Returns the values under a dotted key as TOML, each with its origin in a comment.
    pub(super) fn to_toml(&self, under: &str) -> Result<String, SettingsError> {
        let complete = self.complete()?;
        let mut text = String::new();
        complete.write_toml(&complete.tree(), "", under, &mut text);
        Ok(text)
    }

    /// Returns the values under a dotted key as JSON, and their origins by dotted key.
    pub(super) fn to_json(&self, under: &str) -> Result<String, SettingsError> {
        let complete = self.complete()?;
        let mut tree = complete.tree();
        let values = if under.is_empty() { None } else { tree.remove(under) };
        let sources = complete.0.iter().filter(|(key, ..)| key.starts_with(under));
        let sources: BTreeMap<_, _> = sources.map(|(key, _, origin)| (key, described(origin))).collect();
        let values = values.unwrap_or(Value::Table(tree));
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
        if !key.starts_with("genesis.") || self.0.has_below("genesis") {
            return Ok(());
        }
        for (name, value) in Table::try_from(Genesis::default())? {
            self.insert_default(&format!("genesis.{name}"), value);
        }
        Ok(())
    }

    /// Sets default values, table by table.
    fn insert_default(&mut self, key: &str, value: Value) {
        match value {
            Value::Table(table) => {
                table
                    .into_iter()
                    .for_each(|(name, value)| self.insert_default(&format!("{key}.{name}"), value));
            }
            value => self.0.set(key, value, Origin::Default),
        }
    }

    /// Returns all values as nested tables.
    fn tree(&self) -> Table {
        let mut root = Table::new();
        self.0.iter().for_each(|(key, value, _)| insert(&mut root, key, value.clone()));
        root
    }

    fn write_toml(&self, table: &Table, at: &str, under: &str, text: &mut String) {
        let is_shown = |key: &str| key.starts_with(under);
        let (tables, leaves): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
        let full = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let shown: Vec<_> = leaves.into_iter().filter(|(name, _)| is_shown(&full(name))).collect();
        if !shown.is_empty() && !at.is_empty() {
            text.push_str(&format!("\n[{at}]\n"));
        }
        for (name, value) in shown {
            let origin = described(&self.0.origin(&full(name)));
            text.push_str(&format!("# {origin}\n{name} = {value}\n"));
        }
        for (name, value) in tables {
            if let Value::Table(table) = value {
                self.write_toml(table, &full(name), under, text);
            }
        }
    }
}

/// Inserts a value into nested tables.
fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((first, rest)) => {
            if let Value::Table(inner) = table.entry(first).or_insert_with(|| Value::Table(Table::new())) {
                insert(inner, rest, value);
            }
        }
    }
}
