//! Tests the command line: settings, their sources, messages and exit codes.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, process::Command};

use serde_json::{Value, json};

/// Runs the binary. Returns exit code, standard output and standard error.
fn run(args: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_devchain"))
        .args(args)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devchain.toml");
    fs::write(
        &file,
        "block_time_ms = 5\npace = \"outside\"\nclock = \"logical\"\n[genesis.subnet]\ntempo = 7\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let environment = [("DEVCHAIN_PACE", "fixed"), ("DEVCHAIN_CLOCK", "wall"), ("DEVCHAIN_CONFIG", file)];
    let (code, out, err) = run(&["config", "show", "--json", "--clock", "logical"], &environment);
    assert_eq!((code, err.as_str()), (0, ""));
    let shown: Value = serde_json::from_str(&out).unwrap();
    let found = |key: &str| (shown["values"][key].clone(), shown["sources"][key].clone());
    assert_eq!(found("listen"), (json!("127.0.0.1:9944"), json!("default")));
    assert_eq!(found("block_time_ms"), (json!(5), json!(format!("file {file}"))));
    assert_eq!(found("pace"), (json!("fixed"), json!("environment DEVCHAIN_PACE")));
    assert_eq!(found("clock"), (json!("logical"), json!("flag --clock")));
    assert_eq!(shown["values"]["genesis"]["subnet"]["tempo"], json!(7));
    assert_eq!(shown["sources"]["genesis.subnet.tempo"], json!(format!("file {file}")));
    assert_eq!(shown["sources"]["genesis.subnet.kappa"], json!("default"));
}

#[test]
fn what_config_show_prints_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devchain.toml");
    let flags = ["--tempo", "5", "--set", "rpc.connections=9", "--log", "/tmp/x y"];
    let (_, first, _) = run(&[&["config", "show"][..], &flags].concat(), &[]);
    fs::write(&file, &first).unwrap();
    let (code, second, err) = run(&["config", "show", "--config", file.to_str().unwrap()], &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    let values = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
    assert_eq!(values(&first), values(&second));
    assert!(first.contains("# flag --tempo\ntempo = 5\n"), "{first}");
}

#[test]
fn genesis_values_by_flag() {
    let args = [
        "genesis",
        "show",
        "--json",
        "--netuid",
        "9",
        "--tempo",
        "10",
        "--commit-reveal",
        "--min-weights",
        "2",
        "--weights-rate-limit",
        "100",
        "--fund",
        "//Zoe=2.5",
        "--validator",
        "//V//hotkey,//V,1000",
        "--miner",
        "//M//hotkey,//M",
        "--set",
        "genesis.subnet.kappa=1",
        "--set",
        "genesis.subnet.owner=//Zoe",
    ];
    let (code, out, err) = run(&args, &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    let values = &serde_json::from_str::<Value>(&out).unwrap()["values"];
    let subnet = &values["subnet"];
    for (key, expected) in [
        ("netuid", json!(9)),
        ("tempo", json!(10)),
        ("commit_reveal_weights_enabled", json!(true)),
        ("min_allowed_weights", json!(2)),
        ("weights_set_rate_limit", json!(100)),
        ("kappa", json!(1)),
        ("owner", json!("//Zoe")),
    ] {
        assert_eq!(subnet[key], expected, "{key}");
    }
    let last = |list: &str, n: usize| values[list].as_array().unwrap().iter().rev().nth(n).unwrap().clone();
    assert_eq!(last("balances", 0), json!({ "coldkey": "//Zoe", "rao": 2_500_000_000_u64 }));
    assert_eq!(last("neurons", 0), json!({ "hotkey": "//M//hotkey", "coldkey": "//M" }));
    let validator =
        json!({ "hotkey": "//V//hotkey", "coldkey": "//V", "stake": 1_000_000_000_000_u64, "permit": true });
    assert_eq!(last("neurons", 1), validator);
}

#[test]
fn finality_by_flag() {
    let flags = [
        "--finality-lag",
        "3",
        "--finality-jitter",
        "2",
        "--finality-stall-every",
        "50",
        "--finality-stall-blocks",
        "10",
        "--finality-drop-every",
        "20",
        "--finality-drop-depth",
        "4",
        "--finality-seed",
        "9",
    ];
    let show = |flags: &[&str]| {
        let (code, out, err) = run(&[&["config", "show", "--json"], flags].concat(), &[]);
        assert_eq!((code, err.as_str()), (0, ""));
        serde_json::from_str::<Value>(&out).unwrap()["values"]["finality"].clone()
    };
    let expected = json!({
        "lag": 3, "jitter": 2, "stall_every": 50, "stall_blocks": 10, "drop_every": 20, "drop_depth": 4, "seed": 9,
    });
    assert_eq!(show(&flags), expected);
    assert_eq!(show(&[])["lag"], json!(0));
}

#[test]
fn wrong_settings_are_usage_errors_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let typo = file("typo.toml", "listen = \"127.0.0.1:1\"\nblok_time_ms = 5\n");
    let broken = file("broken.toml", "listen = ");
    let cases: [(&[&str], &str); 23] = [
        (&["--config", &typo], "unknown field `blok_time_ms`"),
        (&["--config", &broken], "broken.toml: TOML parse error at line 1"),
        (&["--config", "/no/such/file"], "cannot read the configuration file /no/such/file"),
        (&["--set", "rpc.conections=1"], "unknown field `conections`"),
        (&["--set", "rpc"], "flag --set: `rpc` is not of the form KEY=VALUE"),
        (&["--set", "listen.port=1"], "cannot set `listen.port`, since `listen` is not a table"),
        (&["--set", "block_time_ms=soon"], "invalid type: string \"soon\""),
        (&["--block-time-ms", "0"], "block_time_ms is 0; give 1 to"),
        (&["--listen", "0.0.0.0:9944"], "which other machines can reach"),
        (&["--finality-stall-blocks", "5"], "finality.stall_blocks is 5 and finality.stall_every is 0"),
        (&["--finality-drop-every", "1"], "finality.drop_every is 1; give at least 2"),
        (&["--set", "finality.drop_depth=0"], "finality.drop_depth is 0; give 1 to 100"),
        (&["--set", "pool.count=0"], "pool.count is 0; give at least 1"),
        (&["--fund", "//Zoe"], "flag --fund: `//Zoe` is not of the form COLDKEY=TAO"),
        (&["--validator", "//A,//B"], "is not of the form HOTKEY,COLDKEY,STAKE"),
        (&["--miner", "//A"], "is not of the form HOTKEY,COLDKEY"),
        (&["--netuid", "0"], "subnet.netuid is 0, the root network"),
        (
            &["--set", "rpc.origins=[\"https://a.example/\"]"],
            "rpc.origins has `https://a.example/`, which is not an origin",
        ),
        (
            &["--weights-rate-limit", "18446744073709551615"],
            "flag --weights-rate-limit: `18446744073709551615` is",
        ),
        (&["--fund", "//Zoe=18446744073"], "flag --fund: `//Zoe=18446744073` is not an entry with at most"),
        (&["--validator", "//A,//B,18446744073"], "is not an entry with at most 9223372036.854775807 TAO"),
        (&["--fund", "xx=1"], "flag --fund: `xx=1`: 'xx' is neither"),
        (
            &["--miner", "unknown,//M"],
            "'unknown' is neither an SS58 address nor the path of a development key",
        ),
    ];
    for (args, expected) in cases {
        let (code, out, err) = run(&[&["config", "show"], args].concat(), &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
    let (code, _, err) = run(&["run", "--port", "1"], &[]);
    assert_eq!(code, 2);
    assert!(err.contains("unexpected argument '--port'"), "{err}");
}

#[test]
fn a_chain_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("letter");
    fs::write(&letter, "dear mother").unwrap();
    let (code, out, err) = run(&["run", "--listen", "127.0.0.1:0", "--log", letter.to_str().unwrap()], &[]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("is not a devchain log"), "{err}");
}

#[test]
fn the_largest_amounts_are_not_changed() {
    let flags = ["--weights-rate-limit", "9223372036854775807", "--fund", "//Zoe=9223372036.854775807"];
    let (code, out, err) = run(&[&["genesis", "show", "--json"][..], &flags].concat(), &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    let values = &serde_json::from_str::<Value>(&out).unwrap()["values"];
    assert_eq!(values["subnet"]["weights_set_rate_limit"], json!(i64::MAX));
    assert_eq!(values["balances"].as_array().unwrap().last().unwrap()["rao"], json!(i64::MAX));
}

#[test]
fn a_log_whose_name_is_no_text_is_refused() {
    let name = OsStr::from_bytes(b"/tmp/\xff");
    let mut command = Command::new(env!("CARGO_BIN_EXE_devchain"));
    let output = command.args(["config", "show", "--log"]).arg(name).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("flag --log: `/tmp/\u{fffd}` is not a valid log path; it must be UTF-8"),
        "{message}"
    );
}

#[test]
fn an_empty_variable_is_unset() {
    let environment = [("DEVCHAIN_CONFIG", ""), ("DEVCHAIN_TEMPO", ""), ("DEVCHAIN_PACE", "outside")];
    let (code, out, err) = run(&["config", "show", "--json"], &environment);
    assert_eq!((code, err.as_str()), (0, ""));
    let sources = &serde_json::from_str::<Value>(&out).unwrap()["sources"];
    assert_eq!(sources["genesis.subnet.tempo"], json!("default"));
    assert_eq!(sources["pace"], json!("environment DEVCHAIN_PACE"));
}

#[test]
fn a_full_device_is_a_failure_and_a_closed_pipe_is_none() {
    for args in [&["config", "show"][..], &["reference"], &["run", "--listen", "127.0.0.1:0"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_devchain"));
        let output = command.args(args).env_clear().stdout(full).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
        assert!(message.contains(" to the standard output: No space left"), "{message}");

        // If standard error cannot be written either, the exit code is the same.
        let full = || fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_devchain"));
        let status = command.args(args).env_clear().stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{args:?}");
    }
    for args in [&["config", "show"][..], &["reference"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_devchain"));
        let output = command.args(args).env_clear().stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{args:?}");
    }
}

#[test]
fn the_reference_page_is_up_to_date() {
    let (code, page, _) = run(&["reference"], &[]);
    assert_eq!(code, 0);
    let written = include_str!("../../REFERENCE.md");
    assert!(written == page, "run: devchain reference > deploy/dev/chain/REFERENCE.md");
}
