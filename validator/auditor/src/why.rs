//! The command `why`: explains the pay of one miner by the score logs of all validators.
//!
//! The program `miner` offers it as `miner why`. `auditor window` shows the same numbers for all miners.

mod text;

use crate::{AuditError, RunFlags, progress::Progress, report::Verdict};
use base::{
    Exit, Height, Hotkey, Uid, Window,
    digest::{RunHash, ScoreLogHead},
};
use chain_commands::WalletFlags;
use clap::Args;
use cli::{Answer, Failure, Job};
use scoring::explanation::Explanation;
use serde::Serialize;
use serde_json::{Value, json};

/// The hotkey of a wallet if no other is named, as Bittensor's tools name it.
const DEFAULT_HOTKEY: &str = "default";

/// Flags of `why`.
#[derive(Debug, Args)]
pub struct WhyFlags {
    /// Explain this window [default: the newest with a score log].
    #[arg(long, value_name = "N")]
    window: Option<Window>,
    #[command(flatten)]
    wallet: WalletFlags,
    #[command(flatten)]
    run: RunFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The explanations of one miner's pay in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// Name of the run.
    pub name: String,
    /// Hash of the run spec.
    pub run: RunHash,
    /// The miner.
    pub hotkey: Hotkey,
    /// The window.
    pub window: Window,
    /// Whether the window is the newest one with a score log, and not one that was asked for.
    pub is_newest: bool,
    /// The finalized block whose incentives are shown.
    pub block: Height,
    /// The explanation by each log that names the miner. There is at least one.
    pub logs: Vec<LogWhy>,
    /// The validators whose logs give no explanation.
    pub left_out: Vec<LeftOut>,
}

/// The explanation by the log of one validator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogWhy {
    /// The validator.
    pub validator: Hotkey,
    /// Its uid now, if it is registered.
    pub uid: Option<Uid>,
    /// The head of the log.
    pub head: ScoreLogHead,
    /// The window of the validator's vote that names this head, or `None` if none is known yet.
    pub named_in: Option<Window>,
    /// The explanation.
    pub pay: Explanation,
}

/// A validator whose log gives no explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The validator.
    pub validator: Hotkey,
    /// Its uid now, if it is registered.
    pub uid: Option<Uid>,
    /// The reason.
    pub reason: Reason,
}

/// The reason why a validator's log gives no explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no valid log, or it does not replay.
    Unusable(Verdict),
    /// The log does not name the miner.
    Unnamed,
}

/// The reason why there is no explanation at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyError {
    /// The window is not decided yet.
    #[error(
        "window {window} is not decided yet: its votes close with block {due}, and the chain is at block {block}: \
         {}", remedy(*.newest)
    )]
    Undecided {
        /// The window.
        window: Window,
        /// The block with which its votes close.
        due: Height,
        /// The newest finalized block.
        block: Height,
        /// The last decided window.
        newest: Option<Window>,
    },
    /// No validator has published a log lately.
    #[error(
        "no score log is published yet: none of {validators} validators with permit and bucket has a valid log of the last \
         {searched} windows, up to window {decided}: wait until the next window is decided, or name an older window with \
         --window"
    )]
    NoLog {
        /// Number of validators with a permit and a bucket.
        validators: usize,
        /// Number of windows that were searched.
        searched: u64,
        /// The last decided window.
        decided: Window,
    },
    /// No log of the window can be used.
    #[error(
        "no score log of window {window} can be used: {why}: try again later, or name another window with --window"
    )]
    NoUsableLog {
        /// The window.
        window: Window,
        /// The reasons by validator.
        why: String,
    },
    /// No log names the miner.
    #[error(
        "no score log of window {window} names hotkey {hotkey}: it made no claim and has no standing: name another \
         window with --window, or check with `miner status` that this is the hotkey that mines"
    )]
    Unnamed {
        /// The miner.
        hotkey: Hotkey,
        /// The window.
        window: Window,
    },
}

/// Returns the remedy for a window that is not decided.
fn remedy(newest: Option<Window>) -> String {
    match newest {
        Some(newest) => format!("wait, or ask for a window up to {newest}"),
        None => "wait".to_owned(),
    }
}

impl WhyFlags {
    /// Returns the job of the command.
    #[must_use]
    pub fn job(self) -> Job {
        let work = async move {
            let (text, exit) = self.answer().await.map_err(|error| Failure::new(error.exit(), error))?;
            Ok(Answer::new(text, exit))
        };
        Job::command(work).with_filter("warn")
    }

    /// Returns the text to print, and the exit code.
    ///
    /// # Errors
    /// The flags are wrong, the chain cannot be reached, or there is no explanation.
    pub async fn answer(&self) -> Result<(String, Exit), AuditError> {
        let hotkey = self.hotkey()?;
        let why = self.run.open(Progress::new()).await?.why(hotkey, self.window).await?;
        let text = if self.json { why.to_json().to_string() } else { why.to_text() };
        Ok((text, why.exit()))
    }

    fn hotkey(&self) -> Result<Hotkey, AuditError> {
        let mut wallet = self.wallet.clone();
        wallet.hotkey.get_or_insert_with(|| DEFAULT_HOTKEY.to_owned());
        Ok(wallet.hotkey_account()?)
    }
}

impl Why {
    /// Returns the explanations if there is one.
    pub(crate) fn checked(self) -> Result<Self, WhyError> {
        let (hotkey, window) = (self.hotkey, self.window);
        if !self.logs.is_empty() {
            return Ok(self);
        }
        if self.left_out.iter().any(|left_out| left_out.reason == Reason::Unnamed) {
            return Err(WhyError::Unnamed { hotkey, window });
        }
        let why: Vec<_> = self.left_out.iter().map(ToString::to_string).collect();
        Err(WhyError::NoUsableLog { window, why: why.join("; ") })
    }

    /// Returns the exit code: [`Exit::Disagreement`] if a log is invalid or does not replay, else
    /// [`Exit::Good`].
    #[must_use]
    pub fn exit(&self) -> Exit {
        let differs =
            |left_out: &LeftOut| matches!(left_out.reason, Reason::Unusable(Verdict::Differ { .. }));
        if self.left_out.iter().any(differs) { Exit::Disagreement } else { Exit::Good }
    }

    /// Returns all values as JSON. `miner/WHY.md` lists the fields.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let left_out = |left_out: &LeftOut| {
            json!({
                "validator": left_out.validator,
                "uid": left_out.uid,
                "verdict": left_out.reason.word(),
                "why": left_out.reason.to_string(),
            })
        };
        json!({
            "name": self.name,
            "run": self.run,
            "hotkey": self.hotkey,
            "window": self.window,
            "newest": self.is_newest,
            "block": self.block,
            "validators": self.logs,
            "left_out": self.left_out.iter().map(left_out).collect::<Vec<_>>(),
        })
    }
}
