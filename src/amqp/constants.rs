//! The protocol's version, and the numbers of its framing layer.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

/// Major version, as in the protocol header.
pub const PROTOCOL_MAJOR: u8 = 0;

/// Minor version, as in the protocol header.
pub const PROTOCOL_MINOR: u8 = 9;

/// Revision, as in the protocol header.
pub const PROTOCOL_REVISION: u8 = 1;

/// The port of plain connections.
pub const PORT: u16 = 5672;

/// The port of TLS connections.
pub const TLS_PORT: u16 = 5671;

/// Type of a frame that carries a method.
pub const FRAME_METHOD: u8 = 1;

/// Type of a frame that carries a content header.
pub const FRAME_HEADER: u8 = 2;

/// Type of a frame that carries a piece of a content body.
pub const FRAME_BODY: u8 = 3;

/// Type of a frame that only says that its sender is alive.
pub const FRAME_HEARTBEAT: u8 = 8;

/// The byte that ends every frame.
pub const FRAME_END: u8 = 206;

/// The largest frame, in bytes, that is allowed before frame-max is agreed; none may agree on less.
pub const FRAME_MIN_SIZE: u32 = 4096;
