//! Creates the page of all settings from the table. A test compares it with the file.

use super::setting::SETTINGS;
use std::fmt::Write as _;

const HEAD: &str = "# Configuration of a node

Made from the code; a test compares. `miner config show` and `validator config show` print each value and where it came from.

A flag wins over the environment, the environment over the file (`--config FILE` or `MUSTER_CONFIG`), the file over the
default. The file is TOML: `chain.netuid` is the field `netuid` of the section `[chain]`. Paths in it begin at its own folder.
Secrets have no flag, since other users of a machine can see the flags of its processes.

```toml
[chain]
endpoints = [\"wss://entrypoint-finney.opentensor.ai:443\"]

[wallet]
name = \"default\"
hotkey = \"miner\"

[run]
spec = \"run.toml\" # the launched run's file

[data]
folder = \"data\" # made by `miner data prepare`, or fetched

[bucket]
endpoint = \"https://s3.example.com\"
region = \"eu-central-1\"
name = \"my-bucket\"
read_access = \"NAME\" # a key that may only read: it is announced on chain
read_secret_file = \"read.secret\"
write_access = \"NAME\"
write_secret_file = \"write.secret\"

[node]
folder = \"node\"
```
";

/// Creates the page.
pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut last = "";
    for setting in SETTINGS {
        let section = setting.key.split('.').next().unwrap_or_default();
        if section != last {
            last = section;
            let who = if setting.validators { " (validators only)" } else { "" };
            let head = "| setting | flag | environment | default | what it is |\n|---|---|---|---|---|";
            writeln!(page, "\n## `[{section}]`{who}\n\n{head}").expect("a string takes all that is written");
        }
        let flag = setting.flag.map_or_else(String::new, |flag| format!("`--{flag}`"));
        let default = setting.default.map_or_else(String::new, |value| format!("`{value}`"));
        let (key, env, help) = (setting.key, setting.env, setting.help);
        writeln!(page, "| `{key}` | {flag} | `{env}` | {default} | {help} |")
            .expect("a string takes all that is written");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn the_page_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFIG.md");
        if std::env::var_os(cli::BLESS).is_some() {
            fs::write(&path, page()).unwrap();
        }
        assert_eq!(fs::read_to_string(path).unwrap(), page(), "run this test with {}=1", cli::BLESS);
    }
}
