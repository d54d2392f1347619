//! What must hold for any bytes, whoever sent them. The fuzz targets run these with made-up
//! bytes, the normal tests with those of the corpus.

use warren::amqp::frame::{
    Frame, FrameError, FrameKind, WholePublish, content_header, frame, whole_publish,
};
use warren::amqp::method::Method;
use warren::amqp::properties::{Properties, scan};
use warren::amqp::table::{FieldTable, ShortStr};

/// A stream of frames: the first byte is where it is split, the next two are the frame-max.
/// Split or not, it is the same; and what is taken as a whole publish is what its frames are.
pub fn frames(input: &[u8]) {
    let [split, high, low, stream @ ..] = input else {
        return;
    };
    let frame_max = u32::from(u16::from_be_bytes([*high, *low]));
    let at_once = read_frames([stream, &[]], frame_max);
    let (head, tail) = stream.split_at(usize::from(*split).min(stream.len()));
    assert_eq!(read_frames([head, tail], frame_max), at_once);

    let mut rest = stream;
    while let Ok(Some((one, used))) = frame(rest, frame_max) {
        assert_eq!(used, one.payload.len() + 8);
        let whole = whole_publish(rest, frame_max);
        assert_eq!(whole, publish_frame_by_frame(rest, frame_max));
        let _ = (one.unknown(), one.unexpected(), content_header(one.payload));
        rest = &rest[used..];
    }
    assert!(whole_publish(rest, frame_max).is_none());
    if let Err(error) = frame(rest, frame_max) {
        let _ = error.exception().reply_text();
    }
}

/// Kind, channel and payload of each frame, what is left over, and the error that ended it.
type Read = (Vec<(FrameKind, u16, Vec<u8>)>, Vec<u8>, Option<FrameError>);

fn read_frames(pieces: [&[u8]; 2], frame_max: u32) -> Read {
    let mut buffer = Vec::new();
    let mut read = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match frame(&buffer, frame_max) {
                Ok(Some((
                    Frame {
                        kind,
                        channel,
                        payload,
                    },
                    used,
                ))) => {
                    read.push((kind, channel, payload.to_vec()));
                    buffer.drain(..used);
                }
                Ok(None) => break,
                Err(error) => return (read, Vec::new(), Some(error)),
            }
        }
    }
    (read, buffer, None)
}

/// A whole publish as the slow path reads it: frame by frame, method by method.
pub fn publish_frame_by_frame(input: &[u8], frame_max: u32) -> Option<(WholePublish<'_>, usize)> {
    let (method, first) = frame(input, frame_max).ok()??;
    let (header, second) = frame(input.get(first..)?, frame_max).ok()??;
    if method.kind != FrameKind::Method || header.kind != FrameKind::Header || method.channel == 0 {
        return None;
    }
    let Ok(Method::BasicPublish(arguments)) = Method::decode(method.payload) else {
        return None;
    };
    let content = content_header(header.payload)?;
    if header.channel != method.channel || content.class_id != 60 || content.weight != 0 {
        return None;
    }
    let mut used = first + second;
    let mut body: &[u8] = &[];
    if content.body_size > 0 {
        let (piece, third) = frame(input.get(used..)?, frame_max).ok()??;
        let is_all = piece.payload.len() as u64 == content.body_size;
        if piece.kind != FrameKind::Body || piece.channel != method.channel || !is_all {
            return None;
        }
        body = piece.payload;
        used += third;
    }
    // Class, method and reserved-1 stand before the exchange's length.
    let exchange = method
        .payload
        .get(7..)?
        .get(..arguments.exchange.as_bytes().len())?;
    let routing_key = method
        .payload
        .get(8 + exchange.len()..)?
        .get(..arguments.routing_key.as_bytes().len())?;
    assert_eq!(
        (exchange, routing_key),
        (
            arguments.exchange.as_bytes(),
            arguments.routing_key.as_bytes()
        )
    );
    let publish = WholePublish {
        channel: method.channel,
        exchange,
        routing_key,
        mandatory: arguments.mandatory,
        immediate: arguments.immediate,
        properties: content.properties,
        body,
    };
    Some((publish, used))
}

/// The payload of a method frame: what is read and written again is read as the same.
pub fn methods(input: &[u8]) {
    match Method::decode(input) {
        Ok(method) => {
            let written = encoded(|out| method.encode(out));
            assert!(written.starts_with(&input[..4]));
            let again = Method::decode(&written).expect("what was written can be read");
            assert_eq!(encoded(|out| again.encode(out)), written);
        }
        Err(error) => {
            let text = error.exception(input).reply_text();
            assert!(text.len() <= 255);
        }
    }
}

/// Property flags and values: reading and scanning agree, and writing brings them back.
pub fn headers(input: &[u8]) {
    let scanned = scan(input);
    let decoded = Properties::decode(input);
    assert_eq!(scanned.as_ref().err(), decoded.as_ref().err());
    let (Ok(scanned), Ok(decoded)) = (scanned, decoded) else {
        return;
    };
    let text =
        |bytes: Option<&[u8]>| bytes.map(|bytes| ShortStr::from_bytes(bytes).expect("short"));
    let found = Properties {
        content_type: text(scanned.content_type),
        content_encoding: text(scanned.content_encoding),
        headers: scanned
            .headers
            .map(|contents| FieldTable::decode(contents).expect("checked")),
        delivery_mode: scanned.delivery_mode,
        priority: scanned.priority,
        correlation_id: text(scanned.correlation_id),
        reply_to: text(scanned.reply_to),
        expiration: text(scanned.expiration),
        message_id: text(scanned.message_id),
        timestamp: scanned.timestamp,
        kind: text(scanned.kind),
        user_id: text(scanned.user_id),
        app_id: text(scanned.app_id),
        cluster_id: text(scanned.cluster_id),
    };
    let written = encoded(|out| decoded.encode(out));
    assert_eq!(encoded(|out| found.encode(out)), written);
    let again = Properties::decode(&written).expect("what was written can be read");
    assert_eq!(encoded(|out| again.encode(out)), written);
}

/// The contents of a field table: reading and checking agree, and writing brings them back.
pub fn tables(input: &[u8]) {
    let decoded = FieldTable::decode(input);
    assert_eq!(
        FieldTable::validate(input).err(),
        decoded.as_ref().err().copied()
    );
    let Ok(table) = decoded else { return };
    let written = encoded(|out| table.encode(out));
    // Only `L` is written otherwise than it was read, and so is a boolean that is neither 0 nor 1.
    assert_eq!(written.len(), input.len());
    let again = FieldTable::decode(&written).expect("what was written can be read");
    assert_eq!(encoded(|out| again.encode(out)), written);
}

/// Values are compared by what is written of them, since a float need not equal itself.
fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}
