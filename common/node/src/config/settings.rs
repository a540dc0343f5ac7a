//! All settings with their values, and the origin of each.

use super::{
    ConfigError, ConfigFlags, NodeRole,
    file::{self, Found},
    flags::settings,
    nearest::nearest,
    setting::{CONFIG, Form, OTHER_VARIABLES, Setting},
};
use cli::{Layers, Origin};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::PathBuf,
    str::FromStr,
};

/// The environment variables whose names begin with `MUSTER_`.
pub type Environment = BTreeMap<String, String>;

/// The settings of a node, resolved: default < file < environment < flag.
#[derive(Clone)]
pub struct Settings {
    role: NodeRole,
    layers: Layers<String>,
    warnings: Vec<String>,
}

/// A setting with its value, if it has one, and the origin of the value.
struct Row<'a> {
    setting: &'static Setting,
    value: Option<&'a str>,
    origin: Origin,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text of `config show` holds no secret.
        f.debug_tuple("Settings").field(&self.show()).finish()
    }
}

/// Reads the environment of this process.
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
    /// The file cannot be read, is not TOML, or has an unknown field or a value of another form.
    pub fn resolve(
        role: NodeRole,
        flags: &ConfigFlags,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = flags.file.clone().or_else(|| given(environment, CONFIG).map(PathBuf::from)) {
            for (key, Found { value, line }) in file::read(&path, role)? {
                layers.set(key, value, Origin::File { path: path.clone(), line: Some(line) });
            }
        }
        for setting in settings(role) {
            if let Some(value) = setting.default {
                layers.set(setting.key, value.to_owned(), Origin::Default);
            }
            if let Some(value) = given(environment, setting.env) {
                layers.set(setting.key, value, Origin::Environment(setting.env.to_owned()));
            }
            if let Some((value, flag)) = flags.values.get(setting.key).zip(setting.flag) {
                layers.set(setting.key, value.clone(), Origin::Flag(flag));
            }
        }
        Ok(Self { role, layers, warnings: strangers(environment) })
    }

    /// Returns warnings about variables that look like settings and are not read.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the origin of a setting's value.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.layers.origin(key)
    }

    /// Returns the text of `config show`: every setting, its value, and its origin. Secrets are "set" or
    /// "not set".
    #[must_use]
    pub fn show(&self) -> String {
        let widest = |cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or_default();
        let keys = widest(&mut self.rows().map(|row| row.setting.key.len()));
        let values = widest(&mut self.rows().map(|row| row.shown().chars().count()));
        let mut text = String::new();
        for row in self.rows() {
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
        self.layers.get(key).map(String::as_str)
    }

    /// Returns a setting's value, if it is set.
    pub(super) fn get<T: FromStr<Err: fmt::Display>>(
        &self,
        key: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let parse =
            |text: &str| text.trim().parse().map_err(|error: T::Err| self.wrong(key, error.to_string()));
        self.text(key).map(parse).transpose()
    }

    /// Returns a setting's value.
    pub(super) fn require<T: FromStr<Err: fmt::Display>>(&self, key: &'static str) -> Result<T, ConfigError> {
        self.get(key)?.ok_or_else(|| self.missing(key))
    }

    /// Returns the error of a setting that has to be given.
    pub(super) fn missing(&self, key: &'static str) -> ConfigError {
        let setting = self.row(key).setting;
        let flag = setting.flag.map_or_else(String::new, |flag| format!("--{flag} or as "));
        ConfigError::Missing { key, help: setting.help, ways: format!("{flag}{}", setting.env) }
    }

    /// Returns the error of a value that cannot be used.
    pub(super) fn wrong(&self, key: &'static str, reason: impl Into<String>) -> ConfigError {
        let row = self.row(key);
        let origin = row.origin.to_string();
        let value = row.shown();
        let reason = reason.into();
        if row.setting.secret {
            ConfigError::Value { origin, key, value, reason: "it cannot be used".to_owned() }
        } else {
            ConfigError::Value { origin, key, value, reason }
        }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        settings(self.role).map(|setting| Row {
            setting,
            value: self.layers.get(setting.key).map(String::as_str),
            origin: self.layers.origin(setting.key),
        })
    }

    fn row(&self, key: &'static str) -> Row<'_> {
        self.rows().find(|row| row.setting.key == key).expect("only settings of the table are asked for")
    }
}

impl Row<'_> {
    /// Returns the value as it may be shown.
    fn shown(&self) -> String {
        match self.value {
            None => "-".to_owned(),
            Some(_) if self.setting.secret => "set".to_owned(),
            // Providers put keys into addresses.
            Some(value) if self.setting.form == Form::List => {
                let shown = value.split(',').map(|url| chain::Endpoint::new(url.trim()).to_string());
                shown.collect::<Vec<_>>().join(",")
            }
            Some(value) => value.to_owned(),
        }
    }
}

/// Returns the value of a variable that is not empty.
fn given(environment: &Environment, name: &str) -> Option<String> {
    environment.get(name).filter(|value| !value.is_empty()).cloned()
}

/// Returns warnings about variables that look like settings and are not: typing errors, most likely.
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
