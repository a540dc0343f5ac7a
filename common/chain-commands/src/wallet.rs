//! The commands `wallet create`, `wallet import` and `wallet show`: keys in the files of Bittensor's tools.
//!
//! A phrase comes from a terminal, a pipe or a file, and goes to a terminal or a file of its owner, never
//! into the answer: answers end up in logs.

mod phrase;
mod show;
#[cfg(test)]
mod tests;

use crate::{
    COLDKEY_PASSWORD, CommandError, HOTKEY_PASSWORD, PasswordFlags, SecretFileError, WalletFolder,
    password::{new_password, shared_variable},
};
use base::{Exit, Secret};
use chain::wallet::{Existing, KeyPair, Phrase, PhraseError, Wallet, WalletKey, WordCount};
use clap::{Args, ValueEnum};
use phrase::{NewPhrase, ask_phrase};
use serde_json::json;
use std::{io, path::PathBuf};

/// The commands of wallets.
#[derive(Debug, clap::Subcommand)]
pub enum WalletCommand {
    /// Create a key from a new phrase, and show the phrase this once.
    Create(Create),
    /// Restore a key from its phrase, which is asked for, piped in, or read from a file.
    Import(Import),
    /// Show the addresses and the files of a wallet, and no secret.
    Show(show::Show),
}

/// A key that cannot be created or imported.
#[derive(Debug, thiserror::Error)]
pub enum WalletCommandError {
    /// The phrase is wrong.
    #[error("this is not the phrase of a key: nothing was written")]
    Phrase(#[from] PhraseError),
    /// The phrase cannot be read.
    #[error("cannot read the phrase from {from}")]
    Unread {
        /// The place of the phrase.
        from: String,
        /// The reason.
        source: SecretFileError,
    },
    /// A new phrase has no place to go.
    #[error(
        "the new phrase cannot be shown, since standard error is not a terminal: run this in a terminal, or name a \
         new file for the phrase (--phrase-out)"
    )]
    NoPlace,
    /// The file of a new phrase cannot be written.
    #[error("cannot write the phrase to {}: name a file that does not exist", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The terminal fails after the key was written.
    #[error("the key was written, but its phrase cannot be shown: the field secretPhrase of {} holds it", path.display())]
    Unshown {
        /// The key file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl WalletCommandError {
    /// Returns the exit code of the program.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Phrase(_) | Self::Unread { .. } | Self::NoPlace => Exit::Usage,
            Self::Unwritten { .. } | Self::Unshown { .. } => Exit::Failed,
        }
    }
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyKind {
    /// The key that owns the money. It pays registrations; keep it off the machines of nodes.
    Coldkey,
    /// The key that signs for a node.
    Hotkey,
}

/// Flags of a key that is written.
#[derive(Debug, Args)]
struct KeyFlags {
    /// Write this key.
    #[arg(value_enum, value_name = "KEY")]
    key: KeyKind,
    #[command(flatten)]
    folder: WalletFolder,
    /// Give the hotkey this name.
    #[arg(long, value_name = "NAME", env = "MUSTER_HOTKEY", default_value = "default")]
    hotkey: String,
    /// Encrypt the key with a password; a coldkey is encrypted unless --plain is given.
    #[arg(long, conflicts_with = "plain")]
    encrypt: bool,
    /// Write the key without encryption; a hotkey is plain unless --encrypt is given.
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    password: PasswordFlags,
    /// Replace an existing key, which destroys it.
    #[arg(long)]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The sources of passwords, for the help texts.
const PASSWORDS: &str = "A password is read from --password-file, from MUSTER_COLDKEY_PASSWORD or \
                         MUSTER_HOTKEY_PASSWORD, or asked for in a terminal. Encrypted keys open with the same, or \
                         with the variable of Bittensor's tools (BT_PW_ and the path of the key).";

/// Flags of `wallet create`.
#[derive(Debug, Args)]
#[command(after_help = PASSWORDS)]
pub struct Create {
    #[command(flatten)]
    key: KeyFlags,
    /// Make a phrase of this many words: 12, 15, 18, 21 or 24.
    #[arg(long, value_name = "N", default_value_t)]
    words: WordCount,
    /// Write the phrase to this new file, which only its owner can read, instead of the terminal.
    #[arg(long, value_name = "FILE")]
    phrase_out: Option<PathBuf>,
}

/// Flags of `wallet import`.
#[derive(Debug, Args)]
#[command(after_help = PASSWORDS)]
pub struct Import {
    #[command(flatten)]
    key: KeyFlags,
    /// Read the phrase from this file instead of the terminal or the pipe.
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
}

impl WalletCommand {
    /// Returns the answer. It holds no secret.
    pub(crate) fn run(self) -> Result<String, CommandError> {
        match self {
            Self::Create(create) => create.run(),
            Self::Import(import) => import.run(),
            Self::Show(show) => show.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<String, CommandError> {
        let place = NewKey::open(&self.key)?;
        let out = NewPhrase::new(self.phrase_out)?;
        let password = place.password()?;
        let phrase = Phrase::generate(self.words);
        // The file comes first: a key without a phrase that was seen is a loss to come.
        out.save(&phrase)?;
        match place.write(&phrase, password.as_ref()) {
            Ok(pair) => {
                out.show(&phrase, &place.path)?;
                Ok(place.answer(&pair, password.is_some(), out.file()))
            }
            Err(error) => {
                out.discard();
                Err(error)
            }
        }
    }
}

impl Import {
    fn run(self) -> Result<String, CommandError> {
        let place = NewKey::open(&self.key)?;
        let phrase = ask_phrase(self.phrase_file.as_deref())?;
        let password = place.password()?;
        let pair = place.write(&phrase, password.as_ref())?;
        Ok(place.answer(&pair, password.is_some(), None))
    }
}

/// The place of a key that is to be written.
struct NewKey<'a> {
    flags: &'a KeyFlags,
    wallet: Wallet,
    path: PathBuf,
}

impl<'a> NewKey<'a> {
    /// Checks the names, and that there is no key yet, before anything is asked.
    fn open(flags: &'a KeyFlags) -> Result<Self, CommandError> {
        let wallet = flags.folder.open()?;
        let path = wallet.path(flags.name())?;
        if !flags.force {
            wallet.check_absent(flags.name())?;
        }
        Ok(Self { flags, wallet, path })
    }

    /// Returns the password to encrypt the key with, if it is to be encrypted.
    fn password(&self) -> Result<Option<Secret>, CommandError> {
        let flags = self.flags;
        let (is_secret, variable) = match flags.key {
            KeyKind::Coldkey => (!flags.plain, COLDKEY_PASSWORD),
            KeyKind::Hotkey => (flags.encrypt, HOTKEY_PASSWORD),
        };
        let password = is_secret.then(|| new_password(&flags.password, variable, &self.path));
        Ok(password.transpose()?)
    }

    fn write(&self, phrase: &Phrase, password: Option<&Secret>) -> Result<KeyPair, CommandError> {
        let existing = if self.flags.force { Existing::Replace } else { Existing::Keep };
        Ok(self.wallet.write(self.flags.name(), phrase, password, existing)?)
    }

    fn answer(&self, pair: &KeyPair, is_encrypted: bool, phrase: Option<&PathBuf>) -> String {
        let address = pair.hotkey().to_string();
        let kind = self.flags.name().kind();
        let variable = if is_encrypted { shared_variable(&self.path) } else { None };
        if self.flags.json {
            let hotkey = (self.flags.key == KeyKind::Hotkey).then_some(&self.flags.hotkey);
            return json!({
                "key": kind,
                "hotkey": hotkey,
                "address": address,
                "path": self.path,
                "encrypted": is_encrypted,
                "password_variable": variable,
                "phrase_file": phrase,
            })
            .to_string();
        }
        let form = if is_encrypted { "encrypted" } else { "not encrypted" };
        let mut text = format!("{kind} {address}\n{} ({form})", self.path.display());
        if let Some(variable) = variable {
            text += &format!("\nBittensor's tools, and these, look for its password in {variable}");
        }
        if let Some(file) = phrase {
            text += &format!("\nits phrase is in {}: move it to a safe place", file.display());
        }
        text
    }
}

impl KeyFlags {
    fn name(&self) -> WalletKey<'_> {
        match self.key {
            KeyKind::Coldkey => WalletKey::Coldkey,
            KeyKind::Hotkey => WalletKey::Hotkey(&self.hotkey),
        }
    }
}
