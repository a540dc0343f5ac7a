use super::*;
use clap::{Args as _, FromArgMatches as _};
use std::fs;

/// A file with everything that has no default.
const MINIMAL: &str = r#"
[chain]
endpoints = ["wss://key@node.example/path-with-key", "ws://127.0.0.1:9944"]
netuid = 3
[wallet]
folder = "wallets"
hotkey = "first"
[run]
spec = "run.toml"
[data]
folder = "/data"
[bucket]
endpoint = "https://s3.example.com"
region = "eu-central-1"
name = "muster-first"
read_access = "reader"
read_secret = "very-secret-1"
write_access = "writer"
write_secret = "very-secret-2"
[node]
folder = "journal"
threads = 2
"#;

struct Case {
    folder: tempfile::TempDir,
    environment: Environment,
    flags: Vec<&'static str>,
    role: NodeRole,
}

impl Case {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("node.toml"), text).unwrap();
        Self { folder, environment: Environment::new(), flags: vec![], role: NodeRole::Miner }
    }

    fn validator(self) -> Self {
        Self { role: NodeRole::Validator, ..self }
    }

    fn flags(self, flags: &[&'static str]) -> Self {
        Self { flags: flags.to_vec(), ..self }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn settings(&self) -> Result<Settings, ConfigError> {
        let file = self.folder.path().join("node.toml").display().to_string();
        let line = ["node", "--config", &file].into_iter().chain(self.flags.iter().copied());
        let command = clap::Command::new("node");
        let flags = match self.role {
            NodeRole::Miner => {
                let matches = ConfigFlags::augment_args(command).try_get_matches_from(line).unwrap();
                ConfigFlags::from_arg_matches(&matches).unwrap()
            }
            NodeRole::Validator => {
                let matches = ValidatorFlags::augment_args(command).try_get_matches_from(line).unwrap();
                ValidatorFlags::from_arg_matches(&matches).unwrap().0
            }
        };
        Settings::resolve(self.role, &flags, &self.environment)
    }

    fn config(&self) -> Config {
        Config::new(self.role, &self.settings().unwrap()).unwrap()
    }

    /// Returns the message without the folder.
    fn error(&self) -> String {
        let result = self.settings().and_then(|settings| Config::new(self.role, &settings));
        let message = base::ErrorChain(&result.unwrap_err()).to_string();
        message.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let case = Case::new(MINIMAL);
    let origin = |case: &Case| {
        let settings = case.settings().unwrap();
        (settings.text("chain.netuid").unwrap().to_owned(), settings.origin("chain.netuid").to_string())
    };
    let path = case.folder.path().join("node.toml");
    assert_eq!(origin(&case), ("3".into(), format!("{}:4", path.display())));
    let case = case.variable("MUSTER_NETUID", "4");
    assert_eq!(origin(&case), ("4".into(), "MUSTER_NETUID".into()));
    let case = case.flags(&["--netuid", "5"]);
    assert_eq!(origin(&case), ("5".into(), "--netuid".into()));
    assert_eq!(case.settings().unwrap().origin("wallet.name"), Origin::Default);
    assert_eq!(case.settings().unwrap().origin("node.metrics"), Origin::Unset);
    let empty = case.variable("MUSTER_WALLET", "");
    assert_eq!(empty.config().wallet.name, "default", "a variable that is set to nothing is not set");
}

#[test]
fn values_are_what_the_file_says() {
    let case = Case::new(MINIMAL);
    let config = case.config();
    assert_eq!(config.chain.endpoints.len(), 2);
    assert!(config.chain.archive.is_empty());
    assert_eq!(config.chain.netuid, Some(Netuid(3)));
    assert_eq!(config.chain.block_time, Duration::from_secs(12));
    assert_eq!(config.wallet.folder, case.folder.path().join("wallets"), "paths begin at the file's folder");
    assert_eq!(config.run, case.folder.path().join("run.toml"));
    assert_eq!(config.data, Path::new("/data"));
    assert_eq!(config.node.compute.threads, 2);
    assert_eq!(config.node.compute.place, Place::Auto);
    assert_eq!(config.bucket.announced.name(), "muster-first");
    assert_eq!(config.bucket.announced.credentials().unwrap().secret.expose(), "very-secret-1");
    assert_eq!(config.bucket.write.secret.expose(), "very-secret-2");
    assert_eq!(config.bucket.policy, AddressPolicy::Public);
    assert_eq!(config.fetch, FetchConfig { deadline: Duration::from_secs(600), floor: 65_536 });
    assert_eq!(config.log.filter.as_deref(), Some("info"));
    let case = case.flags(&["--archive", "wss://a.example,ws://127.0.0.1:9"]);
    assert_eq!(case.config().chain.archive, ["wss://a.example", "ws://127.0.0.1:9"]);
    let flags = ["--run", "other.toml", "--allow-loopback", "--device", "cuda:1", "--threads", "auto"];
    let config = case.flags(&flags).config();
    assert_eq!(config.run, Path::new("other.toml"), "a flag's path begins where the program was started");
    assert_eq!(config.bucket.policy, AddressPolicy::PublicOrLoopback);
    assert_eq!(config.node.compute.place, Place::Gpu(1));
    assert!(config.node.compute.threads >= 1);
}

#[test]
fn config_show_is_known() {
    let case = Case::new(MINIMAL)
        .validator()
        .variable("MUSTER_LOG", "warn,storage=debug")
        .variable("MUSTER_NETIUD", "9")
        .flags(&["--checkpoint-every", "2"]);
    let shown = case.settings().unwrap().show();
    let shown = shown.replace(&format!("{}/", case.folder.path().display()), "");
    // Columns are as wide as what is in them, and the temporary folder's name was.
    let words = |text: &str| {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(words(&shown), words(include_str!("../../tests/golden/config-show.txt")));
    assert!(!shown.contains("very-secret") && !shown.contains("with-key"), "{shown}");
    assert!(!format!("{:?} {:?}", case.settings(), case.config()).contains("very-secret"));
    assert!(!format!("{:?}", case.config()).contains("path-with-key"));
}

#[test]
fn names_that_are_none_come_with_the_nearest_one() {
    let with = |line: &str| Case::new(&format!("{MINIMAL}{line}\n")).error();
    assert_eq!(
        with("treads = 3"),
        "node.toml:23: there is no setting node.treads; do you mean node.threads?"
    );
    assert_eq!(with("[colours]\nsky = 3"), "node.toml:24: there is no setting colours.sky");
    assert_eq!(
        with("[chian]\nnetuid = 3"),
        "node.toml:24: there is no setting chian.netuid; do you mean chain.netuid?"
    );
    let validator = "[validator]\ncheckpoint_every = 3\n";
    assert_eq!(with(validator), "node.toml:24: there is no setting validator.checkpoint_every");
    let case = Case::new(&format!("{MINIMAL}{validator}")).validator();
    assert_eq!(case.config().validator.checkpoint_every, 3);
    let top = Case::new("netuid = 3").error();
    assert!(top.starts_with("node.toml:1: there is no setting netuid"), "{top}");
}

#[test]
fn values_of_another_form_are_refused() {
    let with = |from: &str, to: &str| {
        assert!(MINIMAL.contains(from));
        Case::new(&MINIMAL.replace(from, to)).error()
    };
    assert_eq!(with("netuid = 3", "netuid = \"three\""), "node.toml:4: chain.netuid must be a number");
    assert_eq!(
        with("hotkey = \"first\"", "hotkey = true"),
        "node.toml:7: wallet.hotkey must be a text in quotes"
    );
    assert_eq!(
        with("\"ws://127.0.0.1:9944\"]", "3]"),
        "node.toml:3: chain.endpoints must be a list of texts"
    );
    assert!(with("netuid = 3", "netuid = 70000").starts_with("node.toml:4: chain.netuid is 70000: "));
    assert_eq!(
        with("threads = 2", "threads = 0"),
        "node.toml:22: node.threads is 0: number would be zero for non-zero type"
    );
    assert_eq!(
        with("threads = 2", "device = \"tpu\""),
        "node.toml:22: node.device is tpu: it must be auto, cpu or cuda:N"
    );
    assert_eq!(
        with("threads = 2", "compute = \"f64\""),
        "node.toml:22: node.compute is f64: it must be f32 or bf16"
    );
    assert!(with("ws://127", "http://127").contains("each address begins with ws:// or wss://"));
    assert!(!with("ws://127", "http://127").contains("path-with-key"));
    assert_eq!(
        with("netuid = 3", "block_time = 0.0"),
        "node.toml:4: chain.block_time is 0.0: it must be 0.001 to 3600 seconds"
    );
    assert!(with("netuid = 3", "netuid =").starts_with("node.toml:4: "));
    let broken = with("write_secret = \"very-secret-2\"", "write_secret = \"very-secret-2");
    assert!(broken.starts_with("node.toml:19: ") && !broken.contains("very-secret"), "{broken}");
    assert!(with("muster-first", "a_b").contains("bucket name `a_b`"));
    let short = with("\"very-secret-1\"", "\"ver y\"");
    assert!(
        short.starts_with("cannot use [bucket]: the bucket's secret") && !short.contains("ver y"),
        "{short}"
    );
}

#[test]
fn what_is_missing_is_named_with_all_ways_to_give_it() {
    let without = |line: &str| {
        assert!(MINIMAL.contains(line));
        Case::new(&MINIMAL.replace(line, "")).error()
    };
    assert_eq!(
        without("spec = \"run.toml\""),
        "run.spec is not set: The launched run's TOML file. Set it in the configuration file, as --run or as MUSTER_RUN"
    );
    assert_eq!(
        without("write_secret = \"very-secret-2\""),
        "bucket.write_secret is not set: The key that may write. Set it in the configuration file, as \
         MUSTER_BUCKET_WRITE_SECRET"
    );
    assert!(without("read_secret = \"very-secret-1\"").starts_with("bucket.read_secret is not set"));
    assert!(without("hotkey = \"first\"").starts_with("wallet.hotkey is not set"));
    let open = Case::new(
        &MINIMAL.replace("read_secret = \"very-secret-1\"", "").replace("read_access = \"reader\"", ""),
    );
    assert_eq!(open.config().bucket.announced.credentials(), None, "a bucket may be open to all");
    let gone = ConfigFlags::file("/nowhere/node.toml");
    let error = Settings::resolve(NodeRole::Miner, &gone, &Environment::new()).unwrap_err();
    let error = base::ErrorChain(&error).to_string();
    assert!(
        error.starts_with("the configuration /nowhere/node.toml cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn secrets_may_lie_in_files() {
    let text = MINIMAL.replace("write_secret = \"very-secret-2\"", "write_secret_file = \"secret\"");
    let case = Case::new(&text);
    let secret = case.folder.path().join("secret");
    let missing = case.error();
    assert!(
        missing.starts_with("bucket.write_secret_file: cannot use secret: it cannot be read"),
        "{missing}"
    );
    fs::write(&secret, "very-secret-3\n").unwrap();
    assert_eq!(case.config().bucket.write.secret.expose(), "very-secret-3");
    fs::write(&secret, " \n").unwrap();
    assert_eq!(
        case.error(),
        "bucket.write_secret_file: cannot use secret: it is empty: write the secret into it"
    );
    fs::write(&secret, "very\nsecret").unwrap();
    assert!(case.error().contains("more than one line"));
    let twice = case.variable("MUSTER_BUCKET_WRITE_SECRET", "x");
    assert_eq!(twice.error(), "both bucket.write_secret and bucket.write_secret_file are set: keep one");
}

#[test]
fn the_hotkeys_password_is_given_by_variable_or_file() {
    let case = Case::new(MINIMAL);
    assert_eq!(case.config().wallet.password, None);
    let case = case.variable("MUSTER_HOTKEY_PASSWORD", "correct horse");
    assert_eq!(case.config().wallet.password, Some(Secret::new("correct horse")));
    let shown = format!("{} {:?}", case.settings().unwrap().show(), case.config());
    assert!(!shown.contains("horse"), "{shown}");
    let text = MINIMAL.replace("hotkey = \"first\"", "hotkey = \"first\"\npassword_file = \"password\"");
    let case = Case::new(&text);
    fs::write(case.folder.path().join("password"), "correct horse\n").unwrap();
    assert_eq!(case.config().wallet.password, Some(Secret::new("correct horse")));
    let twice = case.variable("MUSTER_HOTKEY_PASSWORD", "x");
    assert_eq!(twice.error(), "both wallet.password and wallet.password_file are set: keep one");
}

#[test]
fn an_encrypted_hotkey_tells_the_ways_to_open_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let case = Case::new(MINIMAL);
    let hotkeys = case.folder.path().join("wallets/default/hotkeys");
    fs::create_dir_all(&hotkeys).unwrap();
    fs::write(hotkeys.join("first"), [b"$NACL".as_slice(), &[7; 100]].concat()).unwrap();
    fs::set_permissions(hotkeys.join("first"), fs::Permissions::from_mode(0o600)).unwrap();
    // Tests may run in a terminal: then the password would be asked for there.
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        let error = case.config().wallet.hotkey().unwrap_err().to_string();
        assert!(error.contains("set MUSTER_HOTKEY_PASSWORD") && error.contains("--password-file"), "{error}");
    }
}

#[test]
fn a_bucket_on_r2_is_announced_in_the_common_form() {
    let account = "0123456789abcdef0123456789abcdef";
    let text = MINIMAL
        .replace("https://s3.example.com", &format!("https://{account}.r2.cloudflarestorage.com"))
        .replace("muster-first", account)
        .replace("\"reader\"", &format!("\"{}\"", "a".repeat(32)))
        .replace("very-secret-1", &"b".repeat(64));
    let bucket = Case::new(&text).config().bucket.announced;
    assert!(matches!(bucket.location(), protocol::announcement::Location::R2 { .. }));
    let other = Case::new(&text.replace(&format!("name = \"{account}\""), "name = \"another\""));
    assert!(matches!(
        other.config().bucket.announced.location(),
        protocol::announcement::Location::S3 { .. }
    ));
}

#[test]
fn variables_with_typing_errors_are_not_passed_over() {
    let case = Case::new(MINIMAL).variable("MUSTER_NETIUD", "3").variable("MUSTER_COLDKEY_PASSWORD", "x");
    let settings = case.settings().unwrap();
    let expected = "the environment variable MUSTER_NETIUD is not read; do you mean MUSTER_NETUID?";
    assert_eq!(settings.warnings(), [expected]);
}

#[test]
fn every_flag_has_its_line_of_help() {
    let mut command = ValidatorFlags::augment_args(clap::Command::new("validator"));
    let help = command.render_help().to_string();
    let flags = setting::SETTINGS.iter().filter_map(|setting| setting.flag);
    for flag in flags.chain(["config"]) {
        assert!(help.contains(&format!("--{flag}")), "{flag}");
    }
    let miner = ConfigFlags::augment_args(clap::Command::new("miner")).render_help().to_string();
    assert!(help.contains("--checkpoint-every") && !miner.contains("--checkpoint-every"));
}

#[test]
fn the_pages_example_is_a_configuration() {
    let page = include_str!("../../CONFIG.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let case = Case::new(example);
    for file in ["read.secret", "write.secret"] {
        fs::write(case.folder.path().join(file), "twelve-letters").unwrap();
    }
    let config = case.config();
    assert_eq!(config.bucket.announced.credentials().unwrap().secret.expose(), "twelve-letters");
    assert_eq!(config.node.folder, case.folder.path().join("node"));
}
