//! The configuration file: TOML, each value with its line.

use super::{
    ConfigError, NodeRole,
    flags::settings,
    nearest::nearest,
    setting::{Form, Setting},
};
use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// A value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) value: String,
    pub(super) line: usize,
}

/// Reads the values of a file, by key.
pub(super) fn read(path: &Path, role: NodeRole) -> Result<BTreeMap<&'static str, Found>, ConfigError> {
    let unreadable = |source| ConfigError::File { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    parse(path, &text, role)
}

pub(super) fn parse(
    path: &Path,
    text: &str,
    role: NodeRole,
) -> Result<BTreeMap<&'static str, Found>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| malformed(path, text, &error))?;
    let mut found = BTreeMap::new();
    for (section, fields) in table.get_ref() {
        let line = |span: Range<usize>| line_of(text, span.start);
        let unknown = |key: String, line| unknown(path, line, key, role);
        let DeValue::Table(fields) = fields.get_ref() else {
            return Err(unknown(section.get_ref().to_string(), line(section.span())));
        };
        for (field, value) in fields {
            let key = format!("{}.{}", section.get_ref(), field.get_ref());
            let line = line(field.span());
            let Some(setting) = settings(role).find(|setting| setting.key == key) else {
                return Err(unknown(key, line));
            };
            let value = text_of(setting, value.get_ref(), path).ok_or_else(|| ConfigError::Form {
                origin: format!("{}:{line}", path.display()),
                key: setting.key,
                expected: setting.form.name(),
            })?;
            found.insert(setting.key, Found { value, line });
        }
    }
    Ok(found)
}

fn unknown(path: &Path, line: usize, key: String, role: NodeRole) -> ConfigError {
    let known = nearest(&key, settings(role).map(|setting| setting.key));
    let hint = known.map_or_else(String::new, |known| format!("; do you mean {known}?"));
    ConfigError::Unknown { path: path.to_owned(), line, key, hint }
}

/// Creates an error that does not repeat the line, since the line may contain a secret.
fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    ConfigError::Toml { path: path.to_owned(), line, reason: error.message().to_owned() }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Returns a value in the form of a flag, if it has the setting's form.
fn text_of(setting: &Setting, value: &DeValue<'_>, file: &Path) -> Option<String> {
    match (setting.form, value) {
        (Form::Text | Form::List, DeValue::String(text)) => Some(text.to_string()),
        // Both `threads = 2` and `threads = "auto"` are natural.
        (Form::Number | Form::Text, DeValue::Integer(number)) => Some(number.to_string()),
        (Form::Number, DeValue::Float(number)) => Some(number.to_string()),
        (Form::Switch, DeValue::Boolean(is_on)) => Some(is_on.to_string()),
        (Form::Path, DeValue::String(path)) => Some(beside(file, path).display().to_string()),
        (Form::List, DeValue::Array(texts)) => {
            let texts = texts.iter().map(|text| text.get_ref().as_str());
            Some(texts.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

/// Returns a path relative to the file's folder.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}
