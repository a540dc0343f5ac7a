//! The ways of a phrase into a program and out of it.

use super::WalletCommandError;
use crate::{
    CommandError, SecretFileError,
    password::{ask, read_text},
};
use base::Secret;
use chain::wallet::Phrase;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

/// The place to which a new phrase goes.
pub(super) enum NewPhrase {
    /// Standard error, which is a terminal.
    Terminal,
    /// A file that does not exist yet.
    File(PathBuf),
}

impl NewPhrase {
    /// Chooses the place: the file if there is one, else the terminal.
    pub(super) fn new(file: Option<PathBuf>) -> Result<Self, WalletCommandError> {
        match file {
            Some(file) => Ok(Self::File(file)),
            None if io::stderr().is_terminal() => Ok(Self::Terminal),
            None => Err(WalletCommandError::NoPlace),
        }
    }

    /// Returns the file.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Terminal => None,
            Self::File(file) => Some(file),
        }
    }

    /// Writes the phrase to the file.
    pub(super) fn save(&self, phrase: &Phrase) -> Result<(), WalletCommandError> {
        let Self::File(path) = self else { return Ok(()) };
        let unwritten = |source| WalletCommandError::Unwritten { path: path.clone(), source };
        let file = create(path).map_err(unwritten)?;
        write(file, phrase).map_err(|error| {
            self.discard();
            unwritten(error)
        })
    }

    /// Removes the file of a phrase whose key was not written. The phrase is worth nothing, so a file that
    /// stays does no harm.
    pub(super) fn discard(&self) {
        if let Self::File(path) = self {
            let _ = fs::remove_file(path);
        }
    }

    /// Shows the phrase in the terminal. `path` is the file of its key.
    pub(super) fn show(&self, phrase: &Phrase, path: &Path) -> Result<(), WalletCommandError> {
        let Self::Terminal = self else { return Ok(()) };
        let shown = show(&mut io::stderr().lock(), phrase);
        shown.map_err(|source| WalletCommandError::Unshown { path: path.to_owned(), source })
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write(mut file: File, phrase: &Phrase) -> io::Result<()> {
    file.write_all(phrase.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

pub(super) fn show(to: &mut impl io::Write, phrase: &Phrase) -> io::Result<()> {
    let words = phrase.expose().split(' ').count();
    writeln!(
        to,
        "The phrase of this key, {words} words. It is shown this once: write it down now, on paper. Without it a lost \
         key file is lost for good, and anyone who reads it owns the key.\n\n    {}\n",
        phrase.expose()
    )?;
    to.flush()
}

/// Reads the phrase to import: from the file, else from the terminal, else from the pipe.
pub(super) fn ask_phrase(file: Option<&Path>) -> Result<Phrase, CommandError> {
    let (text, from) = match file {
        Some(path) => {
            let text = File::open(path).map_err(SecretFileError::from).and_then(read_text);
            (text, path.display().to_string())
        }
        None => match ask_terminal()? {
            Some(typed) => (Ok(typed), "the terminal".to_owned()),
            None => (read_text(io::stdin().lock()), "standard input".to_owned()),
        },
    };
    let text = text.map_err(|source| WalletCommandError::Unread { from, source })?;
    Ok(Phrase::parse(text.expose()).map_err(WalletCommandError::from)?)
}

fn ask_terminal() -> Result<Option<Secret>, CommandError> {
    let typed = ask("Phrase of 12 to 24 words (not shown while you type): ");
    typed.map_err(|source| {
        WalletCommandError::Unread { from: "the terminal".to_owned(), source: source.into() }.into()
    })
}
