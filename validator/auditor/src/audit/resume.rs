//! Continues the replay from a checkpoint, if objects of earlier windows are gone.

use super::{Audit, state_replay::StateReplay};
use crate::AuditError;
use base::{NeuronId, Window};
use exchange::read_parameters;
use protocol::{checkpoint::Pointer, progress::Progress};

/// A checkpoint to continue from.
pub(super) struct Resumption {
    progress: Progress,
    values: Vec<f32>,
}

impl Resumption {
    /// Returns the window that begins with these parameters.
    pub(super) fn window(&self) -> Window {
        self.progress.window()
    }

    /// Begins a replay at the checkpoint.
    pub(super) fn replay<'a>(self, run: &'a super::Run) -> StateReplay<'a> {
        StateReplay::resume(run, self.progress, self.values)
    }
}

impl Audit<'_> {
    /// Downloads the best checkpoint of a window after `lost`: that of the first requested window, else
    /// the last one before it, else the earliest one after it. Uses only a checkpoint whose state a
    /// quorum has named in the votes on its window.
    pub(super) async fn resumption(&self, lost: Window) -> Result<Option<Resumption>, AuditError> {
        for (owners, pointer) in self.checkpoints(lost).await {
            let window = pointer.window;
            let names: Vec<String> = owners.iter().map(|owner| owner.hotkey.to_string()).collect();
            let names = names.join(", ");
            self.auditor.progress.say(&format!("downloading the checkpoint of window {window} from {names}"));
            if let Some(resumption) = self.fetch(&owners, &pointer).await
                && self.is_voted(&resumption.progress).await?
            {
                return Ok(Some(resumption));
            }
        }
        Ok(None)
    }

    /// Returns the newest checkpoints of all validators, best first, each with all that offer it.
    async fn checkpoints(&self, lost: Window) -> Vec<(Vec<NeuronId>, Pointer)> {
        let head = self.sources.head();
        let start = self.asked.start;
        let mut found: Vec<(Vec<NeuronId>, Pointer)> = Vec::new();
        for (validator, _) in head.permitted() {
            let pointer =
                self.sources.fetcher.checkpoint_pointer(head, &validator, &self.auditor.run.hash).await;
            let useful = |pointer: &Pointer| pointer.window > lost && pointer.window.0 < self.asked.end;
            let Some(pointer) = pointer.ok().filter(useful) else { continue };
            match found.iter_mut().find(|(_, known)| *known == pointer) {
                Some((owners, _)) => owners.push(validator),
                None => found.push((vec![validator], pointer)),
            }
        }
        found.sort_by_key(|(_, pointer)| match pointer.window.0 {
            before if before <= start => (false, start - before),
            after => (true, after - start),
        });
        found
    }

    /// Downloads a checkpoint from the buckets that offer it. Verifies its files and its state root.
    async fn fetch(&self, owners: &[NeuronId], pointer: &Pointer) -> Option<Resumption> {
        let folder = tempfile::tempdir().ok()?;
        let into = folder.path().join("checkpoint");
        let run = &self.auditor.run;
        let head = self.sources.head();
        let fetched = self.sources.fetcher.checkpoint(head, owners, pointer, &run.flat, &into).await;
        let (_, progress) = fetched.ok()?;
        let flat = run.flat.clone();
        let read = tokio::task::spawn_blocking(move || read_parameters(&into, &flat)).await;
        Some(Resumption { progress, values: read.ok()?.ok()? })
    }

    /// Checks whether a quorum has named the state of a checkpoint in the votes on its window.
    async fn is_voted(&self, progress: &Progress) -> Result<bool, AuditError> {
        let run = &self.auditor.run;
        let Ok(heights) = run.clock.heights(progress.window()) else { return Ok(false) };
        let Ok(evidence) = self.auditor.read(self.auditor.chain_reader.evidence(&heights).await)? else {
            return Ok(false);
        };
        let decision = self.decide(&heights, &evidence);
        Ok(decision.is_ok_and(|decision| decision.state == Some(progress.state())))
    }
}

/// Returns the next window to replay. Skips ahead to the window of the checkpoint if no window in between is
/// requested.
pub(super) fn next(after: Window, resumption: Option<&Resumption>, asked: u64) -> Window {
    let next = Window(after.0 + 1);
    resumption
        .map(Resumption::window)
        .filter(|window| window.0 <= asked)
        .map_or(next, |window| window.max(next))
}
