//! The command `wallet show`.

use crate::{CommandError, WalletFolder, costs::lines};
use base::ErrorChain;
use chain::wallet::{KeyForm, KeyOverview, WalletOverview};
use clap::Args;
use serde_json::{Value, json};

/// Flags of `wallet show`.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    folder: WalletFolder,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> Result<String, CommandError> {
        let overview = self.folder.open()?.overview()?;
        Ok(if self.json { as_json(&overview).to_string() } else { as_text(&overview) })
    }
}

fn as_text(overview: &WalletOverview) -> String {
    let mut rows = vec![("wallet".to_owned(), overview.folder.display().to_string())];
    rows.push(("coldkey".to_owned(), key_text(&overview.coldkey)));
    for (name, key) in &overview.hotkeys {
        rows.push((format!("hotkey {name}"), key_text(key)));
    }
    let rows: Vec<_> = rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    lines(&rows)
}

fn key_text(key: &KeyOverview) -> String {
    let address = key.account.map_or_else(|| "address unknown".to_owned(), |account| account.to_string());
    let form = match key.form {
        KeyForm::Missing => "no secret here",
        KeyForm::Plain => "not encrypted",
        KeyForm::Encrypted => "encrypted",
        KeyForm::Unknown => "not usable",
    };
    let problem = key.problem.as_ref().map(|problem| format!(": {}", ErrorChain(problem)));
    format!("{address}, {form}{}", problem.unwrap_or_default())
}

fn as_json(overview: &WalletOverview) -> Value {
    let hotkeys = overview.hotkeys.iter().map(|(name, key)| {
        let mut value = key_json(key);
        value["name"] = json!(name);
        value
    });
    json!({
        "folder": overview.folder,
        "coldkey": key_json(&overview.coldkey),
        "hotkeys": hotkeys.collect::<Vec<_>>(),
    })
}

fn key_json(key: &KeyOverview) -> Value {
    let form = match key.form {
        KeyForm::Missing => "missing",
        KeyForm::Plain => "plain",
        KeyForm::Encrypted => "encrypted",
        KeyForm::Unknown => "unknown",
    };
    json!({
        "address": key.account,
        "path": key.path,
        "form": form,
        "problem": key.problem.as_ref().map(|problem| ErrorChain(problem).to_string()),
    })
}
