//! What a live runtime offers of what Muster uses: asked before an item is relied upon, and printed by `check`.

use std::fmt;

use subxt::Metadata;

use crate::{
    check::{self, ItemReport, Status},
    items::{Item, Kind},
    runtime::RuntimeId,
};

/// The comparison of all items with one live runtime.
///
/// A node makes one at connect, and again after each upgrade of the runtime, and asks [`usable`](Self::usable)
/// before it relies on an item: what a runtime lacks disables what needs it, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The runtime that the typed interface was made from.
    pub pinned: RuntimeId,
    /// The live runtime; `None` where its metadata does not name it.
    pub live: Option<RuntimeId>,
    /// One entry for each of [`ITEMS`](crate::items::ITEMS), in their order.
    pub items: Vec<ItemReport>,
}

/// An item cannot be used on the live runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} {item} cannot be used: {why}; this program was made for {pinned}, the node runs {}",
    live.as_ref().map_or("a runtime that it does not name".to_owned(), RuntimeId::to_string)
)]
pub struct Unusable {
    /// What the item is.
    pub kind: Kind,
    /// Its pallet (or its runtime API's trait) and name, with a dot between.
    pub item: String,
    /// What is wrong with it.
    pub why: Why,
    /// The runtime that the typed interface was made from.
    pub pinned: RuntimeId,
    /// The live runtime; `None` where its metadata does not name it.
    pub live: Option<RuntimeId>,
}

/// Why an item cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The live runtime does not have it.
    Absent,
    /// The live runtime has it in another form; the text names each breaking difference.
    Different(String),
    /// The node offered metadata V14 only, which describes no runtime APIs.
    NotDescribed,
    /// It is not on the list of what Muster uses, so that nothing is known about it: a fault of ours.
    NotListed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Absent => f.write_str("the runtime does not have it"),
            Why::Different(how) => write!(f, "the runtime has it in another form ({how})"),
            Why::NotDescribed => f.write_str("the node's metadata V14 describes no runtime APIs"),
            Why::NotListed => f.write_str("it is not listed in chain-metadata's items.rs"),
        }
    }
}

impl Report {
    /// Compares a live runtime with the pinned one.
    pub fn new(live: &Metadata) -> Self {
        Self { pinned: RuntimeId::pinned(), live: RuntimeId::of(live), items: check::check(live) }
    }

    /// What became of one item; `None` where Muster does not list it.
    pub fn item(&self, kind: Kind, pallet: &str, name: &str) -> Option<&ItemReport> {
        let wanted = |item: &Item| item.kind == kind && item.pallet == pallet && item.name == name;
        self.items.iter().find(|report| wanted(report.item))
    }

    /// Is the item as this program expects it, or near enough? The error says what is wrong, in words for a user.
    pub fn usable(&self, kind: Kind, pallet: &str, name: &str) -> Result<(), Unusable> {
        let why = match self.item(kind, pallet, name) {
            None => Why::NotListed,
            Some(report) if report.status.is_usable() => return Ok(()),
            Some(report) => why(&report.status),
        };
        let item = format!("{pallet}.{name}");
        Err(Unusable { kind, item, why, pinned: self.pinned.clone(), live: self.live.clone() })
    }

    /// The items that cannot be used.
    pub fn unusable(&self) -> impl Iterator<Item = &ItemReport> {
        self.items.iter().filter(|report| !report.status.is_usable())
    }
}

fn why(status: &Status) -> Why {
    match status {
        Status::NotDescribed => Why::NotDescribed,
        Status::Absent => Why::Absent,
        Status::Different(_) | Status::Equal | Status::EqualUpToNewtypes => {
            let breaking = status.differences().iter().filter(|difference| difference.is_breaking());
            Why::Different(breaking.map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
    }
}
