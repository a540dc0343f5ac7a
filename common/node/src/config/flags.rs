//! The flags of a node: one for each setting that is not a secret.

use super::{
    NodeRole,
    setting::{CONFIG, Form, SETTINGS, Setting},
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, error::Error};
use std::{collections::BTreeMap, path::PathBuf};

/// The settings on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFlags {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Values by key.
    pub(crate) values: BTreeMap<&'static str, String>,
}

/// The settings on a validator's command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidatorFlags(pub ConfigFlags);

/// Returns the settings of a role.
pub(crate) fn settings(role: NodeRole) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| !setting.validators || role == NodeRole::Validator)
}

impl ConfigFlags {
    /// Creates flags with a configuration file and nothing else.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), values: BTreeMap::new() }
    }

    fn augment(command: Command, role: NodeRole) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("Configuration file; flags and environment win over it [env: {CONFIG}]"));
        settings(role).filter_map(flag).fold(command.arg(file), Command::arg)
    }

    fn read(matches: &ArgMatches, role: NodeRole) -> Self {
        let value = |setting: &'static Setting| {
            let flag = setting.flag?;
            let given = match setting.form {
                Form::Switch => matches.get_flag(flag).then(|| "true".to_owned()),
                _ => matches.get_one::<String>(flag).cloned(),
            };
            given.map(|value| (setting.key, value))
        };
        Self {
            file: matches.get_one::<PathBuf>("config").cloned(),
            values: settings(role).filter_map(value).collect(),
        }
    }
}

fn flag(setting: &Setting) -> Option<Arg> {
    let name = setting.flag?;
    let default = setting.default.filter(|_| setting.form != Form::Switch);
    let default = default.map_or_else(String::new, |value| format!(" [default: {value}]"));
    let arg = Arg::new(name).long(name).help(format!("{} [env: {}]{default}", setting.help, setting.env));
    Some(match setting.form {
        Form::Switch => arg.action(ArgAction::SetTrue),
        _ => arg.value_name(setting.placeholder).allow_hyphen_values(true),
    })
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        Self::augment(command, NodeRole::Miner)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self::read(matches, NodeRole::Miner))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ValidatorFlags {
    fn augment_args(command: Command) -> Command {
        ConfigFlags::augment(command, NodeRole::Validator)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ValidatorFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(ConfigFlags::read(matches, NodeRole::Validator)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
