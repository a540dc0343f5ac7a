//! Compares a type of the pinned metadata with one of a live runtime, by structure.
//!
//! Names of fields and variants matter. Paths and the order of named fields do not: subxt encodes and
//! decodes by name. The walk goes through both types in lockstep and visits no pair twice. So the pinned
//! side bounds its cost, for any live metadata.

use std::collections::HashSet;

use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef, TypeDefVariant};

use crate::{
    check::{Aspect, Difference},
    describe,
};

/// Newtypes of the pinned runtime. The typed interface (module `api`) replaces them with the number inside.
pub const NEWTYPES: &[&str] =
    &["NetUid", "MechId", "NetUidStorageIndex", "TaoBalance", "AlphaBalance", "PerU16"];

/// Maximum number of newtype layers to unwrap. No sane runtime has more than two.
const LAYERS: usize = 8;

/// A walk over pairs of types that collects the differences.
pub(crate) struct Comparison<'a> {
    pinned: &'a PortableRegistry,
    live: &'a PortableRegistry,
    seen: HashSet<(u32, u32)>,
    /// Whether a number is wrapped in a newtype on one side only. The bytes are the same.
    pub(crate) newtypes: bool,
    /// All other differences.
    pub(crate) differences: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(pinned: &'a PortableRegistry, live: &'a PortableRegistry) -> Self {
        Self { pinned, live, seen: HashSet::new(), newtypes: false, differences: Vec::new() }
    }

    /// Records a difference of any kind.
    pub(crate) fn differ(
        &mut self,
        aspect: Aspect,
        place: &str,
        pinned: Option<String>,
        live: Option<String>,
    ) {
        self.differences.push(Difference { aspect, place: place.into(), pinned, live });
    }

    /// Compares two types. `place` is their place in the item, for example `value` or `argument netuid`.
    pub(crate) fn types(&mut self, pinned: u32, live: u32, place: &str) {
        if !self.seen.insert((pinned, live)) {
            return;
        }
        let ours = peel(self.pinned, pinned, |name| NEWTYPES.contains(&name));
        let is_number = matches!(self.definition(self.pinned, ours.id), Some(TypeDef::Primitive(_)));
        // A plain pinned number fits into any live newtype, listed or not.
        let theirs = peel(self.live, live, |_| is_number);
        self.newtypes |= ours.layers != theirs.layers;
        self.definitions(ours.id, theirs.id, place);
    }

    fn definition<'r>(&self, types: &'r PortableRegistry, id: u32) -> Option<&'r TypeDef<PortableForm>> {
        types.resolve(id).map(|ty| &ty.type_def)
    }

    fn definitions(&mut self, pinned: u32, live: u32, place: &str) {
        let (pinned_types, live_types) = (self.pinned, self.live);
        let pair = (self.definition(pinned_types, pinned), self.definition(live_types, live));
        match pair {
            (Some(TypeDef::Primitive(a)), Some(TypeDef::Primitive(b))) if a == b => {}
            (Some(TypeDef::Composite(a)), Some(TypeDef::Composite(b))) => {
                self.fields(&a.fields, &b.fields, place);
            }
            (Some(TypeDef::Variant(a)), Some(TypeDef::Variant(b))) => self.variants(a, b, place),
            (Some(TypeDef::Sequence(a)), Some(TypeDef::Sequence(b))) => {
                self.types(a.type_param.id, b.type_param.id, &format!("{place}[]"));
            }
            (Some(TypeDef::Array(a)), Some(TypeDef::Array(b))) if a.len == b.len => {
                self.types(a.type_param.id, b.type_param.id, &format!("{place}[]"));
            }
            (Some(TypeDef::Compact(a)), Some(TypeDef::Compact(b))) => {
                self.types(a.type_param.id, b.type_param.id, place);
            }
            (Some(TypeDef::Tuple(a)), Some(TypeDef::Tuple(b))) if a.fields.len() == b.fields.len() => {
                for (position, (a, b)) in a.fields.iter().zip(&b.fields).enumerate() {
                    self.types(a.id, b.id, &format!("{place}.{position}"));
                }
            }
            (Some(TypeDef::BitSequence(a)), Some(TypeDef::BitSequence(b))) => {
                self.types(a.bit_store_type.id, b.bit_store_type.id, place);
                self.types(a.bit_order_type.id, b.bit_order_type.id, place);
            }
            _ => self.other_type(pinned, live, place),
        }
    }

    fn other_type(&mut self, pinned: u32, live: u32, place: &str) {
        let pinned = describe::type_name(self.pinned, pinned);
        let live = describe::type_name(self.live, live);
        self.differ(Aspect::Type, place, Some(pinned), Some(live));
    }

    /// Compares the fields of a struct, or the arguments of a call: by name if all have names, else by
    /// position.
    pub(crate) fn fields(
        &mut self,
        pinned: &[Field<PortableForm>],
        live: &[Field<PortableForm>],
        place: &str,
    ) {
        let names = |fields: &[Field<PortableForm>]| fields.iter().all(|field| field.name.is_some());
        let by_name = names(pinned) && names(live);
        for (position, field) in pinned.iter().enumerate() {
            let partner = if by_name {
                live.iter().find(|other| other.name == field.name)
            } else {
                live.get(position).filter(|other| other.name == field.name)
            };
            let place = join(place, field, position);
            match partner {
                Some(other) => self.types(field.ty.id, other.ty.id, &place),
                None => {
                    let ty = describe::type_name(self.pinned, field.ty.id);
                    self.differ(Aspect::Field, &place, Some(ty), None);
                }
            }
        }
        for (position, field) in live.iter().enumerate() {
            let known = if by_name {
                pinned.iter().any(|other| other.name == field.name)
            } else {
                pinned.get(position).is_some_and(|other| other.name == field.name)
            };
            if !known {
                let ty = describe::type_name(self.live, field.ty.id);
                self.differ(Aspect::Field, &join(place, field, position), None, Some(ty));
            }
        }
    }

    /// Compares two enums by the names of their variants.
    pub(crate) fn variants(
        &mut self,
        pinned: &TypeDefVariant<PortableForm>,
        live: &TypeDefVariant<PortableForm>,
        place: &str,
    ) {
        let mut gone = Vec::new();
        let mut common = HashSet::new();
        for variant in &pinned.variants {
            match live.variants.iter().find(|other| other.name == variant.name) {
                Some(other) => {
                    common.insert(variant.name.as_str());
                    self.fields(&variant.fields, &other.fields, &format!("{place}::{}", variant.name));
                }
                None => gone.push(variant.name.as_str()),
            }
        }
        let new = live.variants.iter().map(|variant| variant.name.as_str());
        let new: Vec<&str> = new.filter(|name| !common.contains(name)).collect();
        if !gone.is_empty() {
            self.differ(Aspect::Variants, place, Some(describe::names(&gone)), None);
        }
        if !new.is_empty() {
            self.differ(Aspect::Variants, place, None, Some(describe::names(&new)));
        }
    }
}

fn join(place: &str, field: &Field<PortableForm>, position: usize) -> String {
    match &field.name {
        Some(name) if place.is_empty() => name.clone(),
        Some(name) => format!("{place}.{name}"),
        None if place.is_empty() => position.to_string(),
        None => format!("{place}.{position}"),
    }
}

/// A type without its newtypes.
struct Peeled {
    id: u32,
    /// The field name of each removed layer.
    layers: Vec<Option<String>>,
}

/// Removes newtypes (structs of one field) around a type, as long as `wanted` accepts their names.
fn peel(types: &PortableRegistry, id: u32, wanted: impl Fn(&str) -> bool) -> Peeled {
    let mut peeled = Peeled { id, layers: Vec::new() };
    while peeled.layers.len() < LAYERS
        && let Some(ty) = types.resolve(peeled.id)
        && let TypeDef::Composite(def) = &ty.type_def
        && let [only] = def.fields.as_slice()
        && wanted(ty.path.segments.last().map_or("", String::as_str))
    {
        peeled.id = only.ty.id;
        peeled.layers.push(only.name.clone());
    }
    peeled
}
