//! Key files of wallets.

use super::{Rows, Table, says};
use crate::objects;
use base::key_file::{Contents, KeyFile, MOST_BYTES};

pub(super) fn key_file() -> Table {
    let reads = |bytes: Vec<u8>| match KeyFile::read(&bytes) {
        Ok(Contents::Plain(file)) => says(file.secrets()).or_else(|| says(file.account())),
        Ok(Contents::Sealed(_)) => None,
        Err(error) => Some(base::ErrorChain(&error).to_string()),
    };
    let write = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = serde_json::from_slice(&objects::key_file()).unwrap();
        change(&mut json);
        json.to_string().into_bytes()
    };
    let mut rows = Rows::of(objects::key_file(), &reads);
    rows.row("no bytes", Vec::clear)
        .row("64 KiB and one byte", |b| b.resize(MOST_BYTES + 1, b' '))
        .row("deeply nested lists", |b| *b = vec![b'['; MOST_BYTES])
        .row("cut off", |b| b.pop())
        .row("a trailing byte", |b| b.push(b'x'))
        .row("bytes that are not UTF-8", |b| b[3] = 0xff)
        .row("a number for a phrase", |b| *b = write(&|j| j["secretPhrase"] = 7.into()))
        .row("a crypto type of more than a byte", |b| *b = write(&|j| j["cryptoType"] = 256.into()))
        .row("another kind of key", |b| *b = write(&|j| j["cryptoType"] = 0.into()))
        .row("a mistyped address", |b| {
            *b = write(&|j| j["ss58Address"] = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ".into())
        })
        .row("a public key of 31 bytes, without an address", |b| {
            *b = write(&|j| {
                j["ss58Address"] = serde_json::Value::Null;
                j["publicKey"] = "00".repeat(31).into();
            });
        })
        .row("neither an address nor a public key", |b| {
            *b = write(&|j| {
                j["ss58Address"] = serde_json::Value::Null;
                j["publicKey"] = serde_json::Value::Null;
            });
        })
        .row("no secret", |b| {
            *b = write(&|j| {
                for field in ["secretPhrase", "secretSeed", "privateKey"] {
                    j[field] = "".into();
                }
            });
        })
        .row("encrypted by Ansible", |b| *b = b"$ANSIBLE_VAULT;1.1;AES256".to_vec());
    rows.done("Key file of a wallet: `KeyFileError` of `KeyFile::read`")
}
