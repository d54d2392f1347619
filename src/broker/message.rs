//! A message on its way, borrowed from wherever its bytes lie (a read buffer, a chunk).

use bytes::Bytes;

/// A message's body. Past [`SHARED_BODY_BYTES`] it is shared by reference instead of copied, so
/// that fan-out copies small bodies and shares large ones.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Bytes that are copied where they must stay.
    Slice(&'a [u8]),
    /// Bytes that are kept by counting a reference.
    Shared(&'a Bytes),
}

/// From this many bytes on, a body is shared instead of copied.
pub const SHARED_BODY_BYTES: usize = 4096;

impl<'a> Body<'a> {
    /// A body that is shared from [`SHARED_BODY_BYTES`] on.
    pub fn of(bytes: &'a Bytes) -> Self {
        if bytes.len() >= SHARED_BODY_BYTES {
            Body::Shared(bytes)
        } else {
            Body::Slice(bytes)
        }
    }

    /// The body to keep: a reference to what is shared, a copy of what is not.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Body::Slice(bytes) => Bytes::copy_from_slice(bytes),
            Body::Shared(bytes) => Bytes::clone(bytes),
        }
    }

    /// The body's bytes.
    pub fn as_slice(&self) -> &'a [u8] {
        match self {
            Body::Slice(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }

    /// The body's length in bytes.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether the body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the engine must know of a message's properties; read from them once, when it is
/// published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// delivery-mode 2.
    pub persistent: bool,
    /// The priority property; 0 where there is none.
    pub priority: u8,
    /// The expiration property in milliseconds, or [`Facts::NEVER`].
    pub expiration_ms: u64,
    /// There is a BCC header among the properties, which receivers must not see.
    pub has_bcc: bool,
}

impl Facts {
    /// No per-message expiration.
    pub const NEVER: u64 = u64::MAX;
    /// What an empty property set says.
    pub const PLAIN: Self = Self {
        persistent: false,
        priority: 0,
        expiration_ms: Self::NEVER,
        has_bcc: false,
    };
}

/// One message. `properties` are the content header's property flags and values, as they came
/// (that is the header frame's payload after class, weight and body size).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The exchange that it was published to; empty for the default exchange.
    pub exchange: &'a [u8],
    /// The routing key that it was published with.
    pub routing_key: &'a [u8],
    /// Property flags and values, encoded.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
    /// What was read from the properties.
    pub facts: Facts,
}
