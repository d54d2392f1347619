//! Headers exchanges: a binding's arguments are held against a message's headers.
//!
//! `x-match` says how: `all` (also where it is missing) wants all of the other arguments to be
//! among the headers, `any` wants one of them; arguments that start with `x-` are not looked at
//! unless it is `all-with-x` or `any-with-x`. A value of type void wants the header to be there,
//! whatever its value.
//!
//! So that not every binding is looked at for every message, bindings are found by a header that
//! they want: one that wants all by the one of its arguments that fewest others are found by, one
//! that wants any by each of its arguments. What is found that way is then looked at in full.

use hashbrown::{HashMap, HashSet};
use slab::Slab;
use smallvec::SmallVec;

use super::found::Found;
use super::message_headers::MessageHeaders;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue, ShortStr};
use crate::broker::binding::{Binding, Destination};
use crate::broker::ids::BindingId;
use crate::broker::term::{self, Pretty};

/// See the module.
#[derive(Default)]
pub(super) struct Headers {
    wants: Slab<Want>,
    by_binding: HashMap<BindingId, usize>,
    /// Those that want nothing in particular, and match all.
    always: HashSet<usize>,
    by_header: HashMap<Box<[u8]>, HashSet<usize>>,
}

/// What a binding wants.
struct Want {
    wants_all: bool,
    /// What is looked at of the arguments, sorted by name.
    headers: Vec<(ShortStr, FieldValue)>,
    /// What it is found by.
    keys: Vec<Box<[u8]>>,
    destination: Destination,
}

/// Refuses an `x-match` that is none.
pub(super) fn check_arguments(arguments: &FieldTable) -> Result<(), Exception> {
    let text = match arguments.get("x-match") {
        None => return Ok(()),
        Some(value @ FieldValue::LongStr(bytes)) => match &bytes[..] {
            b"all" | b"any" | b"all-with-x" | b"any-with-x" => return Ok(()),
            _ => format!(
                "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                Pretty(value)
            ),
        },
        Some(other) => format!(
            "Invalid x-match field type {} (value {}); expected longstr",
            other.type_name(),
            Pretty(other)
        ),
    };
    Err(Exception::new(ReplyCode::PreconditionFailed, text))
}

impl Want {
    fn new(binding: &Binding) -> Self {
        let kind = binding
            .arguments
            .get("x-match")
            .and_then(FieldValue::as_bytes);
        let with_x = matches!(kind, Some(b"all-with-x" | b"any-with-x"));
        let is_wanted = |name: &[u8]| name != b"x-match" && (with_x || !name.starts_with(b"x-"));
        let arguments = binding.arguments.0.iter();
        Self {
            wants_all: !matches!(kind, Some(b"any" | b"any-with-x")),
            headers: arguments
                .filter(|(name, _)| is_wanted(name.as_bytes()))
                .cloned()
                .collect(),
            keys: Vec::new(),
            destination: binding.destination.clone(),
        }
    }

    /// Whether headers, sorted by name, are what is wanted. Where a name comes twice, the first
    /// is held against the first, as RabbitMQ does.
    fn is_met_by(&self, headers: &[(ShortStr, FieldValue)]) -> bool {
        let mut headers = headers.iter();
        for (name, value) in &self.headers {
            let name = name.as_bytes();
            let rest = headers.as_slice();
            let skipped = rest
                .iter()
                .take_while(|(other, _)| other.as_bytes() < name)
                .count();
            headers = rest.get(skipped..).unwrap_or_default().iter();
            let is_met = match headers.as_slice().first() {
                Some((other, header)) if other.as_bytes() == name => {
                    headers.next();
                    *value == FieldValue::Void || term::is_equal(value, header)
                }
                _ => false,
            };
            if is_met != self.wants_all {
                return is_met;
            }
        }
        self.wants_all
    }
}

/// The key under which whoever wants a header of that name, whatever its value, is found.
fn put_name_key(name: &[u8], key: &mut Vec<u8>) {
    key.push(name.len() as u8);
    key.extend_from_slice(name);
}

/// The key under which whoever wants a header of that name and value is found.
fn put_value_key(name: &[u8], value: &FieldValue, key: &mut Vec<u8>) {
    put_name_key(name, key);
    term::put_equality_key(value, key);
}

impl Headers {
    pub fn add(&mut self, binding: &Binding) {
        let mut want = Want::new(binding);
        let keys = want.headers.iter().map(|(name, value)| {
            let mut key = Vec::new();
            match value {
                FieldValue::Void => put_name_key(name.as_bytes(), &mut key),
                _ => put_value_key(name.as_bytes(), value, &mut key),
            }
            key.into_boxed_slice()
        });
        let found_by: Vec<Box<[u8]>> = if want.wants_all {
            // The one by which fewest others are found.
            let found_by = keys.min_by_key(|key| self.by_header.get(key).map_or(0, HashSet::len));
            found_by.into_iter().collect()
        } else {
            keys.collect()
        };
        want.keys = found_by.clone();
        let matches_all = want.wants_all && want.headers.is_empty();
        let place = self.wants.insert(want);
        self.by_binding.insert(binding.id, place);
        if matches_all {
            self.always.insert(place);
        }
        for key in found_by {
            self.by_header.entry(key).or_default().insert(place);
        }
    }

    pub fn remove(&mut self, binding: &Binding) {
        let Some(place) = self.by_binding.remove(&binding.id) else {
            return;
        };
        self.always.remove(&place);
        let Some(want) = self.wants.try_remove(place) else {
            return;
        };
        for key in want.keys {
            if let Some(places) = self.by_header.get_mut(&key) {
                places.remove(&place);
                if places.is_empty() {
                    self.by_header.remove(&key);
                }
            }
        }
    }

    pub fn find(&self, message: &MessageHeaders<'_>, found: &mut Found) {
        for &place in &self.always {
            self.add_place(place, found);
        }
        if self.by_header.is_empty() {
            return;
        }
        let headers = message.sorted();
        let mut places: SmallVec<[usize; 32]> = SmallVec::new();
        let mut key = Vec::new();
        for (name, value) in headers {
            key.clear();
            put_name_key(name.as_bytes(), &mut key);
            places.extend(self.by_header.get(&key[..]).into_iter().flatten().copied());
            key.clear();
            put_value_key(name.as_bytes(), value, &mut key);
            places.extend(self.by_header.get(&key[..]).into_iter().flatten().copied());
        }
        places.sort_unstable();
        places.dedup();
        for place in places {
            if self
                .wants
                .get(place)
                .is_some_and(|want| want.is_met_by(headers))
            {
                self.add_place(place, found);
            }
        }
    }

    fn add_place(&self, place: usize, found: &mut Found) {
        let want = self.wants.get(place);
        found.add_all(want.map(|want| &want.destination).into_iter());
    }
}
