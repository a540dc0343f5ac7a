//! The commands as they are called, without a terminal: tests have none.

use super::*;
use clap::Parser;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const ADDRESS: &str = "5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe";

#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    command: WalletCommand,
}

struct Case(tempfile::TempDir);

impl Case {
    fn new() -> Self {
        let case = Self(tempfile::tempdir().unwrap());
        fs::write(case.path("phrase"), format!("{PHRASE}\n")).unwrap();
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command. Words that begin with `@` are files of this case.
    fn run(&self, line: &str) -> Result<String, String> {
        let words = line.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => word.to_owned(),
        });
        let wallets = ["--wallets".to_owned(), self.path("wallets").display().to_string()];
        let program = Program::try_parse_from(["wallet".to_owned()].into_iter().chain(words).chain(wallets));
        let program = program.map_err(|error| error.to_string())?;
        program.command.run().map_err(|error| base::ErrorChain(&error).to_string())
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{line} --json")).unwrap()).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_created_key_is_the_one_of_its_phrase_and_the_answer_does_not_hold_it() {
    let case = Case::new();
    for (words, count) in [("", 12), (" --words 24", 24)] {
        let (name, file) = (format!("h{count}"), format!("out{count}"));
        let line = format!("create hotkey --hotkey {name} --phrase-out @{file}{words}");
        let created = case.json(&line);
        let phrase = fs::read_to_string(case.path(&file)).unwrap();
        assert_eq!((phrase.split_whitespace().count(), mode(&case.path(&file))), (count, 0o600));
        let first = phrase.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        assert!(!created.to_string().contains(&first), "{created}");
        let restored = case.json(&format!("import hotkey --hotkey copy{count} --phrase-file @{file}"));
        assert_eq!(created["address"], restored["address"]);
        assert_eq!((&created["encrypted"], &created["hotkey"]), (&false.into(), &name.into()));
    }
}

#[test]
fn a_phrase_needs_a_place_to_go() {
    let case = Case::new();
    // Tests may run in a terminal: then the phrase would be shown there.
    if !std::io::IsTerminal::is_terminal(&io::stderr()) {
        let error = case.run("create hotkey").unwrap_err();
        assert!(error.contains("--phrase-out"), "{error}");
        assert!(!case.path("wallets").exists(), "nothing is written");
    }
    let error = case.run("create hotkey --phrase-out @phrase").unwrap_err();
    assert!(error.contains("name a file that does not exist"), "{error}");
    assert!(!case.path("wallets").exists());
    assert_eq!(fs::read_to_string(case.path("phrase")).unwrap().trim(), PHRASE, "the file stays as it is");
}

#[test]
fn a_key_that_cannot_be_written_leaves_no_phrase() {
    let case = Case::new();
    fs::write(case.path("wallets"), "a file").unwrap();
    let error = case.run("create hotkey --phrase-out @out").unwrap_err();
    assert!(error.contains("cannot write"), "{error}");
    assert!(!case.path("out").exists());
}

#[test]
fn an_existing_key_is_replaced_by_force_only() {
    let case = Case::new();
    let first = case.json("create hotkey --phrase-out @a");
    let error = case.run("import hotkey --phrase-file @phrase").unwrap_err();
    assert!(error.contains("exists already") && error.contains("--force"), "{error}");
    let shown = case.json("show");
    assert_eq!(shown["hotkeys"][0]["address"], first["address"]);
    assert_eq!(case.json("import hotkey --phrase-file @phrase --force")["address"], ADDRESS);
    assert_eq!(case.json("show")["hotkeys"][0]["address"], ADDRESS);
}

/// Costs two derivations of a key, at Bittensor's parameters.
#[test]
fn a_coldkey_is_encrypted_with_the_password_of_a_file() {
    let case = Case::new();
    let error = case.run("import coldkey --phrase-file @phrase --password-file @none").unwrap_err();
    assert!(
        error.starts_with("cannot use the password file ") && error.contains("cannot be read"),
        "{error}"
    );
    fs::write(case.path("password"), "correct horse\n").unwrap();
    let written = case.json("import coldkey --phrase-file @phrase --password-file @password");
    assert_eq!((&written["address"], &written["encrypted"]), (&ADDRESS.into(), &true.into()));
    let path = PathBuf::from(written["path"].as_str().unwrap());
    assert!(fs::read(&path).unwrap().starts_with(b"$NACL"));
    assert!(
        written["password_variable"].as_str().unwrap().ends_with("_WALLETS_DEFAULT_COLDKEY"),
        "{written}"
    );
    assert_eq!(case.json("show")["coldkey"]["form"], "encrypted");
    let wallet = Wallet::new(&case.path("wallets"), "default").unwrap();
    let password = Secret::new("correct horse");
    assert_eq!(wallet.coldkey(Some(&password)).unwrap().hotkey().to_string(), ADDRESS);
}

#[test]
fn a_coldkey_is_plain_only_if_asked() {
    let case = Case::new();
    if !std::io::IsTerminal::is_terminal(&io::stdin()) {
        let error = case.run("import coldkey --phrase-file @phrase").unwrap_err();
        assert!(error.contains("set MUSTER_COLDKEY_PASSWORD") && error.contains("--plain"), "{error}");
    }
    let text = case.run("import coldkey --phrase-file @phrase --plain").unwrap();
    assert!(text.starts_with(&format!("coldkey {ADDRESS}\n")) && text.ends_with("(not encrypted)"), "{text}");
    assert!(case.run("import coldkey --plain --encrypt").unwrap_err().contains("cannot be used with"));
}

#[test]
fn a_wrong_phrase_is_refused_without_repeating_it() {
    let case = Case::new();
    let refused = |phrase: &str, expected: &str| {
        fs::write(case.path("wrong"), phrase).unwrap();
        let error = case.run("import hotkey --phrase-file @wrong").unwrap_err();
        assert!(error.contains(expected) && !error.contains("winner"), "{error}");
        assert!(!case.path("wallets").exists());
    };
    refused("legal winner", "12, 15, 18, 21 or 24 words, not 2");
    refused(&PHRASE.replace("useful", "usefull"), "word 8 of the phrase");
    refused(&PHRASE.replace("yellow", "year"), "do not fit together");
    refused(&"winner ".repeat(1000), "cannot read the phrase from");
    assert!(case.run(&format!("import hotkey {PHRASE}")).is_err(), "a phrase is no argument");
}

#[test]
fn show_tells_forms_and_faults_and_no_secret() {
    let case = Case::new();
    assert!(case.run("show").unwrap_err().starts_with("there is no wallet at "));
    case.run("import hotkey --hotkey a --phrase-file @phrase").unwrap();
    case.run("import hotkey --hotkey b --phrase-file @phrase").unwrap();
    let key = case.path("wallets/default/hotkeys/b");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let text = case.run("show").unwrap();
    assert!(text.contains("coldkey           address unknown, no secret here"), "{text}");
    assert!(text.contains(&format!("hotkey a          {ADDRESS}, not encrypted\n")), "{text}");
    assert!(text.contains(&format!("hotkey b          {ADDRESS}, not usable: ")), "{text}");
    assert!(text.contains("chmod 600"), "{text}");
    let json = case.run("show --json").unwrap();
    for shown in [text, json] {
        assert!(!shown.contains("winner") && !shown.contains("6fa2796b0071"), "{shown}");
    }
}

#[test]
fn the_phrase_is_shown_on_one_line() {
    let mut shown = Vec::new();
    phrase::show(&mut shown, &Phrase::parse(PHRASE).unwrap()).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert_eq!(shown.matches(PHRASE).count(), 1);
    assert!(shown.contains("12 words"));
}
