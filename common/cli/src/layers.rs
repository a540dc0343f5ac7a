//! [`Layers`]: settings in layers, default < file < environment < flag, with the origin of each value.

use std::{collections::BTreeMap, fmt, path::PathBuf};

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line: a flag's name, without dashes.
    Flag(&'static str),
    /// An environment variable.
    Environment(String),
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1, if it is known.
        line: Option<usize>,
    },
    /// The default.
    Default,
    /// No layer gives a value.
    Unset,
}

impl Origin {
    /// Returns the name of the layer.
    #[must_use]
    pub fn layer(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Environment(_) => "environment",
            Self::File { .. } => "file",
            Self::Default => "default",
            Self::Unset => "not set",
        }
    }

    /// Returns the layer's place: a layer overrides those of lower rank.
    fn rank(&self) -> u8 {
        match self {
            Self::Unset => 0,
            Self::Default => 1,
            Self::File { .. } => 2,
            Self::Environment(_) => 3,
            Self::Flag(_) => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Environment(name) => f.write_str(name),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Default | Self::Unset => f.write_str(self.layer()),
        }
    }
}

/// Values by dotted key, such as `chain.netuid`, each with its origin.
///
/// The order of the calls does not matter between layers; within a layer the last value stays.
///
/// ```
/// use cli::{Layers, Origin};
///
/// let mut layers = Layers::default();
/// layers.set("chain.netuid", 4, Origin::Flag("netuid"));
/// layers.set("chain.netuid", 3, Origin::Default);
/// assert_eq!(layers.get("chain.netuid"), Some(&4));
/// assert_eq!(layers.origin("chain.netuid").to_string(), "--netuid");
/// assert_eq!(layers.origin("chain.genesis"), Origin::Unset);
/// ```
#[derive(Clone, Debug)]
pub struct Layers<V>(BTreeMap<String, (V, Origin)>);

impl<V> Default for Layers<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> Layers<V> {
    /// Sets a value, unless a higher layer has set one.
    pub fn set(&mut self, key: impl Into<String>, value: V, origin: Origin) {
        let key = key.into();
        if self.origin(&key).rank() <= origin.rank() {
            self.0.insert(key, (value, origin));
        }
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&V> {
        self.0.get(key).map(|(value, _)| value)
    }

    /// Returns the origin of a key's value.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.0.get(key).map_or(Origin::Unset, |(_, origin)| origin.clone())
    }

    /// Iterates over all keys with their values and origins, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V, &Origin)> {
        self.0.iter().map(|(key, (value, origin))| (key.as_str(), value, origin))
    }

    /// Removes all keys below a key.
    pub fn remove_below(&mut self, key: &str) {
        self.0.retain(|other, _| !is_below(other, key));
    }

    /// Returns whether a value is set below a key.
    #[must_use]
    pub fn has_below(&self, key: &str) -> bool {
        self.0.keys().any(|other| is_below(other, key))
    }

    /// Returns a key above this one that has a value itself.
    #[must_use]
    pub fn above(&self, key: &str) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|other| is_below(key, other))
    }
}

/// Returns whether a key lies below another one, as `rpc.connections` below `rpc`.
fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_layer_stays_in_any_order() {
        let file = || Origin::File { path: "node.toml".into(), line: Some(3) };
        let layers = [Origin::Default, file(), Origin::Environment("MUSTER_LOG".into()), Origin::Flag("log")];
        for (low, first) in layers.iter().enumerate() {
            for (high, second) in layers.iter().enumerate() {
                let mut both = Layers::default();
                both.set("log", low, first.clone());
                both.set("log", high, second.clone());
                assert_eq!(both.get("log"), Some(&low.max(high)), "{first} {second}");
            }
        }
        let shown = layers.map(|origin| origin.to_string());
        assert_eq!(shown, ["default", "node.toml:3", "MUSTER_LOG", "--log"]);
    }

    #[test]
    fn keys_lie_below_each_other() {
        let mut layers = Layers::default();
        layers.set("rpc.connections", 1, Origin::Default);
        layers.set("rpcs", 2, Origin::Default);
        assert!(layers.has_below("rpc") && !layers.has_below("rpcs"));
        assert_eq!(layers.above("rpcs.port"), Some("rpcs"));
        assert_eq!(layers.above("rpc.other"), None);
        layers.remove_below("rpc");
        assert_eq!(layers.iter().map(|(key, ..)| key).collect::<Vec<_>>(), ["rpcs"]);
    }
}
