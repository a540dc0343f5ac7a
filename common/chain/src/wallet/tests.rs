//! Tests with files that PyPI `bittensor-wallet` 4.1.1 wrote (`tests/data/README.md`).

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

const COLDKEY: &str = "5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe";
const HOTKEY: &str = "5EtaiguVmKZ9Vewv7HkS86hWTS8Lf4twTSADg29PH5rM5Wng";
const SEEDED_HOTKEY: &str = "5DtDLm5rQHShDqojQpsvcN8tRXHVFaecfDoRet1SU6BFD9Fi";

/// A copy of the wallets with the file modes that Bittensor sets. git does not keep these modes.
struct Wallets(tempfile::TempDir);

impl Wallets {
    fn new() -> Self {
        let wallets = Self(tempfile::tempdir().unwrap());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wallets");
        for file in ["coldkey", "coldkeypub.txt", "hotkeys/default"] {
            for wallet in ["plain", "encrypted"] {
                wallets.write(wallet, file, &fs::read(source.join(wallet).join(file)).unwrap());
            }
        }
        wallets
    }

    fn write(&self, wallet: &str, file: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(wallet).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn open(&self, name: &str) -> Wallet {
        Wallet::new(self.0.path(), name).unwrap()
    }

    /// Reads the hotkey file of the plain wallet, with one value replaced.
    fn hotkey_with(&self, field: &str, value: serde_json::Value) -> Result<KeyPair, WalletError> {
        let path = self.0.path().join("plain/hotkeys/default");
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        json[field] = value;
        self.write("plain", "hotkeys/changed", json.to_string().as_bytes());
        self.open("plain").hotkey("changed", None)
    }
}

#[test]
fn plain_keys_are_read() {
    let wallets = Wallets::new();
    let wallet = wallets.open("plain");
    assert_eq!(wallet.hotkey("default", None).unwrap().hotkey().to_string(), HOTKEY);
    assert_eq!(wallet.coldkey(None).unwrap().coldkey().to_string(), COLDKEY);
    assert_eq!(wallet.coldkey_public().unwrap().to_string(), COLDKEY);
}

#[test]
fn a_hotkeys_account_needs_no_secret_where_there_is_a_public_file() {
    let wallets = Wallets::new();
    let wallet = wallets.open("plain");
    assert_eq!(wallet.hotkey_public("default").unwrap().to_string(), HOTKEY);
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wallets/plain/hotkeys/defaultpub.txt");
    wallets.write("plain", "hotkeys/defaultpub.txt", &fs::read(source).unwrap());
    fs::remove_file(wallets.0.path().join("plain/hotkeys/default")).unwrap();
    assert_eq!(wallet.hotkey_public("default").unwrap().to_string(), HOTKEY);
    assert!(matches!(wallet.hotkey_public("other"), Err(WalletError::Missing { .. })));
    assert!(matches!(wallet.hotkey_public("../default"), Err(WalletError::BadName(_))));
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let wallets = Wallets::new();
    let pipe = wallets.0.path().join("plain/hotkeys/pipe");
    assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
    let error = wallets.open("plain").hotkey("pipe", None).unwrap_err();
    assert!(base::ErrorChain(&error).to_string().contains("not a regular file"), "{error}");
}

#[test]
fn phrase_seed_and_private_key_are_the_same_key() {
    let wallets = Wallets::new();
    let path = wallets.0.path().join("plain/hotkeys/default");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for field in ["secretPhrase", "secretSeed", "privateKey"] {
        let only = serde_json::json!({ field: json[field], "ss58Address": HOTKEY });
        wallets.write("plain", "hotkeys/only", only.to_string().as_bytes());
        assert_eq!(
            wallets.open("plain").hotkey("only", None).unwrap().hotkey().to_string(),
            HOTKEY,
            "{field}"
        );
    }
}

#[test]
fn a_seed_that_the_reference_wrote_wrongly_does_not_hinder() {
    let key = Wallets::new().open("encrypted").hotkey("default", None).unwrap();
    assert_eq!(key.hotkey().to_string(), SEEDED_HOTKEY);
}

#[test]
fn an_encrypted_coldkey_opens_with_its_password() {
    let wallets = Wallets::new();
    let wallet = wallets.open("encrypted");
    assert!(matches!(wallet.coldkey(None), Err(WalletError::NeedsPassword { .. })));
    let key = wallet.coldkey(Some(&Secret::new("correct horse"))).unwrap();
    assert_eq!(key.coldkey().to_string(), COLDKEY);
}

#[test]
fn a_missing_key_is_named() {
    let wallets = Wallets::new();
    let error = wallets.open("plain").hotkey("other", None).unwrap_err();
    let text = base::ErrorChain(&error).to_string();
    assert!(text.starts_with("there is no hotkey at /") && text.contains("plain/hotkeys/other"), "{text}");
    assert!(matches!(wallets.open("none").coldkey(None), Err(WalletError::Missing { what: "coldkey", .. })));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let wallets = Wallets::new();
    let path = wallets.0.path().join("plain/hotkeys/default");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let text = base::ErrorChain(&wallets.open("plain").hotkey("default", None).unwrap_err()).to_string();
    assert!(text.contains("(mode 0640): protect it with `chmod 600 "), "{text}");
}

#[test]
fn a_folder_is_no_key() {
    let wallets = Wallets::new();
    let path = wallets.0.path().join("plain/hotkeys/folder");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(wallets.open("plain").hotkey("folder", None), Err(WalletError::Unreadable { .. })));
}

#[test]
fn a_huge_file_is_refused() {
    let wallets = Wallets::new();
    wallets.write("plain", "hotkeys/huge", &vec![b' '; MOST_BYTES + 1]);
    assert!(matches!(
        wallets.open("plain").hotkey("huge", None),
        Err(WalletError::KeyFile { source: KeyFileError::TooLarge, .. })
    ));
}

#[test]
fn old_encryptions_are_named() {
    let wallets = Wallets::new();
    for (bytes, form) in [("$ANSIBLE_VAULT;1.1;AES256", "ansible vault"), ("gAAAAABk", "fernet")] {
        wallets.write("plain", "hotkeys/old", bytes.as_bytes());
        let text = base::ErrorChain(&wallets.open("plain").hotkey("old", None).unwrap_err()).to_string();
        assert!(text.contains(form) && text.contains("btcli wallet update"), "{text}");
    }
}

#[test]
fn an_encrypted_hotkey_asks_for_its_password() {
    let wallets = Wallets::new();
    wallets.write("plain", "hotkeys/locked", b"$NACL123");
    assert!(matches!(wallets.open("plain").hotkey("locked", None), Err(WalletError::NeedsPassword { .. })));
}

#[test]
fn a_secret_of_another_account_is_refused() {
    let error = Wallets::new().hotkey_with("ss58Address", COLDKEY.into()).unwrap_err();
    let text = base::ErrorChain(&error).to_string();
    assert!(text.contains(&format!("says {COLDKEY}, but its secret belongs to {HOTKEY}")), "{text}");
}

#[test]
fn a_public_key_file_holds_no_secret() {
    let wallets = Wallets::new();
    let public = fs::read(wallets.0.path().join("plain/coldkeypub.txt")).unwrap();
    wallets.write("plain", "hotkeys/public", &public);
    assert!(matches!(
        wallets.open("plain").hotkey("public", None),
        Err(WalletError::KeyFile { source: KeyFileError::NoSecret, .. })
    ));
}

#[test]
fn other_kinds_of_keys_are_refused() {
    let error = Wallets::new().hotkey_with("cryptoType", 0.into()).unwrap_err();
    assert!(matches!(error, WalletError::KeyFile { source: KeyFileError::CryptoType(0), .. }));
}

#[test]
fn what_is_no_key_file_is_told_without_repeating_it() {
    let wallets = Wallets::new();
    let secret = "abandon ability able about above absent absorb abstract absurd abuse access accident";
    let file = format!("{{\"secretPhrase\": 1, \"cryptoType\": \"{secret}\"}}");
    for bytes in [secret, "", "[]", &file] {
        wallets.write("plain", "hotkeys/bad", bytes.as_bytes());
        let error = wallets.open("plain").hotkey("bad", None).unwrap_err();
        assert!(matches!(error, WalletError::KeyFile { source: KeyFileError::Json { .. }, .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("abandon"), "{error:?}");
    }
}

#[test]
fn a_damaged_phrase_is_named_and_not_repeated() {
    let wallets = Wallets::new();
    let bad = serde_json::json!({ "secretPhrase": "abandon ship", "ss58Address": HOTKEY });
    wallets.write("plain", "hotkeys/bad", bad.to_string().as_bytes());
    let error = wallets.open("plain").hotkey("bad", None).unwrap_err();
    assert!(matches!(error, WalletError::BadSecret { field: "secretPhrase", .. }));
    assert!(!format!("{error} {error:?}").contains("ship"));
}

#[test]
fn names_do_not_lead_out_of_the_folder() {
    let wallets = Wallets::new();
    for name in ["", ".", "..", "../plain", "a/b", "/etc/passwd", "a/"] {
        assert!(matches!(Wallet::new(wallets.0.path(), name), Err(WalletError::BadName(_))), "{name}");
        assert!(matches!(wallets.open("plain").hotkey(name, None), Err(WalletError::BadName(_))), "{name}");
    }
}
