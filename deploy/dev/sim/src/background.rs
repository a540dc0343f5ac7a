//! The work of a validator in the background: its vote, the objects in its custody, its checkpoints.

use crate::{
    chain::TxId,
    node::Input,
    prefetch::Collected,
    store::{DecisionId, ObjectId, StateId},
    transfers::{End, Part, Tag},
    validator::Event,
    world::{Decided, World},
};
use base::{Height, Window};
use protocol::{
    acceptance::Accepted,
    announcement::{Bits, Record, Vote},
    clock::Heights,
};

/// The pause between two attempts to upload an object in custody, in milliseconds.
const PAUSE: u64 = 500;

/// The work of a validator in the background.
#[derive(Debug, Default)]
pub(crate) struct Background {
    /// The vote on its way to the chain.
    sending: Option<Sending>,
    /// The objects and keys that are still to be put into the own bucket, the next one at the end.
    custody: Vec<(ObjectId, Part)>,
    /// The block from which on no node waits for them.
    until: Height,
    /// The pause after a failed upload.
    pause: Option<u32>,
    /// The state whose checkpoint is uploaded, and the newest one that waits for that.
    uploading: Option<StateId>,
    waiting: Option<StateId>,
}

/// A vote on its way to the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    pub(crate) vote: Vote,
    pub(crate) tx: Option<TxId>,
    pub(crate) closes: Height,
}

impl World {
    fn work_of(&mut self, n: usize) -> Option<&mut Background> {
        Some(&mut self.validator(n)?.background)
    }

    /// Sends a vote, or waits for the next block if the chain cannot be reached.
    pub(crate) fn send(&mut self, n: usize, sending: Sending) {
        let tx = self.submit(n, Record::Vote(sending.vote));
        if tx.is_none() {
            let next = self.view(n).next();
            self.wait_for(n, next);
        }
        if let Some(background) = self.work_of(n) {
            background.sending = Some(Sending { tx, ..sending });
        }
    }

    /// Goes on with the work in the background: the vote, and the objects in custody.
    pub(crate) fn background(&mut self, n: usize, input: Input) {
        let height = self.view(n);
        let Some(background) = self.work_of(n) else { return };
        match (background.sending, input) {
            (Some(sending), Input::Tx(id, block)) if sending.tx == Some(id) => {
                background.sending = None;
                if block.is_none() && height < sending.closes {
                    self.send(n, sending);
                }
            }
            (Some(sending), Input::Wake) if sending.tx.is_none() => {
                background.sending = None;
                if height < sending.closes {
                    self.send(n, sending);
                }
            }
            (_, Input::Transfer(Tag::Custody, end, _)) => self.custody_ended(n, end, height),
            (_, Input::Transfer(Tag::OwnCheckpoint, end, _)) => {
                let uploaded = background.uploading.take();
                if end == End::Done {
                    self.nodes[n].checkpoint = uploaded;
                }
                self.next_checkpoint(n);
            }
            (_, Input::Timer(token)) if background.pause == Some(token) => {
                background.pause = None;
                self.next_custody(n);
            }
            _ => {}
        }
    }

    /// Begins to publish the voted objects of which it is a custodian.
    pub(crate) fn begin_custody(
        &mut self,
        n: usize,
        window: Window,
        fetched: &Collected,
        good: Option<Bits>,
    ) -> Event {
        let voted = match self.chain.records[n] {
            Some((_, Record::Vote(vote))) if vote.window == window => vote.good,
            _ => Bits::default(),
        };
        let good = good.unwrap_or(voted);
        let Some(heights) = self.setup.heights(window) else { return Event::Kept };
        let mut objects = Vec::new();
        for (place, candidate) in fetched.candidates.iter().enumerate() {
            if good.has(place)
                && fetched.has_arrived(candidate)
                && self.custodians(&heights, &candidate.object).contains(&(n as u32))
            {
                objects.extend(self.objects.find(&candidate.object));
            }
        }
        self.keep(n, &objects, &heights);
        Event::Kept
    }

    /// Begins to publish the accepted objects that a validator keeps although it is no custodian of them.
    pub(crate) fn keep_accepted(&mut self, n: usize, fetched: &Collected, decision: DecisionId) {
        let Decided { decision, keepers, .. } = &self.decisions[decision as usize];
        let Some(heights) = self.setup.heights(decision.window) else { return };
        let kept = decision.applied().iter().zip(keepers);
        let kept = kept.filter(|(_, keepers)| keepers.contains(&(n as u32)));
        let kept: Vec<Accepted> = kept.map(|(accepted, _)| *accepted).collect();
        let mut objects = Vec::new();
        for Accepted { id, object } in kept {
            let arrived = fetched.candidates.iter().any(|candidate| {
                candidate.id == id && candidate.object == object && fetched.has_arrived(candidate)
            });
            if arrived && !self.custodians(&heights, &object).contains(&(n as u32)) {
                objects.extend(self.objects.find(&object));
            }
        }
        self.keep(n, &objects, &heights);
    }

    /// Begins to publish objects and their keys, after those that are still to be published.
    fn keep(&mut self, n: usize, objects: &[ObjectId], heights: &Heights) {
        let until = self.setup.clock.objects_wait(heights);
        let Some(background) = self.work_of(n) else { return };
        let is_idle = background.custody.is_empty();
        // The key first: the list is taken from its end.
        let parts = objects.iter().rev().flat_map(|object| [(*object, Part::Object), (*object, Part::Key)]);
        background.custody.splice(0..0, parts);
        background.until = until;
        if is_idle {
            self.next_custody(n);
        }
    }

    fn next_custody(&mut self, n: usize) {
        let bytes = self.setup.profile.object_bytes;
        if let Some((object, part)) =
            self.work_of(n).and_then(|background| background.custody.last().copied())
        {
            self.put(n, Tag::Custody, Some((object, part)), bytes);
        }
    }

    fn custody_ended(&mut self, n: usize, end: End, height: Height) {
        let Some(background) = self.work_of(n) else { return };
        if end == End::Done {
            background.custody.pop();
            self.next_custody(n);
        } else if height >= background.until {
            background.custody.clear();
        } else {
            let token = self.timer(n, PAUSE);
            if let Some(background) = self.work_of(n) {
                background.pause = Some(token);
            }
        }
    }

    /// Begins to upload the present state as a checkpoint, as soon as no other upload of one runs.
    pub(crate) fn begin_checkpoint(&mut self, n: usize) {
        let state = self.nodes[n].state;
        if let Some(background) = self.work_of(n) {
            background.waiting = Some(state);
        }
        self.next_checkpoint(n);
    }

    fn next_checkpoint(&mut self, n: usize) {
        let Some(background) = self.work_of(n).filter(|background| background.uploading.is_none()) else {
            return;
        };
        background.uploading = background.waiting.take();
        if background.uploading.is_some() {
            self.put(n, Tag::OwnCheckpoint, None, self.setup.profile.checkpoint_bytes);
        }
    }

    /// Looks whether the vote and the objects in custody are published.
    pub(crate) fn published(&mut self, n: usize) -> Option<Event> {
        let background = self.work_of(n)?;
        (background.custody.is_empty() && background.sending.is_none()).then_some(Event::Published)
    }
}
