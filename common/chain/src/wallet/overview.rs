//! [`WalletOverview`]: all keys of a wallet, as far as they can be told without a secret.

use std::{collections::BTreeSet, fs, io, path::PathBuf};

use base::{
    Hotkey,
    key_file::{Contents, KeyFile},
};

use super::{Access, PUBLIC, Wallet, WalletError, WalletKey, account, in_file, key_pair, read};

/// The keys of a wallet.
#[derive(Debug)]
pub struct WalletOverview {
    /// The folder.
    pub folder: PathBuf,
    /// The coldkey.
    pub coldkey: KeyOverview,
    /// The hotkeys with their names, in the order of the names.
    pub hotkeys: Vec<(String, KeyOverview)>,
}

/// The files of a key.
#[derive(Debug)]
pub struct KeyOverview {
    /// The path of the key's own file.
    pub path: PathBuf,
    /// The account, from the public file or from a plain key.
    pub account: Option<Hotkey>,
    /// The form of the key's own file.
    pub form: KeyForm,
    /// The reason why the key cannot be used, if there is one.
    pub problem: Option<WalletError>,
}

/// The form of a key's own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// There is no such file: the secret is elsewhere.
    Missing,
    /// Not encrypted.
    Plain,
    /// Encrypted with a password.
    Encrypted,
    /// Another form, or unreadable.
    Unknown,
}

impl Wallet {
    /// Looks at all key files of the wallet. It needs no password, and derives keys of plain files only, to
    /// compare them with their addresses.
    ///
    /// # Errors
    /// There is no such wallet, or its folder cannot be read.
    pub fn overview(&self) -> Result<WalletOverview, WalletError> {
        if !self.folder.is_dir() {
            return Err(WalletError::Missing { what: "wallet", path: self.folder.clone() });
        }
        let names = self.hotkey_names()?;
        let hotkeys = names.into_iter().map(|name| {
            let key = self.look_at(WalletKey::Hotkey(&name))?;
            Ok((name, key))
        });
        Ok(WalletOverview {
            folder: self.folder.clone(),
            coldkey: self.look_at(WalletKey::Coldkey)?,
            hotkeys: hotkeys.collect::<Result<_, WalletError>>()?,
        })
    }

    /// Returns the names of the hotkeys that have a file, be it only the public one.
    fn hotkey_names(&self) -> Result<BTreeSet<String>, WalletError> {
        let folder = self.folder.join("hotkeys");
        let unreadable = |source| WalletError::Unreadable { path: folder.clone(), source };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            // Names that are not UTF-8 cannot be given on a command line.
            let Ok(name) = entry.map_err(unreadable)?.file_name().into_string() else { continue };
            if !name.starts_with('.') {
                names.insert(
                    name.strip_suffix(PUBLIC).filter(|name| !name.is_empty()).unwrap_or(&name).into(),
                );
            }
        }
        Ok(names)
    }

    fn look_at(&self, key: WalletKey<'_>) -> Result<KeyOverview, WalletError> {
        let (path, public_path) = (self.path(key)?, self.public_path(key)?);
        let public = read(&public_path, key.public_kind(), Access::Public)
            .and_then(|bytes| account(&public_path, &bytes).map(Some));
        let public = match public {
            Err(WalletError::Missing { .. }) => Ok(None),
            public => public,
        };
        let (form, own) = self.look_into(key)?;
        let (account, problem) = match (public, own) {
            (Ok(Some(stated)), Ok(Some(found))) if stated != found => {
                (Some(found), Some(WalletError::Mismatch { path: public_path, stated, found }))
            }
            (Ok(public), Ok(own)) => (public.or(own), None),
            (Ok(account), Err(problem)) | (Err(problem), Ok(account)) => (account, Some(problem)),
            (Err(_), Err(problem)) => (None, Some(problem)),
        };
        Ok(KeyOverview { path, account, form, problem })
    }

    /// Returns the form of a key's own file, and the account if the file is plain.
    fn look_into(
        &self,
        key: WalletKey<'_>,
    ) -> Result<(KeyForm, Result<Option<Hotkey>, WalletError>), WalletError> {
        let path = self.path(key)?;
        let bytes = match read(&path, key.kind(), Access::Secret) {
            Err(WalletError::Missing { .. }) => return Ok((KeyForm::Missing, Ok(None))),
            Err(error) => return Ok((KeyForm::Unknown, Err(error))),
            Ok(bytes) => bytes,
        };
        Ok(match KeyFile::read(&bytes).map_err(in_file(&path)) {
            Ok(Contents::Plain(file)) => {
                (KeyForm::Plain, key_pair(&path, &file).map(|pair| Some(pair.hotkey())))
            }
            Ok(Contents::Sealed(_)) => (KeyForm::Encrypted, Ok(None)),
            Err(error) => (KeyForm::Unknown, Err(error)),
        })
    }
}
