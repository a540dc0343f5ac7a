//! The work of miners and validators on the shared state, as the crate `node` does it: decide, collect the
//! accepted objects, apply, catch up after a start, resync.

use crate::{
    collect::{Collect, Progress},
    node::{Input, Role},
    store::{DecisionId, ObjectId, StateId},
    transfers::{End, Tag, TransferId},
    world::World,
};
use base::{Height, Window};
use protocol::acceptance::Agreement;

/// The work on the shared state.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    job: Job,
    /// Whether the node applies all decided windows before its driver goes on.
    catches_up: bool,
    /// Whether the next state cannot be made, so that only a later checkpoint helps.
    is_stuck: bool,
    /// Whether an object of the last outer step came from custodians or other voters.
    pub(crate) needed_custodians: bool,
}

#[derive(Debug, Default)]
enum Job {
    #[default]
    None,
    Decide(Window),
    Collect(Box<Collect>),
    /// The outer step.
    Apply(DecisionId, u32),
    /// Waits for a block to look for a checkpoint again.
    Resync,
    Checkpoint(StateId),
}

/// The end of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The decision is known.
    Decided(DecisionId),
    /// The accepted objects are there. A miner makes the outer step when its training has ended.
    Collected(DecisionId),
    /// The outer step is made.
    Applied(DecisionId),
    /// The shared state is lost.
    Lost,
    /// The node has caught up.
    Ready,
}

impl Shared {
    /// Returns the download of accepted objects, if one runs.
    pub(crate) fn collect(&self) -> Option<&Collect> {
        if let Job::Collect(collect) = &self.job { Some(collect) } else { None }
    }

    /// Returns the download of accepted objects, if one runs.
    pub(crate) fn collect_mut(&mut self) -> Option<&mut Collect> {
        if let Job::Collect(collect) = &mut self.job { Some(collect) } else { None }
    }
}

impl World {
    /// Catches up from the state in the journal.
    pub(crate) fn catch_up(&mut self, n: usize) -> Option<Done> {
        self.nodes[n].shared.catches_up = true;
        self.next_missed(n)
    }

    /// Begins with the next decided window that is not applied.
    fn next_missed(&mut self, n: usize) -> Option<Done> {
        let height = self.view(n);
        let window = self.states.get(self.nodes[n].state).window;
        if self.setup.clock.last_decided(height).is_none_or(|decided| decided < window) {
            let shared = &mut self.nodes[n].shared;
            (shared.catches_up, shared.job) = (false, Job::None);
            self.caught_up(n);
            return Some(Done::Ready);
        }
        match self.decide(n, window) {
            Some(Done::Decided(decision)) => self.apply(n, decision, &[]),
            other => other,
        }
    }

    /// Waits for the decision on a window.
    pub(crate) fn decide(&mut self, n: usize, window: Window) -> Option<Done> {
        let height = self.view(n);
        let Some(heights) = self.setup.heights(window) else { return Some(Done::Lost) };
        if height < heights.votes_close {
            self.nodes[n].shared.job = Job::Decide(window);
            self.wait_for(n, heights.votes_close);
            return None;
        }
        self.nodes[n].shared.job = Job::None;
        Some(Done::Decided(self.decision(self.nodes[n].state, &heights)))
    }

    /// Downloads the accepted objects that the node does not hold. A validator, and a node that catches up,
    /// then makes the outer step.
    pub(crate) fn apply(&mut self, n: usize, decision: DecisionId, held: &[ObjectId]) -> Option<Done> {
        let ours = self.states.get(self.nodes[n].state).state;
        let decided = &self.decisions[decision as usize];
        if let Agreement::Diverged { .. } = decided.decision.standing(ours) {
            self.nodes[n].shared.is_stuck = false;
            return self.lost(n, "the votes name another state");
        }
        let window = decided.decision.window;
        let accepted = decided.decision.applied();
        let objects: Vec<ObjectId> =
            accepted.iter().filter_map(|accepted| self.objects.find(&accepted.object)).collect();
        let until =
            self.setup.heights(window).map_or(Height(0), |heights| self.setup.clock.objects_wait(&heights));
        let mut held = held.to_vec();
        held.extend(self.prefetched(n, window));
        self.nodes[n].shared.job = Job::Collect(Box::new(Collect::new(decision, until, &objects, &held)));
        self.go_on(n)
    }

    /// Goes on with the downloads of accepted objects.
    fn go_on(&mut self, n: usize) -> Option<Done> {
        match self.continue_collect(n) {
            Progress::Running => None,
            Progress::All => {
                let collect = self.nodes[n].shared.collect()?;
                let (decision, needed_custodians) = (collect.decision, collect.needed_custodians);
                self.nodes[n].shared.needed_custodians = needed_custodians;
                if matches!(self.nodes[n].role, Role::Miner(_)) && !self.nodes[n].shared.catches_up {
                    self.nodes[n].shared.job = Job::None;
                    return Some(Done::Collected(decision));
                }
                self.step_state(n, decision);
                None
            }
            Progress::Nowhere => {
                let decision = self.nodes[n].shared.collect()?.decision;
                self.check_given_up(n, decision);
                self.end_collect(n);
                self.nodes[n].shared.is_stuck = true;
                self.lost(n, "an accepted object is nowhere")
            }
        }
    }

    /// Makes the outer step.
    pub(crate) fn step_state(&mut self, n: usize, decision: DecisionId) {
        let token = self.timer(n, self.setup.profile.work.apply);
        self.nodes[n].shared.job = Job::Apply(decision, token);
    }

    fn lost(&mut self, n: usize, why: &str) -> Option<Done> {
        self.story.tell(self.now, || format!("node {n} loses the shared state: {why}"));
        self.checks.lost();
        let is_catching_up = self.nodes[n].shared.catches_up;
        self.nodes[n].shared.job = Job::None;
        if is_catching_up { self.resync(n) } else { Some(Done::Lost) }
    }

    /// Handles what the work on the shared state waits for.
    pub(crate) fn shared_input(&mut self, n: usize, input: Input) -> Option<Done> {
        match (&self.nodes[n].shared.job, input) {
            (Job::Decide(window), Input::Wake) => {
                let window = *window;
                let done = self.decide(n, window);
                match done {
                    Some(Done::Decided(decision)) if self.nodes[n].shared.catches_up => {
                        self.apply(n, decision, &[])
                    }
                    done => done,
                }
            }
            (Job::Collect(_), Input::Timer(token)) => {
                self.collect_timer(n, token);
                self.go_on(n)
            }
            (Job::Collect(_), Input::Wake) => self.go_on(n),
            (Job::Apply(decision, expected), Input::Timer(token)) if *expected == token => {
                let decision = *decision;
                self.applied(n, decision)
            }
            (Job::Resync, Input::Wake) => self.resync(n),
            (Job::Checkpoint(state), Input::Transfer(Tag::Checkpoint, end, _)) => {
                let state = *state;
                self.checkpoint_loaded(n, state, end)
            }
            _ => None,
        }
    }

    /// Handles the end of a transfer of an accepted object.
    pub(crate) fn shared_transfer(
        &mut self,
        n: usize,
        transfer: TransferId,
        tag: Tag,
        end: End,
        moved: u64,
    ) -> Option<Done> {
        self.collect_transfer(n, transfer, tag, end, moved);
        self.go_on(n)
    }

    /// Writes the next state to the journal.
    fn applied(&mut self, n: usize, decision: DecisionId) -> Option<Done> {
        let decided = std::sync::Arc::clone(&self.decisions[decision as usize].decision);
        let next = self.states.after(self.nodes[n].state, decision, &decided);
        self.nodes[n].state = next;
        self.nodes[n].shared.job = Job::None;
        self.check_applied(n, decision);
        if self.nodes[n].shared.catches_up { self.next_missed(n) } else { Some(Done::Applied(decision)) }
    }

    /// Gets the shared state from a checkpoint. Without a useful one it tries the journal's again.
    pub(crate) fn resync(&mut self, n: usize) -> Option<Done> {
        self.nodes[n].shared.catches_up = true;
        let own = self.states.get(self.nodes[n].state).window;
        let is_stuck = self.nodes[n].shared.is_stuck;
        let offers =
            self.nodes.iter().enumerate().filter(|(other, node)| *other != n && node.checkpoint.is_some());
        let offers = offers.filter_map(|(other, node)| {
            Some((self.states.get(node.checkpoint?).window, node.checkpoint?, other))
        });
        let best = offers.filter(|(window, ..)| *window > own || !is_stuck).max();
        match best {
            Some((_, state, bucket)) => {
                let bytes = self.setup.profile.checkpoint_bytes;
                self.request(n, Tag::Checkpoint, bucket, None, bytes);
                self.nodes[n].shared.job = Job::Checkpoint(state);
                None
            }
            None if is_stuck => {
                self.nodes[n].shared.is_stuck = false;
                self.next_missed(n)
            }
            None => self.look_again(n),
        }
    }

    fn look_again(&mut self, n: usize) -> Option<Done> {
        let next = self.view(n).next();
        self.nodes[n].shared.job = Job::Resync;
        self.wait_for(n, next);
        None
    }

    fn checkpoint_loaded(&mut self, n: usize, state: StateId, end: End) -> Option<Done> {
        if end != End::Done {
            return self.look_again(n);
        }
        let window = self.states.get(state).window;
        self.story.tell(self.now, || format!("node {n} takes a checkpoint of window {window}"));
        self.nodes[n].state = state;
        self.nodes[n].shared.is_stuck = false;
        self.next_missed(n)
    }
}
