//! Files that are written here, against those of PyPI `bittensor-wallet` 4.1.1 (`tests/data/README.md`).

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use super::*;
use crate::wallet::{KeyForm, WalletOverview};

const COLDKEY: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const HOTKEY: &str = "letter advice cage absurd amount doctor acoustic avoid letter advice cage above";
const DEFAULT: WalletKey<'static> = WalletKey::Hotkey("default");

struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn wallet(&self) -> Wallet {
        // The folders above it are missing too.
        Wallet::new(&self.0.path().join("bittensor/wallets"), "mine").unwrap()
    }
}

fn phrase(words: &str) -> Phrase {
    Phrase::parse(words).unwrap()
}

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wallets/plain").join(file)
}

fn json(path: &Path) -> BTreeMap<String, serde_json::Value> {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Returns the names of all files in a folder and below it.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let names = names.iter().flat_map(|path| if path.is_dir() { files(path) } else { vec![name(path)] });
    names.collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn plain_files_are_those_of_bittensors_tools() {
    let root = Root::new();
    let wallet = root.wallet();
    wallet.write(WalletKey::Coldkey, &phrase(COLDKEY), None, Existing::Keep).unwrap();
    let pair = wallet.write(DEFAULT, &phrase(HOTKEY), None, Existing::Keep).unwrap();
    for file in ["coldkey", "coldkeypub.txt", "hotkeys/default", "hotkeys/defaultpub.txt"] {
        let path = wallet.folder().join(file);
        assert_eq!(json(&path), json(&fixture(file)), "{file}");
        assert_eq!(mode(&path), 0o600, "{file}");
    }
    for folder in [wallet.folder(), &wallet.folder().join("hotkeys"), &root.0.path().join("bittensor")] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    assert_eq!(files(wallet.folder()), ["coldkey", "coldkeypub.txt", "default", "defaultpub.txt"]);
    assert_eq!(wallet.hotkey("default", None).unwrap().hotkey(), pair.hotkey());
}

/// Costs the derivation of three keys, at Bittensor's parameters.
#[test]
fn an_encrypted_file_opens_with_its_password_only() {
    let root = Root::new();
    let wallet = root.wallet();
    let password = Secret::new("correct horse");
    let pair = wallet.write(DEFAULT, &phrase(HOTKEY), Some(&password), Existing::Keep).unwrap();
    let bytes = fs::read(wallet.path(DEFAULT).unwrap()).unwrap();
    assert!(bytes.starts_with(b"$NACL") && !bytes.windows(6).any(|part| part == b"letter"));
    assert_eq!(mode(&wallet.path(DEFAULT).unwrap()), 0o600);
    assert!(matches!(wallet.hotkey("default", None), Err(WalletError::NeedsPassword { .. })));
    let wrong = wallet.hotkey("default", Some(&Secret::new("wrong horse"))).unwrap_err();
    assert!(matches!(wrong, WalletError::WrongPassword { variable: None, .. }), "{wrong}");
    assert_eq!(wallet.hotkey("default", Some(&password)).unwrap().hotkey(), pair.hotkey());
    assert_eq!(wallet.hotkey_public("default").unwrap(), pair.hotkey());
}

/// Opens a file of Bittensor's own with the password in Bittensor's own variable, and with a wrong one there.
#[test]
fn bittensors_variable_opens_a_file() {
    let sealed = fs::read(fixture("../encrypted/coldkey")).unwrap();
    let path = Path::new("/home/miner/.bittensor/wallets/default/coldkey");
    let value = |value: &'static str| move |_: &str| Ok(value.to_owned());
    let pair = super::super::open(path, &sealed, None, value("ITstIjI8K2gnIjcsKA==")).unwrap();
    assert_eq!(pair.hotkey(), KeyPair::of_phrase(&phrase(COLDKEY)).0.hotkey());
    let error = super::super::open(path, &sealed, None, value("ITstIjI8K2gnIjcsAA==")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("the password in BT_PW__HOME_MINER__BITTENSOR_WALLETS_DEFAULT_COLDKEY "),
        "{text}"
    );
}

#[test]
fn an_existing_key_stays_unless_it_is_to_be_replaced() {
    let root = Root::new();
    let wallet = root.wallet();
    wallet.check_absent(DEFAULT).unwrap();
    let first = wallet.write(DEFAULT, &phrase(HOTKEY), None, Existing::Keep).unwrap();
    assert!(matches!(wallet.check_absent(DEFAULT), Err(WalletError::Exists { .. })));
    for words in [HOTKEY, COLDKEY] {
        let error = wallet.write(DEFAULT, &phrase(words), None, Existing::Keep).unwrap_err();
        assert!(matches!(error, WalletError::Exists { .. }), "{error}");
    }
    assert_eq!(wallet.hotkey("default", None).unwrap().hotkey(), first.hotkey());
    let second = wallet.write(DEFAULT, &phrase(COLDKEY), None, Existing::Replace).unwrap();
    assert_ne!(second.hotkey(), first.hotkey());
    assert_eq!(wallet.hotkey("default", None).unwrap().hotkey(), second.hotkey());
    assert_eq!(wallet.hotkey_public("default").unwrap(), second.hotkey());
    assert_eq!(files(wallet.folder()), ["default", "defaultpub.txt"]);
}

#[test]
fn a_lost_key_is_restored_beside_its_own_public_file_only() {
    let root = Root::new();
    let wallet = root.wallet();
    wallet.write(WalletKey::Coldkey, &phrase(COLDKEY), None, Existing::Keep).unwrap();
    fs::remove_file(wallet.path(WalletKey::Coldkey).unwrap()).unwrap();
    let error = wallet.write(WalletKey::Coldkey, &phrase(HOTKEY), None, Existing::Keep).unwrap_err();
    assert!(error.to_string().contains("coldkeypub.txt exists already"), "{error}");
    assert_eq!(files(wallet.folder()), ["coldkeypub.txt"]);
    wallet.write(WalletKey::Coldkey, &phrase(COLDKEY), None, Existing::Keep).unwrap();
    assert_eq!(wallet.coldkey(None).unwrap().coldkey(), wallet.coldkey_public().unwrap());
}

#[test]
fn what_a_crash_left_beside_a_file_does_not_hinder() {
    let root = Root::new();
    let wallet = root.wallet();
    fs::create_dir_all(wallet.folder().join("hotkeys")).unwrap();
    let left = wallet.folder().join(format!("hotkeys/.default.{}.tmp", std::process::id()));
    fs::write(&left, "half a k").unwrap();
    wallet.write(DEFAULT, &phrase(HOTKEY), None, Existing::Keep).unwrap();
    assert_eq!(files(wallet.folder()), ["default", "defaultpub.txt"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let root = Root::new();
    fs::write(root.0.path().join("bittensor"), "a file").unwrap();
    let error = root.wallet().write(DEFAULT, &phrase(HOTKEY), None, Existing::Keep).unwrap_err();
    assert!(matches!(error, WalletError::Unwritable { .. }), "{error}");
    assert!(matches!(
        root.wallet().write(WalletKey::Hotkey("../x"), &phrase(HOTKEY), None, Existing::Keep),
        Err(WalletError::BadName(_))
    ));
}

/// Checks a name whose file would be the public file of another hotkey, and be overwritten with it.
#[test]
fn a_key_is_not_named_like_another_kind_of_file() {
    let root = Root::new();
    for name in ["defaultpub.txt", "pub.txt", ".default"] {
        let key = WalletKey::Hotkey(name);
        let error = root.wallet().write(key, &phrase(HOTKEY), None, Existing::Replace).unwrap_err();
        assert!(matches!(error, WalletError::FileName(_)), "{error}");
        assert!(root.wallet().check_absent(key).is_err());
    }
    assert!(!root.0.path().join("bittensor").exists());
}

#[test]
fn an_overview_tells_forms_addresses_and_faults_and_no_secret() {
    let root = Root::new();
    let wallet = root.wallet();
    assert!(matches!(wallet.overview(), Err(WalletError::Missing { what: "wallet", .. })));
    wallet.write(WalletKey::Coldkey, &phrase(COLDKEY), None, Existing::Keep).unwrap();
    for hotkey in ["a", "b", "c", "d"] {
        wallet.write(WalletKey::Hotkey(hotkey), &phrase(HOTKEY), None, Existing::Keep).unwrap();
    }
    let file = |name: &str| wallet.folder().join("hotkeys").join(name);
    fs::write(file("a"), b"$NACLxxxx").unwrap();
    fs::remove_file(file("b")).unwrap();
    fs::set_permissions(file("c"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::copy(wallet.folder().join("coldkeypub.txt"), file("dpub.txt")).unwrap();
    let WalletOverview { coldkey, hotkeys, .. } = wallet.overview().unwrap();
    let owner = Hotkey(wallet.coldkey_public().unwrap().0);
    assert_eq!((coldkey.form, coldkey.account), (KeyForm::Plain, Some(owner)));
    let seen: Vec<_> =
        hotkeys.iter().map(|(name, key)| (name.as_str(), key.form, key.problem.is_some())).collect();
    assert_eq!(
        seen,
        [
            ("a", KeyForm::Encrypted, false),
            ("b", KeyForm::Missing, false),
            ("c", KeyForm::Unknown, true),
            ("d", KeyForm::Plain, true)
        ]
    );
    let own = KeyPair::of_phrase(&phrase(HOTKEY)).0.hotkey();
    assert!(hotkeys.iter().all(|(_, key)| key.account == Some(own)), "{hotkeys:?}");
    let text = format!("{hotkeys:?} {coldkey:?}");
    assert!(!text.contains("letter") && !text.contains("legal"), "{text}");
}
