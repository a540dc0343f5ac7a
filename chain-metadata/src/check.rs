//! Compares each item that Muster uses with a live runtime.
//!
//! The comparison is pure: it takes metadata and returns one [`ItemReport`] for each item.
//! [`Report`](crate::report::Report) answers questions about all items.

use std::fmt;

use subxt::Metadata;
use subxt_metadata::PalletMetadata;

use crate::{
    compare::Comparison,
    describe,
    items::{ITEMS, Item, Kind},
    losses, runtime,
};

/// The relation of a live runtime's item to the pinned one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "status", content = "differences", rename_all = "kebab-case")]
pub enum Status {
    /// The names, structure, hashers and defaults are equal: subxt's own validation would accept the item.
    Equal,
    /// Only newtypes around numbers differ: the bytes are the same, and the same code works.
    EqualUpToNewtypes,
    /// There are other differences.
    Different(Vec<Difference>),
    /// The live runtime does not have the item.
    Absent,
    /// The metadata does not describe such items: V14 describes no runtime APIs.
    NotDescribed,
}

impl Status {
    /// Returns whether Muster can use the item on this runtime.
    pub fn is_usable(&self) -> bool {
        match self {
            Status::Equal | Status::EqualUpToNewtypes => true,
            Status::Different(differences) => !differences.iter().any(Difference::is_breaking),
            Status::Absent | Status::NotDescribed => false,
        }
    }

    /// Returns the differences. The list is empty unless the status is [`Different`](Status::Different).
    pub fn differences(&self) -> &[Difference] {
        match self {
            Status::Different(differences) => differences,
            _ => &[],
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Equal => "equal",
            Status::EqualUpToNewtypes => "equal up to newtypes",
            Status::Different(_) if self.is_usable() => "different, usable",
            Status::Different(_) => "DIFFERENT",
            Status::Absent => "ABSENT",
            Status::NotDescribed => "not described by V14",
        })
    }
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// A type, at the named place.
    Type,
    /// A field of a struct, or an argument, that only one side has, or that has another name there.
    Field,
    /// Variants of an enum that one side lacks. Harmless: values are matched by name, so only values of such
    /// a variant cannot be read or written.
    Variants,
    /// The number of keys of a map.
    Keys,
    /// The hasher of a map's key.
    Hasher,
    /// The default of an absent storage value. Harmless if both sides have one: the live default is used.
    Default,
    /// A constant's value. Harmless: the live value is used.
    Value,
}

/// One difference between the pinned item and the live one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The kind of the difference.
    pub aspect: Aspect,
    /// The place: `value`, `key 0`, `netuid`, `value.info.fields.0[]`; empty for the item itself.
    pub place: String,
    /// The pinned runtime's part, in words; `None` if it has nothing at this place.
    pub pinned: Option<String>,
    /// The live runtime's part, in words; `None` if it has nothing at this place.
    pub live: Option<String>,
}

impl Difference {
    /// Returns whether the difference makes the item unusable.
    pub fn is_breaking(&self) -> bool {
        match self.aspect {
            Aspect::Type | Aspect::Field | Aspect::Keys | Aspect::Hasher => true,
            Aspect::Default => self.pinned.is_none() || self.live.is_none(),
            Aspect::Variants | Aspect::Value => false,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        match (&self.pinned, &self.live) {
            (Some(pinned), Some(live)) => write!(f, "pinned {pinned}, live {live}"),
            (Some(pinned), None) => write!(f, "live lacks {pinned}"),
            (None, Some(live)) => write!(f, "live also has {live}"),
            (None, None) => f.write_str("both lack it"),
        }
    }
}

/// The result of the comparison of one item.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ItemReport {
    /// The item.
    #[serde(flatten)]
    pub item: &'static Item,
    /// The relation of the live item to the pinned one.
    #[serde(flatten)]
    pub status: Status,
    /// The pinned item in words.
    pub pinned: String,
    /// The live item in words; `None` if the live runtime does not have or describe it.
    pub live: Option<String>,
    /// The consequence for an operator, if the item cannot be used.
    pub loss: Option<&'static str>,
}

/// Compares each of [`ITEMS`] with a live runtime, in the order of the list.
pub fn check(live: &Metadata) -> Vec<ItemReport> {
    check_against(runtime::pinned(), live)
}

/// Compares like [`check`], with `pinned` in place of the pinned metadata. An item that `pinned` lacks
/// counts as absent.
pub fn check_against(pinned: &Metadata, live: &Metadata) -> Vec<ItemReport> {
    ITEMS.iter().map(|item| check_item(item, pinned, live)).collect()
}

fn check_item(item: &'static Item, pinned: &Metadata, live: &Metadata) -> ItemReport {
    let comparison = Comparison::new(pinned.types(), live.types());
    let (status, live_words) = if item.kind == Kind::RuntimeApi && live.runtime_api_traits().len() == 0 {
        (Status::NotDescribed, None)
    } else {
        match compare(item, pinned, live, comparison) {
            Some(comparison) => (status(comparison), words(item, live)),
            None => (Status::Absent, None),
        }
    };
    let loss = (!status.is_usable()).then(|| losses::loss(item));
    ItemReport { item, status, pinned: words(item, pinned).unwrap_or_default(), live: live_words, loss }
}

fn status(comparison: Comparison<'_>) -> Status {
    match (comparison.differences.is_empty(), comparison.newtypes) {
        (true, false) => Status::Equal,
        (true, true) => Status::EqualUpToNewtypes,
        (false, _) => Status::Different(comparison.differences),
    }
}

/// Runs the comparison for the kind of an item. Returns `None` if one side lacks the item.
fn compare<'a>(
    item: &Item,
    pinned: &Metadata,
    live: &Metadata,
    mut comparison: Comparison<'a>,
) -> Option<Comparison<'a>> {
    if item.kind == Kind::RuntimeApi {
        compare_methods(item, pinned, live, &mut comparison)?;
        return Some(comparison);
    }
    let ours = pinned.pallet_by_name(item.pallet)?;
    let theirs = live.pallet_by_name(item.pallet)?;
    match item.kind {
        Kind::Call => {
            let a = ours.call_variant_by_name(item.name)?;
            let b = theirs.call_variant_by_name(item.name)?;
            comparison.fields(&a.fields, &b.fields, "");
        }
        Kind::Event => {
            let (a, b) = (event(&ours, item)?, event(&theirs, item)?);
            comparison.fields(&a.fields, &b.fields, "");
        }
        Kind::Storage => compare_storage(item, &ours, &theirs, &mut comparison)?,
        Kind::Constant => {
            let a = ours.constant_by_name(item.name)?;
            let b = theirs.constant_by_name(item.name)?;
            comparison.types(a.ty(), b.ty(), "");
            compare_bytes(Aspect::Value, Some(a.value()), Some(b.value()), &mut comparison);
        }
        Kind::Errors => comparison.types(ours.error_ty_id()?, theirs.error_ty_id()?, ""),
        Kind::RuntimeApi => {}
    }
    Some(comparison)
}

fn event<'a>(
    pallet: &PalletMetadata<'a>,
    item: &Item,
) -> Option<&'a scale_info::Variant<scale_info::form::PortableForm>> {
    pallet.event_variants()?.iter().find(|variant| variant.name == item.name)
}

fn compare_storage(
    item: &Item,
    ours: &PalletMetadata<'_>,
    theirs: &PalletMetadata<'_>,
    comparison: &mut Comparison<'_>,
) -> Option<()> {
    let a = ours.storage()?.entry_by_name(item.name)?;
    let b = theirs.storage()?.entry_by_name(item.name)?;
    if a.keys().len() != b.keys().len() {
        let [ours, theirs] = [a, b].map(|entry| Some(entry.keys().len().to_string()));
        comparison.differ(Aspect::Keys, "number of keys", ours, theirs);
    }
    for (position, (a, b)) in a.keys().zip(b.keys()).enumerate() {
        let place = format!("key {position}");
        if a.hasher != b.hasher {
            let [ours, theirs] = [a.hasher, b.hasher].map(|hasher| Some(format!("{hasher:?}")));
            comparison.differ(Aspect::Hasher, &place, ours, theirs);
        }
        comparison.types(a.key_id, b.key_id, &place);
    }
    comparison.types(a.value_ty(), b.value_ty(), "value");
    compare_bytes(Aspect::Default, a.default_value(), b.default_value(), comparison);
    Some(())
}

fn compare_bytes(
    aspect: Aspect,
    ours: Option<&[u8]>,
    theirs: Option<&[u8]>,
    comparison: &mut Comparison<'_>,
) {
    if ours != theirs {
        let place = if aspect == Aspect::Default { "default" } else { "value" };
        comparison.differ(aspect, place, ours.map(describe::bytes), theirs.map(describe::bytes));
    }
}

fn compare_methods(
    item: &Item,
    pinned: &Metadata,
    live: &Metadata,
    comparison: &mut Comparison<'_>,
) -> Option<()> {
    let ours = pinned.runtime_api_trait_by_name(item.pallet)?.method_by_name(item.name)?;
    let theirs = live.runtime_api_trait_by_name(item.pallet)?.method_by_name(item.name)?;
    let (ours_in, theirs_in): (Vec<_>, Vec<_>) = (ours.inputs().collect(), theirs.inputs().collect());
    // Arguments are encoded by position, so compare them by position.
    for position in 0..ours_in.len().max(theirs_in.len()) {
        match (ours_in.get(position), theirs_in.get(position)) {
            (Some(a), Some(b)) if a.name == b.name => comparison.types(a.id, b.id, &a.name),
            (a, b) => {
                let place = format!("argument {position}");
                let words = |metadata: &Metadata, name: &str, id: u32| {
                    format!("{name}: {}", describe::type_name(metadata.types(), id))
                };
                let ours = a.map(|input| words(pinned, &input.name, input.id));
                let theirs = b.map(|input| words(live, &input.name, input.id));
                comparison.differ(Aspect::Field, &place, ours, theirs);
            }
        }
    }
    comparison.types(ours.output_ty(), theirs.output_ty(), "value");
    Some(())
}

/// Describes an item of one side's metadata in words. Returns `None` if the metadata lacks it.
fn words(item: &Item, metadata: &Metadata) -> Option<String> {
    let types = metadata.types();
    if item.kind == Kind::RuntimeApi {
        let method = metadata.runtime_api_trait_by_name(item.pallet)?.method_by_name(item.name)?;
        return Some(describe::method(types, &method));
    }
    let pallet = metadata.pallet_by_name(item.pallet)?;
    Some(match item.kind {
        Kind::Call => describe::variant(types, pallet.call_variant_by_name(item.name)?),
        Kind::Event => describe::variant(types, event(&pallet, item)?),
        Kind::Storage => describe::storage(types, pallet.storage()?.entry_by_name(item.name)?),
        Kind::Constant => describe::constant(types, pallet.constant_by_name(item.name)?),
        Kind::Errors => format!("{} errors", pallet.error_variants()?.len()),
        Kind::RuntimeApi => return None,
    })
}
