//! A publish that arrives in pieces: its method, then a header, then body frames, over as many
//! reads as it takes.
//!
//! In: frames' payloads; out: a whole publish, or RabbitMQ's complaint about the order of frames.
//! Memory grows with what has really arrived, never with what a header promises.

use std::sync::Arc;

use bytes::Bytes;

use crate::amqp::method::basic;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::Engine;
use crate::broker::engine::Held;

/// The class that content belongs to: basic.
const BASIC: u16 = 60;

/// Class, weight, body size: what stands before the property flags.
const HEADER_FIXED_BYTES: usize = 12;

/// Largest room that a declared body size alone reserves.
const STEP_BYTES: usize = 128 * 1024;

/// RabbitMQ's own upper bound for messages, which its text names differently from a configured one.
const RABBITMQ_MAX_MESSAGE_BYTES: u64 = 512 * 1024 * 1024;

/// A publish with its content.
#[derive(Debug)]
pub(super) struct Assembled {
    pub publish: basic::Publish,
    /// Property flags and values, not yet checked.
    pub properties: Bytes,
    pub body: Bytes,
}

/// Which frame a channel expects next.
#[derive(Debug, Default)]
pub(super) enum Assembly {
    /// A method.
    #[default]
    Method,
    /// The content header of this publish.
    Header(basic::Publish),
    /// The rest of this publish's body.
    Body(Box<Partial>),
}

#[derive(Debug)]
pub(super) struct Partial {
    publish: basic::Publish,
    properties: Bytes,
    missing_bytes: u64,
    body: Vec<u8>,
    held: Option<Held>,
}

impl Assembly {
    /// Whether nothing is arriving in pieces.
    #[inline(always)]
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Method)
    }

    /// A method came.
    pub fn method(&self) -> Result<(), Exception> {
        match self {
            Self::Method => Ok(()),
            Self::Header(_) => Err(unexpected(EXPECTED_HEADER)),
            Self::Body(_) => Err(unexpected(EXPECTED_BODY)),
        }
    }

    /// The method was a publish: its header comes next.
    pub fn publish(&mut self, publish: basic::Publish) {
        *self = Self::Header(publish);
    }

    /// A header came.
    pub fn header(
        &mut self,
        payload: &[u8],
        max_message_bytes: u64,
    ) -> Result<Option<Assembled>, Exception> {
        let header = Header::read(payload)?;
        let publish = match std::mem::take(self) {
            Self::Header(publish) => publish,
            Self::Body(_) => return Err(unexpected(EXPECTED_BODY)),
            Self::Method => return Err(unexpected(EXPECTED_METHOD)),
        };
        if header.weight != 0 {
            return Err(unexpected(EXPECTED_HEADER));
        }
        if header.class != BASIC {
            let class = header.class;
            return Err(unexpected(format!(
                "expected content header for class {BASIC}, got one for class {class} instead"
            )));
        }
        check_size(header.body_bytes, max_message_bytes)?;
        let properties = Bytes::copy_from_slice(header.properties);
        if header.body_bytes == 0 {
            return Ok(Some(Assembled {
                publish,
                properties,
                body: Bytes::new(),
            }));
        }
        let body = Vec::new();
        *self = Self::Body(Box::new(Partial {
            publish,
            properties,
            missing_bytes: header.body_bytes,
            body,
            held: None,
        }));
        Ok(None)
    }

    /// So many bytes of a body have come that is not whole yet: they count against the memory limit.
    pub fn hold(&mut self, bytes: usize, engine: &Arc<Engine>) {
        if let Self::Body(partial) = self {
            let held = partial.held.get_or_insert_with(|| Held::new(engine));
            held.add(bytes);
        }
    }

    /// A piece of the body came.
    pub fn body(&mut self, payload: &[u8]) -> Result<Option<Assembled>, Exception> {
        let mut partial = match std::mem::take(self) {
            Self::Body(partial) => partial,
            Self::Header(_) => return Err(unexpected(EXPECTED_HEADER)),
            Self::Method => return Err(unexpected(EXPECTED_METHOD)),
        };
        partial.append(payload)?;
        if partial.missing_bytes > 0 {
            *self = Self::Body(partial);
            return Ok(None);
        }
        let Partial {
            publish,
            properties,
            body,
            ..
        } = *partial;
        Ok(Some(Assembled {
            publish,
            properties,
            body: body.into(),
        }))
    }
}

impl Partial {
    fn append(&mut self, payload: &[u8]) -> Result<(), Exception> {
        // RabbitMQ 3.10 waits for ever here; later ones have this error.
        self.missing_bytes = self
            .missing_bytes
            .checked_sub(payload.len() as u64)
            .ok_or_else(|| {
                Exception::new(
                    ReplyCode::FrameError,
                    "content body frame exceeds remaining content size",
                )
            })?;
        if self.body.capacity() - self.body.len() < payload.len() {
            // Doubling, but never past the declared size, so that the last step fits exactly.
            let wanted = usize::try_from(self.missing_bytes).unwrap_or(usize::MAX);
            let step = wanted.min(self.body.len().max(STEP_BYTES));
            self.body.reserve_exact(payload.len().saturating_add(step));
        }
        self.body.extend_from_slice(payload);
        Ok(())
    }
}

struct Header<'a> {
    class: u16,
    weight: u16,
    body_bytes: u64,
    properties: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, Exception> {
        let (fixed, properties) = payload
            .split_first_chunk::<HEADER_FIXED_BYTES>()
            .ok_or_else(|| {
                let octets = payload
                    .iter()
                    .map(u8::to_string)
                    .collect::<Vec<_>>()
                    .join(",");
                let text = format!("type 2, all octets = <<{octets}>>: unknown_frame");
                Exception::new(ReplyCode::FrameError, text)
            })?;
        let [c0, c1, w0, w1, size @ ..] = *fixed;
        Ok(Self {
            class: u16::from_be_bytes([c0, c1]),
            weight: u16::from_be_bytes([w0, w1]),
            body_bytes: u64::from_be_bytes(size),
            properties,
        })
    }
}

/// PRECONDITION_FAILED for a body that is too large.
pub(super) fn check_size(body_bytes: u64, max_message_bytes: u64) -> Result<(), Exception> {
    if body_bytes <= max_message_bytes {
        return Ok(());
    }
    let limit = if max_message_bytes == RABBITMQ_MAX_MESSAGE_BYTES {
        "max size"
    } else {
        "configured max size"
    };
    let text = format!("message size {body_bytes} is larger than {limit} {max_message_bytes}");
    Err(Exception::new(ReplyCode::PreconditionFailed, text))
}

const EXPECTED_METHOD: &str = "expected method frame, got non method frame instead";
const EXPECTED_HEADER: &str =
    "expected content header for class 60, got non content header frame instead";
const EXPECTED_BODY: &str = "expected content body, got non content body frame instead";

fn unexpected(text: impl Into<String>) -> Exception {
    Exception::new(ReplyCode::UnexpectedFrame, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: u64 = 1 << 20;

    fn header(class: u16, weight: u16, body_bytes: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        payload.extend(class.to_be_bytes());
        payload.extend(weight.to_be_bytes());
        payload.extend(body_bytes.to_be_bytes());
        payload.extend([0, 0]);
        payload
    }

    fn started() -> Assembly {
        let mut assembly = Assembly::default();
        assembly.publish(basic::Publish {
            routing_key: "key".into(),
            ..Default::default()
        });
        assembly
    }

    fn text(result: Result<Option<Assembled>, Exception>) -> String {
        result.expect_err("an exception").reply_text()
    }

    proptest! {
        #[test]
        fn any_split_of_a_body_gives_the_body(body in prop::collection::vec(any::<u8>(), 0..2000), cuts in prop::collection::vec(0..2000usize, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).chain([body.len()]).collect();
            cuts.sort_unstable();
            let mut assembly = started();
            let mut done = assembly.header(&header(60, 0, body.len() as u64), MAX).unwrap();
            let mut from = 0;
            for cut in cuts {
                if done.is_none() {
                    prop_assert!(assembly.method().is_err());
                    done = assembly.body(&body[from..cut]).unwrap();
                    from = cut;
                }
            }
            let done = done.expect("assembled");
            prop_assert_eq!(&done.body[..], &body[..]);
            prop_assert_eq!(&done.properties[..], &[0u8, 0][..]);
            prop_assert_eq!(done.publish.routing_key.as_str(), "key");
            prop_assert!(assembly.method().is_ok());
        }
    }

    #[test]
    fn frames_out_of_order_are_refused_in_rabbitmqs_words() {
        let names_the_frame = "UNEXPECTED_FRAME - ";
        assert_eq!(
            text(Assembly::default().header(&header(60, 0, 1), MAX)),
            format!("{names_the_frame}{EXPECTED_METHOD}")
        );
        assert_eq!(
            text(Assembly::default().body(b"x")),
            format!("{names_the_frame}{EXPECTED_METHOD}")
        );
        assert_eq!(
            text(started().body(b"x")),
            format!("{names_the_frame}{EXPECTED_HEADER}")
        );
        assert_eq!(
            text(started().header(&header(60, 1, 5), MAX)),
            format!("{names_the_frame}{EXPECTED_HEADER}")
        );
        assert_eq!(
            text(started().header(&header(50, 0, 5), MAX)),
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"
        );
        assert_eq!(
            text(started().header(&[0, 60, 0], MAX)),
            "FRAME_ERROR - type 2, all octets = <<0,60,0>>: unknown_frame"
        );
        let mut in_body = started();
        in_body.header(&header(60, 0, 5), MAX).unwrap();
        assert_eq!(
            in_body.method().unwrap_err().reply_text(),
            format!("{names_the_frame}{EXPECTED_BODY}")
        );
        assert_eq!(
            text(in_body.header(&header(60, 0, 5), MAX)),
            format!("{names_the_frame}{EXPECTED_BODY}")
        );
    }

    #[test]
    fn sizes_that_lie_cost_nothing() {
        assert_eq!(
            text(started().header(&header(60, 0, MAX + 1), MAX)),
            "PRECONDITION_FAILED - message size 1048577 is larger than configured max size 1048576"
        );
        let mut short = started();
        short.header(&header(60, 0, 2), MAX).unwrap();
        assert_eq!(
            text(short.body(b"abc")),
            "FRAME_ERROR - content body frame exceeds remaining content size"
        );

        let mut promising = started();
        promising.header(&header(60, 0, 1 << 40), u64::MAX).unwrap();
        promising.body(b"x").unwrap();
        let Assembly::Body(partial) = promising else {
            panic!("expects more")
        };
        assert!(partial.body.capacity() <= 2 * STEP_BYTES);
    }
}
