//! A message's headers, decoded only if an exchange asks for them, and then once.

use std::cell::OnceCell;

use crate::amqp::properties::{self, Scan};
use crate::amqp::table::{FieldTable, FieldValue, ShortStr};

/// See the module.
pub(crate) struct MessageHeaders<'a> {
    /// Property flags and values, as they came.
    properties: &'a [u8],
    sorted: OnceCell<Vec<(ShortStr, FieldValue)>>,
}

impl<'a> MessageHeaders<'a> {
    /// The headers in those properties, which whoever read them has checked.
    pub fn new(properties: &'a [u8]) -> Self {
        Self {
            properties,
            sorted: OnceCell::new(),
        }
    }

    /// The headers, sorted by name; those of one name stay in their order.
    pub fn sorted(&self) -> &[(ShortStr, FieldValue)] {
        self.sorted.get_or_init(|| {
            let contents = properties::scan(self.properties)
                .ok()
                .and_then(|scan| scan.headers);
            let table = contents.and_then(|contents| FieldTable::decode(contents).ok());
            let mut headers = table.unwrap_or_default().0;
            headers.sort_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
            headers
        })
    }

    /// The header of that name.
    pub fn get(&self, name: &[u8]) -> Option<&FieldValue> {
        let headers = self.sorted();
        let place = headers.partition_point(|(other, _)| other.as_bytes() < name);
        let header = headers.get(place);
        header
            .filter(|(other, _)| other.as_bytes() == name)
            .map(|(_, value)| value)
    }

    /// The other properties.
    pub fn scan(&self) -> Scan<'a> {
        properties::scan(self.properties).unwrap_or_default()
    }

    /// Whether anybody asked for them.
    pub fn were_read(&self) -> bool {
        self.sorted.get().is_some()
    }
}
