//! The report on a live runtime: whether Muster can use each item. `check` prints it.

use std::fmt;

use subxt::Metadata;

use crate::{
    check::{self, ItemReport, Status},
    items::{Item, Kind},
    runtime::RuntimeId,
};

/// The comparison of all items with one live runtime.
///
/// The chain client makes one when it connects, and again after each upgrade of the runtime. It calls
/// [`usable`](Self::usable) before it relies on an item. So a missing item disables only the functions that
/// need it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The runtime that the typed interface was made from.
    pub pinned: RuntimeId,
    /// The live runtime; `None` if its metadata does not name it.
    pub live: Option<RuntimeId>,
    /// One entry for each of [`ITEMS`](crate::items::ITEMS), in the order of the list.
    pub items: Vec<ItemReport>,
}

/// An error: an item cannot be used on the live runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} {item} cannot be used: {why}; this program was made for {pinned}, the node runs {}",
    live.as_ref().map_or("an unnamed runtime".to_owned(), RuntimeId::to_string)
)]
pub struct Unusable {
    /// The kind of the item.
    pub kind: Kind,
    /// The pallet (or the runtime API's trait) and the name of the item, with a dot between.
    pub item: String,
    /// The reason.
    pub why: Why,
    /// The runtime that the typed interface was made from.
    pub pinned: RuntimeId,
    /// The live runtime; `None` if its metadata does not name it.
    pub live: Option<RuntimeId>,
}

/// The reason why an item cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The live runtime does not have the item.
    Absent,
    /// The live runtime has the item in another form. The text names each breaking difference.
    Different(String),
    /// The node offers only metadata V14, which describes no runtime APIs.
    NotDescribed,
    /// The item is missing in the list of items that Muster uses. This is a bug in Muster.
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

    /// Returns the result for one item, or `None` if Muster does not list the item.
    pub fn item(&self, kind: Kind, pallet: &str, name: &str) -> Option<&ItemReport> {
        let wanted = |item: &Item| item.kind == kind && item.pallet == pallet && item.name == name;
        self.items.iter().find(|report| wanted(report.item))
    }

    /// Checks that this program can use the item on the live runtime. The error tells a user the reason.
    pub fn usable(&self, kind: Kind, pallet: &str, name: &str) -> Result<(), Unusable> {
        let why = match self.item(kind, pallet, name) {
            None => Why::NotListed,
            Some(report) if report.status.is_usable() => return Ok(()),
            Some(report) => why(&report.status),
        };
        let item = format!("{pallet}.{name}");
        Err(Unusable { kind, item, why, pinned: self.pinned.clone(), live: self.live.clone() })
    }

    /// Returns the items that cannot be used.
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
