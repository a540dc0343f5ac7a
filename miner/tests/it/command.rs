//! The real binary against a real chain: what a person sees, and how it ends.

use base::Exit;
use devchain::{Config, Devchain, Genesis, Pace};
use serde_json::Value;
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};
use testkit::wallet::{COLDKEY, HOTKEY, HOTKEY_ADDRESS, wallet};

/// Starts a chain that seals ten blocks a second.
async fn chain(change: impl FnOnce(&mut Genesis)) -> Devchain {
    let mut genesis = Genesis::default();
    change(&mut genesis);
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        pace: Pace::Fixed,
        block_time_ms: 100,
        genesis: Some(genesis),
        ..Config::default()
    };
    Devchain::start(config).await.unwrap()
}

/// Runs `miner` with these words and nothing of our environment.
async fn miner(wallets: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    command.args(words).env_clear().env("MUSTER_WALLETS", wallets).env("MUSTER_HOTKEY", "trainer");
    // On a thread of its own, so that the chain goes on in this one.
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[track_caller]
fn assert_ends(output: &Output, exit: Exit, message: &str) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(i32::from(u8::from(exit))), "{out}{error}");
    let said = if exit == Exit::Good { &out } else { &error };
    assert!(said.contains(message), "expected '{message}' in: {said}");
    for secret in [COLDKEY, HOTKEY] {
        assert!(!out.contains(&secret[2..]) && !error.contains(&secret[2..]), "a secret is shown");
    }
}

#[tokio::test]
async fn a_miner_registers_and_sees_where_it_stands() {
    let chain = chain(|_| {}).await;
    let wallets = tempfile::tempdir().unwrap();
    wallet(wallets.path());
    let url = chain.url();
    let on = |words: &[&str]| {
        let words: Vec<String> = words
            .iter()
            .map(|w| (*w).to_owned())
            .chain(["--chain", &url, "--block-time", "0.1"].map(Into::into))
            .collect();
        let wallets = wallets.path().to_owned();
        async move { miner(&wallets, &words.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };

    let unknown =
        format!("hotkey {HOTKEY_ADDRESS} is not registered on subnet 3: register it with `miner register");
    assert_ends(&on(&["status"]).await, Exit::NotPermitted, &unknown);
    assert_ends(
        &on(&["register", "--max-price", "0.01"]).await,
        Exit::NotPermitted,
        "above the cap of 0.01 TAO: raise the cap, or wait until the price decays",
    );
    let plan = on(&["register", "--dry-run", "--json"]).await;
    assert_ends(&plan, Exit::Good, "register_limit");
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let rao = |field: &str| plan["costs"][field].as_u64().unwrap();
    assert!(rao("balance_after_rao") <= rao("balance_rao") - rao("price_rao"), "{plan}");
    assert!(rao("price_rao") > 0, "{plan}");
    assert_ends(&on(&["status"]).await, Exit::NotPermitted, &unknown);
    let dear = on(&["register", "--dry-run", "--max-price", "0.01"]).await;
    assert_eq!(dear.status.code(), Some(i32::from(u8::from(Exit::NotPermitted))));
    assert!(String::from_utf8_lossy(&dear.stdout).contains("above the cap of 0.01 TAO"));
    assert_ends(
        &on(&["register", "--max-price", "0.2"]).await,
        Exit::Good,
        "is uid 4 of subnet 3 since block",
    );
    assert_ends(&on(&["register", "--dry-run"]).await, Exit::Good, "nothing: the hotkey is uid 4 already");
    assert_ends(&on(&["register", "--max-price", "0.2"]).await, Exit::Good, "was registered already: uid 4");
    assert_ends(&on(&["status"]).await, Exit::Good, "uid               4 of 5 (at most 256)");
    let json = on(&["status", "--json"]).await;
    let status: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&status["uid"], &status["hotkey"]), (&4.into(), &HOTKEY_ADDRESS.into()));
    assert_ends(&on(&["status", "--netuid", "9"]).await, Exit::Usage, "subnet 9");
    let other = format!("0x{}", "11".repeat(32));
    assert_ends(&on(&["status", "--genesis", &other]).await, Exit::Usage, "is a node of another chain");
    chain.shutdown().await;
}

#[tokio::test]
async fn a_closed_subnet_says_so() {
    let closed = chain(|genesis| genesis.subnet.network_registration_allowed = false).await;
    let wallets = tempfile::tempdir().unwrap();
    wallet(wallets.path());
    let url = closed.url();
    let words = ["register", "--max-price", "1", "--chain", &url, "--block-time", "0.1"];
    assert_ends(&miner(wallets.path(), &words).await, Exit::NotPermitted, "registration");
    closed.shutdown().await;
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let wallets = tempfile::tempdir().unwrap();
    // Nothing listens on port 1 of this machine.
    let nowhere = ["status", "--chain", "ws://127.0.0.1:1", "--hotkey-address", HOTKEY_ADDRESS];
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    let output = command.args(nowhere).env_clear().output().unwrap();
    assert_ends(&output, Exit::Unreachable, "no endpoint of the chain can be reached: ws://127.0.0.1:1");

    let missing = miner(wallets.path(), &["status", "--chain", "ws://127.0.0.1:1"]).await;
    assert_ends(&missing, Exit::Usage, "there is no");
    assert_ends(&miner(wallets.path(), &["status", "--netuid", "x"]).await, Exit::Usage, "--netuid");
    assert_ends(&miner(wallets.path(), &["register"]).await, Exit::Usage, "--max-price");
    let never = ["status", "--block-time", "0", "--hotkey-address", HOTKEY_ADDRESS];
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    let output = command.args(never).env_clear().output().unwrap();
    assert_ends(&output, Exit::Usage, "--block-time is 0");
    for address in ["foo", "http://127.0.0.1:1", ""] {
        let status = ["status", "--chain", address, "--hotkey-address", HOTKEY_ADDRESS];
        let output = miner(wallets.path(), &status).await;
        assert_ends(&output, Exit::Usage, "an address begins with ws:// or wss://");
    }
}

#[tokio::test]
async fn an_encrypted_coldkey_says_how_to_open_it() {
    let wallets = tempfile::tempdir().unwrap();
    wallet(wallets.path());
    let coldkey = wallets.path().join("default/coldkey");
    std::fs::write(&coldkey, [b"$NACL".as_slice(), &[7; 100]].concat()).unwrap();
    let words = ["register", "--max-price", "1", "--chain", "ws://127.0.0.1:1"];
    assert_ends(
        &miner(wallets.path(), &words).await,
        Exit::Usage,
        "set MUSTER_COLDKEY_PASSWORD to its password",
    );
}

/// Checks the words of a phrase with all logs on: only its file may hold them.
#[tokio::test]
async fn a_phrase_is_in_no_answer_and_in_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("phrase").display().to_string();
    let run = |words: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
        command.args(["wallet"]).args(words).env_clear().env("MUSTER_WALLETS", folder.path().join("wallets"));
        command.env("RUST_LOG", "trace").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that does not read its input has closed the pipe.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    let created = run(&["create", "hotkey", "--words", "24", "--phrase-out", &file, "--json"], "");
    assert_ends(&created, Exit::Good, "\"key\":\"hotkey\"");
    let phrase = std::fs::read_to_string(&file).unwrap();
    let imported = run(&["import", "hotkey", "--hotkey", "copy"], &phrase);
    assert_ends(&imported, Exit::Good, "(not encrypted)");
    let shown = run(&["show"], "");
    assert_ends(&shown, Exit::Good, "hotkey copy");
    let wrong = run(&["import", "hotkey", "--hotkey", "other"], &phrase.replacen(' ', "x ", 1));
    assert_ends(&wrong, Exit::Usage, "word 1 of the phrase");
    let words: Vec<&str> = phrase.split_whitespace().collect();
    assert_eq!(words.len(), 24);
    for output in [created, imported, shown, wrong] {
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8_lossy(&all);
        assert!(!words.windows(2).any(|two| all.contains(&two.join(" "))), "{all}");
    }
    assert_ends(&run(&["create", "coldkey"], ""), Exit::Usage, "--phrase-out");
}

#[tokio::test]
async fn keys_in_the_environment_are_not_shown() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    let output =
        command.args(["status", "--help"]).env("MUSTER_CHAIN", "wss://node/apikey").output().unwrap();
    assert_ends(&output, Exit::Good, "MUSTER_CHAIN");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("apikey"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_a_failure() {
    let chain = chain(|_| {}).await;
    let url = chain.url();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    let alice = "5FBy7nNZZ3gBHSPdNQh8msKHxG1yf9pzrCDrnSXphZhJug2P";
    command.args(["status", "--chain", &url, "--hotkey-address", alice]).stdout(full);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_ends(&output, Exit::Failed, "cannot write the answer");
    chain.shutdown().await;
}
