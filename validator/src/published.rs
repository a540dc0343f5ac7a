//! Reads what a validator has published: its standing vote and its score logs.

use base::{
    Hotkey, NeuronId, Window,
    digest::{RunHash, RunId},
};
use exchange::{BlockState, Fetcher};
use protocol::announcement::{Record, Vote};
use scoring::score_log::ScoreLog;

/// Returns the vote on a run that stands in a hotkey's commitment.
pub(crate) fn standing_vote(state: &BlockState, hotkey: &Hotkey, run: RunId) -> Option<Vote> {
    match state.reading(hotkey)?.record() {
        Some(Record::Vote(vote)) if vote.run == run => Some(*vote),
        _ => None,
    }
}

/// Downloads the newest logs in a validator's bucket. Returns at most `most` logs, oldest first, without
/// a gap. `vote` is the validator's last vote, `next` the first undecided window.
pub(crate) async fn published_logs(
    (fetcher, state): (&Fetcher, &BlockState),
    validator: &NeuronId,
    run: &RunHash,
    (vote, next): (&Vote, Window),
    most: usize,
) -> Vec<ScoreLog> {
    // A validator that voted before its first log has no log of earlier windows.
    let oldest = if vote.score_log == Default::default() { vote.window.0 } else { 0 };
    let newest = next.0.max(vote.window.0);
    let mut found: Vec<ScoreLog> = Vec::new();
    for window in (oldest..=newest).rev().map(Window) {
        match fetcher.score_log(state, validator, run, window).await {
            Ok(log) => found.push(log),
            Err(error) => {
                tracing::debug!(target: telemetry::target::SCORE, %window, error = %base::ErrorChain(&error), "no log");
                if !found.is_empty() {
                    break;
                }
            }
        }
        if found.len() >= most {
            break;
        }
    }
    found.reverse();
    found
}
