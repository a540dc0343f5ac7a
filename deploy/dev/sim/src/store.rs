//! The objects of all buckets, and the states of the shared model.

use crate::random;
use base::{
    Window,
    digest::{ObjectHash, RunHash, State, StateRoot},
};
use protocol::{acceptance::Decision, history::History};
use std::{collections::HashMap, sync::Arc};

/// A place in the list of objects. The first bytes of the object's hash hold it.
pub(crate) type ObjectId = u32;
/// A place in the list of states.
pub(crate) type StateId = u32;
/// A place in the list of decisions.
pub(crate) type DecisionId = u32;

/// A sealed submission.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// The miner that claims it.
    pub(crate) owner: u32,
    pub(crate) window: u64,
    /// The state that it was trained from; `None` if it holds no work of its own.
    pub(crate) base: Option<StateId>,
    /// The object of which this is a copy.
    pub(crate) copy_of: Option<ObjectId>,
    pub(crate) hash: ObjectHash,
    /// The buckets that have it or its key.
    pub(crate) copies: Vec<Copy>,
}

/// An object in a bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    /// The node whose bucket it is.
    pub(crate) bucket: u32,
    /// The time from which on the object is there.
    pub(crate) object: Option<u64>,
    /// The time from which on the key is there.
    pub(crate) key: Option<u64>,
    /// The number of times that the object was served.
    pub(crate) served: u32,
}

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    seed: u64,
    list: Vec<Object>,
}

impl Objects {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, list: Vec::new() }
    }

    /// Adds an object.
    pub(crate) fn add(
        &mut self,
        owner: usize,
        window: Window,
        base: Option<StateId>,
        copy_of: Option<ObjectId>,
    ) -> ObjectId {
        let id = self.list.len() as ObjectId;
        let mut hash = random::bytes(2, [self.seed, id.into(), owner as u64]);
        hash[..4].copy_from_slice(&id.to_le_bytes());
        let hash = ObjectHash(hash);
        self.list.push(Object {
            owner: owner as u32,
            window: window.0,
            base,
            copy_of,
            hash,
            copies: Vec::new(),
        });
        id
    }

    pub(crate) fn get(&self, id: ObjectId) -> &Object {
        &self.list[id as usize]
    }

    /// Returns the object with a hash.
    pub(crate) fn find(&self, hash: &ObjectHash) -> Option<ObjectId> {
        let [a, b, c, d, ..] = hash.0;
        let id = u32::from_le_bytes([a, b, c, d]);
        self.list.get(id as usize).is_some_and(|object| object.hash == *hash).then_some(id)
    }

    /// Returns an object in a bucket.
    pub(crate) fn copy(&self, id: ObjectId, bucket: usize) -> Option<&Copy> {
        self.get(id).copies.iter().find(|copy| copy.bucket as usize == bucket)
    }

    /// Returns an object in a bucket, which may hold neither the object nor its key yet.
    pub(crate) fn copy_mut(&mut self, id: ObjectId, bucket: usize) -> &mut Copy {
        let copies = &mut self.list[id as usize].copies;
        let place = copies.iter().position(|copy| copy.bucket as usize == bucket).unwrap_or_else(|| {
            copies.push(Copy { bucket: bucket as u32, object: None, key: None, served: 0 });
            copies.len() - 1
        });
        &mut copies[place]
    }
}

/// A shared state: the parameters at the start of a window, and the accepted sets before.
#[derive(Clone, Debug)]
pub(crate) struct SharedState {
    pub(crate) window: Window,
    /// The name that votes use.
    pub(crate) state: State,
    /// The state of the window before; its own place at the start of a run.
    before: StateId,
    root: StateRoot,
    history: Arc<History>,
}

/// All states that nodes reach, each computed once.
#[derive(Debug)]
pub(crate) struct States {
    list: Vec<SharedState>,
    next: HashMap<(StateId, DecisionId), StateId>,
}

impl States {
    /// Creates the list with the state at the start of a run, at place 0.
    pub(crate) fn new(run: &RunHash) -> Self {
        let history = History::new(run);
        let root = StateRoot::of(&[&run.0]);
        let first = SharedState {
            window: Window(0),
            state: history.state(&root),
            before: 0,
            root,
            history: Arc::new(history),
        };
        Self { list: vec![first], next: HashMap::new() }
    }

    pub(crate) fn get(&self, id: StateId) -> &SharedState {
        &self.list[id as usize]
    }

    /// Returns the state at the start of the window before; the same at the start of a run.
    pub(crate) fn before(&self, id: StateId) -> StateId {
        self.get(id).before
    }

    /// Returns the state after a decision on the next window.
    pub(crate) fn after(&mut self, id: StateId, number: DecisionId, decision: &Decision) -> StateId {
        if let Some(next) = self.next.get(&(id, number)) {
            return *next;
        }
        let SharedState { root, history, state, .. } = self.get(id);
        let named = *state;
        let mut parts: Vec<&[u8]> = vec![&root.0];
        parts.extend(decision.applied().iter().map(|accepted| &accepted.object.0[..]));
        let root = if decision.applied().is_empty() { *root } else { StateRoot::of(&parts) };
        let mut history = History::clone(history);
        history.push(decision, named).expect("a node applies decisions in order");
        let (window, state) = (history.next(), history.state(&root));
        let next = self.list.len() as StateId;
        self.list.push(SharedState { window, state, before: id, root, history: Arc::new(history) });
        self.next.insert((id, number), next);
        next
    }
}
