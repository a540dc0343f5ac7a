//! Going on from a checkpoint, where objects of earlier windows are gone.

use super::{Audit, state_replay::StateReplay};
use crate::AuditError;
use base::{NeuronId, Window};
use exchange::read_parameters;
use protocol::{checkpoint::Pointer, progress::Progress};

/// Parameters that the stake majority voted for.
pub(super) struct Resumption {
    progress: Progress,
    values: Vec<f32>,
}

impl Resumption {
    /// The window that begins with them.
    pub(super) fn window(&self) -> Window {
        self.progress.window()
    }

    /// The walk from there.
    pub(super) fn walk<'a>(self, run: &'a super::Run) -> StateReplay<'a> {
        StateReplay::resume(run, self.progress, self.values)
    }
}

impl Audit<'_> {
    /// A checkpoint of a window after `lost` that helps: the best is that of the first window that is asked for, or the
    /// last one before; else the earliest after it. Only one whose state the votes on its window name will do.
    pub(super) async fn resumption(&self, lost: Window) -> Result<Option<Resumption>, AuditError> {
        for (validator, pointer) in self.checkpoints(lost).await {
            let window = pointer.window;
            self.auditor.progress.say(&format!("checkpoint of window {window} from {}", validator.hotkey));
            if let Some(resumption) = self.fetch(&validator, &pointer).await
                && self.is_voted(&resumption.progress).await?
            {
                return Ok(Some(resumption));
            }
        }
        Ok(None)
    }

    /// The newest checkpoints of all validators, the best first.
    async fn checkpoints(&self, lost: Window) -> Vec<(NeuronId, Pointer)> {
        let (head, start) = (self.sources.head(), self.asked.start);
        let mut found = Vec::new();
        for (validator, _) in head.permitted() {
            let pointer =
                self.sources.fetcher.checkpoint_pointer(head, &validator, &self.auditor.run.hash).await;
            let useful = |pointer: &Pointer| pointer.window > lost && pointer.window.0 < self.asked.end;
            found.extend(pointer.ok().filter(useful).map(|pointer| (validator, pointer)));
        }
        found.sort_by_key(|(_, pointer)| match pointer.window.0 {
            before if before <= start => (false, start - before),
            after => (true, after - start),
        });
        found
    }

    /// A checkpoint from a validator's bucket, whole and of its state root.
    async fn fetch(&self, validator: &NeuronId, pointer: &Pointer) -> Option<Resumption> {
        let folder = tempfile::tempdir().ok()?;
        let (into, run) = (folder.path().join("checkpoint"), &self.auditor.run);
        let head = self.sources.head();
        let fetched = self.sources.fetcher.checkpoint(head, validator, pointer, &run.flat, &into).await;
        let (_, progress) = fetched.ok()?;
        let flat = run.flat.clone();
        let read = tokio::task::spawn_blocking(move || read_parameters(&into, &flat)).await;
        Some(Resumption { progress, values: read.ok()?.ok()? })
    }

    /// Whether a quorum names the state of a checkpoint at the start of its window.
    async fn is_voted(&self, progress: &Progress) -> Result<bool, AuditError> {
        let run = &self.auditor.run;
        let Ok(heights) = run.clock.heights(progress.window()) else { return Ok(false) };
        let Ok(evidence) = self.auditor.read(self.auditor.chain_reader.evidence(&heights).await)? else {
            return Ok(false);
        };
        let decision = self.decide(Ok(&progress.history), &heights, &evidence);
        Ok(decision.is_ok_and(|decision| decision.state == Some(progress.state())))
    }
}

/// The next window to look at: where a checkpoint begins, if all windows before it are not asked for.
pub(super) fn next(after: Window, resumption: Option<&Resumption>, asked: u64) -> Window {
    let next = Window(after.0 + 1);
    resumption
        .map(Resumption::window)
        .filter(|window| window.0 <= asked)
        .map_or(next, |window| window.max(next))
}
