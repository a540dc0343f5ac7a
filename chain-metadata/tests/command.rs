//! Runs the command like a user, with a node on a real socket and without one.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod common;

use std::net::TcpListener;
use std::process::{Command, Output};

use chain_metadata::pin;
use chain_metadata::report::Report;
use chain_metadata::runtime::PINNED_BYTES;
use chain_metadata::strip;
use common::{SPEC_219, SPEC_365, SPEC_461};
use jsonrpsee::server::{RpcModule, ServerBuilder, ServerHandle};
use jsonrpsee::types::ErrorObjectOwned;
use parity_scale_codec::{Decode, Encode};
use serde_json::Value;
use tokio::runtime::Runtime;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chain-metadata")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The metadata that a node of the test offers.
struct Offer {
    /// The versions of `Metadata_metadata_versions`, each with the answer of `Metadata_metadata_at_version`.
    /// If empty, the runtime does not know these methods.
    versions: Vec<(u32, Option<Vec<u8>>)>,
    /// The answer of `state_getMetadata`.
    legacy: Vec<u8>,
}

/// A node that answers three methods on a free port until it is dropped.
struct Node {
    url: String,
    _handle: ServerHandle,
    _runtime: Runtime,
}

impl Node {
    fn start(offer: Offer) -> Self {
        let runtime = Runtime::new().unwrap();
        let (url, handle) = runtime.block_on(async {
            let server = ServerBuilder::default().build("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}", server.local_addr().unwrap());
            (url, server.start(methods(offer)))
        });
        Self { url, _handle: handle, _runtime: runtime }
    }
}

fn methods(offer: Offer) -> RpcModule<Offer> {
    let mut module = RpcModule::new(offer);
    module
        .register_method("state_call", |params, offer, _| {
            let (name, argument): (String, String) = {
                let mut sequence = params.sequence();
                (sequence.next()?, sequence.next()?)
            };
            let argument = hex::decode(argument.trim_start_matches("0x")).unwrap();
            let unknown = || ErrorObjectOwned::owned(4003, format!("{name} is not exported"), None::<()>);
            let answer = match name.as_str() {
                _ if offer.versions.is_empty() => return Err(unknown()),
                "Metadata_metadata_versions" => {
                    offer.versions.iter().map(|(version, _)| *version).collect::<Vec<u32>>().encode()
                }
                "Metadata_metadata_at_version" => {
                    let wanted = u32::decode(&mut &argument[..]).unwrap();
                    let found = offer.versions.iter().find(|(version, _)| *version == wanted);
                    found.and_then(|(_, bytes)| bytes.clone()).encode()
                }
                _ => return Err(unknown()),
            };
            Ok(format!("0x{}", hex::encode(answer)))
        })
        .unwrap();
    module.register_method("chain_getBlockHash", |_, _, _| format!("0x{}", "2f".repeat(32))).unwrap();
    module
        .register_method("state_getMetadata", |_, offer, _| format!("0x{}", hex::encode(&offer.legacy)))
        .unwrap();
    module
}

#[test]
fn a_node_with_our_runtime_is_all_usable() {
    let node = Node::start(Offer { versions: vec![(15, Some(common::data(SPEC_461)))], legacy: vec![] });
    let output = run(&["check", "--url", &node.url]);
    let heading =
        format!("pinned  node-subtensor 461\nlive    node-subtensor 461, metadata V15 of {}\n", node.url);
    assert!(text(&output.stdout).starts_with(&heading), "{output:?}");
    assert!(text(&output.stdout).ends_with("All are usable.\n"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_newest_version_on_offer_is_taken_and_what_lacks_is_a_disagreement() {
    let versions = vec![(14, None), (16, Some(common::data(SPEC_365))), (15, None)];
    let node = Node::start(Offer { versions, legacy: vec![] });
    let output = run(&["check", "--url", &node.url]);
    let expected = std::fs::read_to_string(common::path("tests/golden/check-365.txt")).unwrap();
    assert_eq!(text(&output.stdout), expected.replace(SPEC_365, &node.url));
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn an_old_node_that_knows_no_versions_is_asked_for_v14() {
    let node = Node::start(Offer { versions: vec![], legacy: common::data(SPEC_219) });
    let output = run(&["check", "--url", &node.url]);
    let expected = std::fs::read_to_string(common::path("tests/golden/check-219.txt")).unwrap();
    assert_eq!(text(&output.stdout), expected.replace(SPEC_219, &node.url));
}

#[test]
fn json_holds_the_same_report() {
    let node = Node::start(Offer { versions: vec![(16, Some(common::data(SPEC_365)))], legacy: vec![] });
    let output = run(&["check", "--url", &node.url, "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::to_value(Report::new(&common::metadata(SPEC_365))).unwrap();
    assert_eq!(found, expected);
    let register =
        found["items"].as_array().unwrap().iter().find(|item| item["name"] == "register_limit").unwrap();
    assert_eq!(register["status"], "absent");
    assert_eq!(found["live"]["spec_version"], 365);
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn damaged_metadata_is_a_failure() {
    let half = common::data(SPEC_461)[..100_000].to_vec();
    let node = Node::start(Offer { versions: vec![(15, Some(half))], legacy: vec![] });
    assert_fails(&["check", "--url", &node.url], 1, "not SCALE metadata (100000 bytes)");
}

#[test]
fn a_node_that_does_not_deliver_what_it_offers_is_a_failure() {
    let node = Node::start(Offer { versions: vec![(16, None)], legacy: vec![] });
    assert_fails(&["check", "--url", &node.url], 1, "offers metadata V16 but does not deliver it");
}

#[test]
fn a_server_that_is_no_node_is_a_failure() {
    let node = Node::start(Offer { versions: vec![], legacy: b"nothing".to_vec() });
    assert_fails(&["check", "--url", &node.url], 1, "not SCALE metadata (7 bytes)");
}

#[test]
fn a_closed_port_is_exit_code_3() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("ws://127.0.0.1:{port}");
    assert_fails(
        &["check", "--url", &url],
        3,
        &format!("cannot reach a node at {url} (is it running, and is the port right?): Error when opening"),
    );
}

/// Checks a silent node: the kernel accepts the connection, but the handshake gets no answer.
#[test]
fn a_node_that_is_silent_is_exit_code_3_after_the_time_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    assert_fails(
        &["check", "--url", &url, "--timeout", "1"],
        3,
        &format!("{url} did not answer within 1 s (connecting)"),
    );
}

#[test]
fn an_address_that_is_none_is_exit_code_2_and_says_what_one_looks_like() {
    assert_fails(&["check", "--url", "http://localhost"], 2, "must begin with ws:// or wss://");
}

#[test]
fn wrong_arguments_are_exit_code_2() {
    assert_fails(&["check"], 2, "--url");
    assert_fails(&["check", "--url", "ws://a", "--file", "b"], 2, "cannot be used with");
    assert_fails(&["check", "--url", "ws://a", "--timeout", "0"], 2, "--timeout");
    assert_fails(&["strip", "--from", "a"], 2, "--to");
}

#[test]
fn a_file_that_is_missing_is_exit_code_2() {
    assert_fails(&["check", "--file", "no/such/file"], 2, "cannot read no/such/file");
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    assert_fails(&["check", "--file", "/dev/zero"], 1, "metadata");
}

fn assert_fails(arguments: &[&str], code: i32, message: &str) {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    assert!(text(&output.stderr).contains(message), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
}

#[test]
fn a_file_is_checked_like_a_node() {
    for (spec, file, code) in [(219, SPEC_219, 5), (365, SPEC_365, 5), (461, SPEC_461, 0)] {
        let path = common::path("tests/data").join(file);
        let output = run(&["check", "--file", path.to_str().unwrap()]);
        let expected =
            std::fs::read_to_string(common::path(&format!("tests/golden/check-{spec}.txt"))).unwrap();
        assert_eq!(text(&output.stdout), expected);
        assert_eq!(output.status.code(), Some(code));
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let path = common::path("tests/data").join(SPEC_461);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chain-metadata"));
    let output = command.arg("check").arg("--file").arg(path).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn strip_makes_the_pinned_file() {
    let folder = tempfile::tempdir().unwrap();
    let from = common::path("tests/data").join(SPEC_461);
    let to = folder.path().join("stripped.scale");
    let output = run(&["strip", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(std::fs::read(to).unwrap() == PINNED_BYTES);
}

/// Returns a folder with an old pin, as the source of this crate has one.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("metadata")).unwrap();
    std::fs::create_dir_all(folder.path().join("tests/data")).unwrap();
    std::fs::write(folder.path().join(pin::FILE), b"old").unwrap();
    folder
}

#[test]
fn refresh_makes_the_pin_from_a_node_and_tells_the_differences() {
    let full = common::data(SPEC_461);
    // The same runtime, but with another name for one argument.
    let position = full.windows(5).position(|bytes| bytes == b"dests").unwrap();
    let mut changed = full.clone();
    changed[position..position + 5].copy_from_slice(b"heirs");
    for (offered, expected) in [(full, "all items are equal"), (changed, "call SubtensorModule.set_")] {
        let folder = checkout();
        let versions = vec![(15, Some(offered.clone()))];
        let node = Node::start(Offer { versions, legacy: vec![] });
        let path = folder.path().to_str().unwrap();
        let output = run(&["refresh", "--url", &node.url, "--folder", path]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let found = text(&output.stdout);
        assert!(
            found.starts_with("old  node-subtensor 461\nnew  node-subtensor 461, genesis 0x2f2f"),
            "{found}"
        );
        assert!(found.contains(expected), "{found}");
        let pinned = std::fs::read(folder.path().join(pin::FILE)).unwrap();
        assert!(pinned == strip::strip(&offered).unwrap());
        let facts = std::fs::read(folder.path().join(pin::FACTS)).unwrap();
        let facts: pin::Facts = serde_json::from_slice(&facts).unwrap();
        assert_eq!((facts.bytes, facts.blake2b), (pinned.len(), pin::hash(&pinned)));
        assert!(std::fs::read(folder.path().join(&facts.source)).unwrap() == offered);
    }
}

#[test]
fn refresh_changes_nothing_if_the_runtime_lacks_an_item() {
    let full = common::data(SPEC_461);
    let name = b"register_limit";
    let mut lacks = full.clone();
    for start in 0..full.len() - name.len() {
        if full[start..].starts_with(name) {
            lacks[start..start + name.len()].copy_from_slice(b"register_bound");
        }
    }
    let folder = checkout();
    let node = Node::start(Offer { versions: vec![(15, Some(lacks))], legacy: vec![] });
    let path = folder.path().to_str().unwrap();
    assert_fails(
        &["refresh", "--url", &node.url, "--folder", path],
        1,
        "has no call SubtensorModule.register_limit",
    );
    assert!(std::fs::read(folder.path().join(pin::FILE)).unwrap() == b"old");
    assert_fails(&["refresh", "--url", &node.url, "--folder", "/nowhere"], 2, "chain-metadata of a checkout");
}

#[test]
fn check_says_what_an_operator_loses() {
    let path = common::path("tests/data").join(SPEC_219);
    let output = run(&["check", "--file", path.to_str().unwrap()]);
    let expected = "    you lose  mechanisms: weights of other mechanisms than the first cannot be set";
    assert!(text(&output.stdout).contains(expected), "{output:?}");
}

#[test]
fn every_flag_has_help_and_the_exit_codes_are_told() {
    for command in ["check", "refresh", "strip"] {
        let help = run(&[command, "--help"]);
        let help = text(&help.stdout);
        assert!(help.contains("Exit codes:"), "{help}");
        let flags: Vec<&str> = help.lines().map(str::trim).filter(|line| line.starts_with('-')).collect();
        assert!(flags.len() >= 3, "{help}");
        for flag in flags {
            assert!(flag.split("  ").filter(|part| !part.is_empty()).count() == 2, "no help for {flag}");
        }
    }
}
