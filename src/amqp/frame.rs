//! Frames (skeleton).

/// A frame's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum FrameKind {
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

/// A frame, borrowed from the read buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Frame<'a> {
    pub kind: FrameKind,
    pub channel: u16,
    pub payload: &'a [u8],
}

/// A frame that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FrameError {
    UnknownKind { kind: u8, channel: u16, size: u32 },
    TooLarge { kind: u8, channel: u16, size: u32, max: u32 },
    BadEnd { kind: u8, channel: u16, size: u32, end: u8 },
}

/// The first frame of `input` and how many bytes it took; None if it is not all there yet.
/// `frame_max` includes the 8 bytes around the payload.
#[allow(unused_variables)]
pub fn frame(input: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    todo!()
}

/// A basic.publish whose method, header and (at most one) body frame lie whole in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct WholePublish<'a> {
    pub channel: u16,
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
    pub mandatory: bool,
    pub immediate: bool,
    /// Property flags and values, as they came, not yet checked.
    pub properties: &'a [u8],
    pub body: &'a [u8],
}

/// Such a publish at the start of `input`, and how many bytes it took. None for anything else,
/// which then goes the slow way through [`frame`] (that also finds the error, if it is one).
#[allow(unused_variables)]
pub fn whole_publish(input: &[u8], frame_max: u32) -> Option<(WholePublish<'_>, usize)> {
    todo!()
}
