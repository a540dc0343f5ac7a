//! All settings with their values and origins.

use super::{
    ConfigError, ConfigFlags, NodeRole, file,
    flags::settings,
    nearest::nearest,
    setting::{CONFIG, Form, OTHER_VARIABLES, Setting},
};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::PathBuf,
    str::FromStr,
};

/// The environment variables with the prefix `MUSTER_`.
pub type Environment = BTreeMap<String, String>;

/// The settings of a node, resolved: a flag wins over the environment, the environment over the file, the
/// file over the default.
#[derive(Clone, Debug)]
pub struct Settings {
    rows: Vec<Row>,
    warnings: Vec<String>,
}

#[derive(Clone)]
struct Row {
    setting: &'static Setting,
    value: Option<String>,
    origin: Origin,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.setting.key, self.shown(), self.origin)
    }
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(&'static str),
    /// The environment.
    Environment(&'static str),
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The default.
    Default,
    /// No origin: the setting is not set, and has no default.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Environment(name) => f.write_str(name),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
            Self::Unset => f.write_str("not set"),
        }
    }
}

/// Returns the environment of this process.
///
/// # Errors
/// A variable of Muster is not UTF-8.
pub fn environment() -> Result<Environment, ConfigError> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("MUSTER_"))?;
        Some(match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(ConfigError::NotText(name)),
        })
    });
    ours.collect()
}

impl Settings {
    /// Resolves the settings of a role.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has an unknown field or a value of the wrong form.
    pub fn resolve(
        role: NodeRole,
        flags: &ConfigFlags,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let path = flags.file.clone().or_else(|| given(environment, CONFIG).map(PathBuf::from));
        let found = path.as_deref().map(|path| file::read(path, role)).transpose()?.unwrap_or_default();
        let row = |setting: &'static Setting| {
            let flag = flags.values.get(setting.key).cloned().zip(setting.flag.map(Origin::Flag));
            let variable = || given(environment, setting.env).zip(Some(Origin::Environment(setting.env)));
            let file = || {
                let (found, path) = (found.get(setting.key)?, path.clone()?);
                Some((found.value.clone(), Origin::File { path, line: found.line }))
            };
            let default = || setting.default.map(|value| (value.to_owned(), Origin::Default));
            let (value, origin) = match flag.or_else(variable).or_else(file).or_else(default) {
                Some((value, origin)) => (Some(value), origin),
                None => (None, Origin::Unset),
            };
            Row { setting, value, origin }
        };
        Ok(Self { rows: settings(role).map(row).collect(), warnings: strangers(environment) })
    }

    /// Returns warnings about variables that look like Muster's and are not read.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the origin of a setting's value.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.rows.iter().find(|row| row.setting.key == key).map_or(Origin::Unset, |row| row.origin.clone())
    }

    /// Returns all settings with value and origin, as `config show` prints them. Secrets are "set" or
    /// "not set".
    #[must_use]
    pub fn show(&self) -> String {
        let widest = |cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or_default();
        let keys = widest(&mut self.rows.iter().map(|row| row.setting.key.len()));
        let values = widest(&mut self.rows.iter().map(|row| row.shown().chars().count()));
        let mut text = String::new();
        for row in &self.rows {
            let line = format!("{:keys$}  {:values$}  {}", row.setting.key, row.shown(), row.origin);
            writeln!(text, "{}", line.trim_end()).expect("a string takes all that is written");
        }
        for warning in &self.warnings {
            writeln!(text, "warning: {warning}").expect("a string takes all that is written");
        }
        text.trim_end().to_owned()
    }

    /// Returns a setting's text, if it is set.
    pub(super) fn text(&self, key: &'static str) -> Option<&str> {
        self.row(key).value.as_deref()
    }

    /// Parses a setting's value, if it is set.
    pub(super) fn get<T: FromStr<Err: fmt::Display>>(
        &self,
        key: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let parse =
            |text: &str| text.trim().parse().map_err(|error: T::Err| self.wrong(key, error.to_string()));
        self.text(key).map(parse).transpose()
    }

    /// Parses a setting's value.
    pub(super) fn require<T: FromStr<Err: fmt::Display>>(&self, key: &'static str) -> Result<T, ConfigError> {
        self.get(key)?.ok_or_else(|| self.missing(key))
    }

    /// Creates the error for a required setting that is missing.
    pub(super) fn missing(&self, key: &'static str) -> ConfigError {
        let setting = self.row(key).setting;
        let flag = setting.flag.map_or_else(String::new, |flag| format!("--{flag} or as "));
        ConfigError::Missing { key, help: setting.help, ways: format!("{flag}{}", setting.env) }
    }

    /// Creates the error for a value that is not valid.
    pub(super) fn wrong(&self, key: &'static str, reason: impl Into<String>) -> ConfigError {
        let row = self.row(key);
        let (origin, value, reason) = (row.origin.to_string(), row.shown(), reason.into());
        match row.setting.secret {
            true => ConfigError::Value { origin, key, value, reason: "it cannot be used".to_owned() },
            false => ConfigError::Value { origin, key, value, reason },
        }
    }

    fn row(&self, key: &'static str) -> &Row {
        self.rows.iter().find(|row| row.setting.key == key).expect("only settings of the table are asked for")
    }
}

impl Row {
    /// Returns the value in a form without secrets.
    fn shown(&self) -> String {
        match &self.value {
            None => "-".to_owned(),
            Some(_) if self.setting.secret => "set".to_owned(),
            // Providers put keys into addresses.
            Some(value) if self.setting.form == Form::List => {
                let shown = value.split(',').map(|url| chain::Endpoint::new(url.trim()).to_string());
                shown.collect::<Vec<_>>().join(",")
            }
            Some(value) => value.clone(),
        }
    }
}

/// Returns a variable that is set and not empty.
fn given(environment: &Environment, name: &str) -> Option<String> {
    environment.get(name).filter(|value| !value.is_empty()).cloned()
}

/// Returns warnings about variables that look like Muster's and are unknown: probably typing errors.
fn strangers(environment: &Environment) -> Vec<String> {
    let ours =
        || super::setting::SETTINGS.iter().map(|setting| setting.env).chain(OTHER_VARIABLES.iter().copied());
    let strange = environment.keys().filter(|name| !ours().any(|known| known == *name));
    let warn = |name: &String| match nearest(name, ours()) {
        Some(known) => format!("the environment variable {name} is not read; do you mean {known}?"),
        None => format!("the environment variable {name} is not read"),
    };
    strange.map(warn).collect()
}
