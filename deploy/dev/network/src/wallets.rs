//! Keys of a development network, as Bittensor's wallet files.
//!
//! All keys are derived from the network's seed, so the same command produces the same run: the order
//! of hotkeys decides the order of sums. The keys have no value, but they are handled like real keys.

use crate::{folder::make, roster::Participant};
use base::Hotkey;
use chain::wallet::{KeyPair, Wallet, WalletError};
use serde_json::json;
use sp_core::{Pair as _, sr25519};
use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The name of each participant's hotkey.
pub(crate) const HOTKEY: &str = "default";

/// A failure to write or read back a wallet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalletsError {
    /// A file that cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A wallet that cannot be read back.
    #[error(transparent)]
    Read(#[from] WalletError),
}

/// A secret that this network generated.
#[derive(Clone)]
pub(crate) struct GeneratedSecret {
    /// The owner and the purpose, for messages.
    pub(crate) what: String,
    /// The secret, in the form in which files contain it.
    pub(crate) text: String,
}

/// Derives 32 secret bytes for one purpose of one participant.
pub(crate) fn derive(seed: u64, participant: &str, purpose: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("muster devnet secrets");
    hasher.update(&seed.to_le_bytes()).update(participant.as_bytes()).update(&[0]).update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}

/// The keys of a participant.
pub(crate) struct Keys {
    hotkey: Seeded,
    coldkey: Seeded,
}

/// A key pair with its seed.
struct Seeded {
    seed: [u8; 32],
    pair: sr25519::Pair,
}

impl Seeded {
    fn new(seed: [u8; 32]) -> Self {
        Self { seed, pair: sr25519::Pair::from_seed(&seed) }
    }

    fn address(&self) -> Hotkey {
        Hotkey(self.pair.public().0)
    }

    fn secret_hex(&self) -> [String; 2] {
        [hex::encode(self.seed), hex::encode(self.pair.to_raw_vec())]
    }

    fn private_file(&self) -> String {
        let [seed, private] = self.secret_hex();
        let mut file = self.public();
        file["secretSeed"] = json!(format!("0x{seed}"));
        file["privateKey"] = json!(format!("0x{private}"));
        file["secretPhrase"] = json!(null);
        file.to_string()
    }

    fn public(&self) -> serde_json::Value {
        let public = format!("0x{}", hex::encode(self.pair.public().0));
        json!({
            "accountId": public,
            "publicKey": public,
            "ss58Address": self.address().to_string(),
            "cryptoType": 1,
        })
    }
}

impl Keys {
    /// Derives the keys of a participant of the network with this seed.
    pub(crate) fn new(seed: u64, participant: &str) -> Self {
        let key = |purpose| Seeded::new(derive(seed, participant, purpose));
        Self { hotkey: key("hotkey"), coldkey: key("coldkey") }
    }

    /// Returns the hotkey's address.
    pub(crate) fn hotkey(&self) -> Hotkey {
        self.hotkey.address()
    }

    /// Returns the coldkey's address as text.
    pub(crate) fn coldkey(&self) -> String {
        self.coldkey.address().to_string()
    }

    /// Writes the wallet of a participant below `root`.
    pub(crate) fn write(&self, root: &Path, participant: &Participant) -> Result<(), WalletsError> {
        let folder = root.join(&participant.name);
        let hotkeys = folder.join("hotkeys");
        make(&hotkeys).map_err(|source| WalletsError::Write { path: hotkeys.clone(), source })?;
        write(&folder.join("coldkey"), &self.coldkey.private_file())?;
        write(&folder.join("coldkeypub.txt"), &self.coldkey.public().to_string())?;
        write(&hotkeys.join(HOTKEY), &self.hotkey.private_file())?;
        write(&hotkeys.join(format!("{HOTKEY}pub.txt")), &self.hotkey.public().to_string())
    }

    /// Returns the secrets of these keys. None of them may appear in a log.
    pub(crate) fn secrets(&self, participant: &str) -> impl Iterator<Item = GeneratedSecret> {
        let keys = [("hotkey", self.hotkey.secret_hex()), ("coldkey", self.coldkey.secret_hex())];
        keys.into_iter().flat_map(move |(name, texts)| {
            texts.map(|text| GeneratedSecret { what: format!("the secret of {participant}'s {name}"), text })
        })
    }
}

/// Reads the hotkey that signs for a participant from its wallet, as any other program does.
pub(crate) fn signer(root: &Path, participant: &str) -> Result<KeyPair, WalletsError> {
    Ok(Wallet::new(root, participant)?.hotkey(HOTKEY, None)?)
}

fn write(path: &Path, text: &str) -> Result<(), WalletsError> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, text.as_bytes())
    };
    write().map_err(|source| WalletsError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::Role;
    use base::Uid;

    #[test]
    fn programs_read_the_wallets_that_are_written() {
        let root = tempfile::tempdir().unwrap();
        let participant = Participant { name: "miner-0".into(), role: Role::Miner, uid: Uid(4), stake: 0 };
        let keys = Keys::new(42, &participant.name);
        keys.write(root.path(), &participant).unwrap();
        let wallet = Wallet::new(root.path(), "miner-0").unwrap();
        assert_eq!(wallet.hotkey(HOTKEY, None).unwrap().hotkey(), keys.hotkey());
        assert_eq!(wallet.hotkey_public(HOTKEY).unwrap(), keys.hotkey());
        assert_eq!(wallet.coldkey_public().unwrap().to_string(), keys.coldkey());
        assert_eq!(wallet.coldkey(None).unwrap().coldkey().to_string(), keys.coldkey());
        assert_eq!(signer(root.path(), "miner-0").unwrap().hotkey(), keys.hotkey());
    }

    #[test]
    fn the_private_key_alone_is_the_same_key() {
        let root = tempfile::tempdir().unwrap();
        let keys = Keys::new(1, "x");
        let mut file: serde_json::Value = serde_json::from_str(&keys.hotkey.private_file()).unwrap();
        file["secretSeed"] = json!(null);
        fs::create_dir_all(root.path().join("x/hotkeys")).unwrap();
        write(&root.path().join("x/hotkeys/default"), &file.to_string()).unwrap();
        assert_eq!(signer(root.path(), "x").unwrap().hotkey(), keys.hotkey());
    }

    #[test]
    fn seeds_participants_and_purposes_have_their_own_secrets() {
        let all = [derive(1, "a", "x"), derive(2, "a", "x"), derive(1, "b", "x"), derive(1, "a", "y")];
        let different: std::collections::BTreeSet<_> = all.into_iter().collect();
        assert_eq!(different.len(), 4);
    }
}
