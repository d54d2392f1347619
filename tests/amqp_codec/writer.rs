//! What the writer writes, read back.

use proptest::collection::vec;
use proptest::prelude::*;
use warren::amqp::encode::{
    DeliverTemplate, HEARTBEAT_FRAME, PROTOCOL_HEADER, body_frame_end, body_frame_start,
    body_frames, content_header_frame, deliver, heartbeat_frame, method_frame, payload_max,
};
use warren::amqp::frame::{ContentHeader, FrameKind, content_header, frame};
use warren::amqp::method::{Method, basic};

use crate::specimens::{Dialect, encoded_properties, framed, short_str};

/// Kind, channel and payload of each frame.
fn frames(mut bytes: &[u8], frame_max: u32) -> Vec<(FrameKind, u16, &[u8])> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (one, used) = frame(bytes, frame_max)
            .expect("well-formed")
            .expect("whole");
        assert!(
            frame_max == 0 || used <= frame_max as usize,
            "{used} bytes in a frame of at most {frame_max}"
        );
        frames.push((one.kind, one.channel, one.payload));
        bytes = &bytes[used..];
    }
    frames
}

proptest! {
    #[test]
    fn a_delivery_is_read_back(
        (channel, delivery_tag, redelivered) in any::<(u16, u64, bool)>(),
        consumer_tag in short_str(Dialect::RabbitMq),
        exchange in short_str(Dialect::RabbitMq),
        routing_key in short_str(Dialect::RabbitMq),
        properties in encoded_properties(),
        body in vec(any::<u8>(), 0..300),
        frame_max in prop_oneof![Just(0), Just(9), 1000..2000_u32],
    ) {
        let template = DeliverTemplate::new(channel, consumer_tag.as_bytes(), frame_max);
        let mut out = b"before".to_vec();
        template.deliver(&mut out, delivery_tag, redelivered, exchange.as_bytes(), routing_key.as_bytes(), &properties, &body);
        let written = out.strip_prefix(b"before").expect("only appends");
        let size = template.delivery_bytes(exchange.as_bytes(), routing_key.as_bytes(), &properties, body.len());
        prop_assert_eq!(written.len(), size);

        let method = Method::BasicDeliver(basic::Deliver {
            consumer_tag: consumer_tag.clone(),
            delivery_tag,
            redelivered,
            exchange: exchange.clone(),
            routing_key: routing_key.clone(),
        });
        let mut plain = Vec::new();
        method_frame(&mut plain, channel, &method);
        content_header_frame(&mut plain, channel, body.len() as u64, &properties);
        body_frames(&mut plain, channel, &body, frame_max);
        prop_assert_eq!(written, &plain);

        let mut without_template = Vec::new();
        deliver(
            &mut without_template, channel, consumer_tag.as_bytes(), delivery_tag, redelivered,
            exchange.as_bytes(), routing_key.as_bytes(), &properties, &body, frame_max,
        );
        prop_assert_eq!(&without_template, &plain);

        let mut in_pieces = Vec::new();
        template.head(
            &mut in_pieces, delivery_tag, redelivered, exchange.as_bytes(), routing_key.as_bytes(),
            &properties, body.len() as u64,
        );
        for piece in body.chunks(payload_max(frame_max)) {
            body_frame_start(&mut in_pieces, channel, piece.len() as u32);
            in_pieces.extend_from_slice(piece);
            body_frame_end(&mut in_pieces);
        }
        prop_assert_eq!(&in_pieces, &plain);

        let read = frames(&plain, 0);
        prop_assert!(read.iter().all(|(_, on, _)| *on == channel));
        prop_assert_eq!(read[0].0, FrameKind::Method);
        prop_assert_eq!(Method::decode(read[0].2), Ok(method));
        prop_assert_eq!(read[1].0, FrameKind::Header);
        let expected = ContentHeader { class_id: 60, weight: 0, body_size: body.len() as u64, properties: &properties };
        prop_assert_eq!(content_header(read[1].2), Some(expected));
        prop_assert!(read[2..].iter().all(|(kind, _, payload)| *kind == FrameKind::Body && !payload.is_empty()));
        prop_assert_eq!(read[2..].iter().flat_map(|(_, _, payload)| payload.to_vec()).collect::<Vec<_>>(), body);
    }

    #[test]
    fn a_delivery_like_another_is_what_it_is_alone(
        (channel, tags, redelivered) in any::<(u16, (u64, u64), bool)>(),
        names in (short_str(Dialect::RabbitMq), short_str(Dialect::RabbitMq), short_str(Dialect::RabbitMq)),
        properties in encoded_properties(),
        bodies in vec(any::<(u8, u8)>(), 1..100),
        before in vec(any::<u8>(), 0..10),
    ) {
        let (consumer_tag, exchange, routing_key) = &names;
        let template = DeliverTemplate::new(channel, consumer_tag.as_bytes(), 0);
        let (one, other): (Vec<u8>, Vec<u8>) = bodies.into_iter().unzip();
        let deliver = |out: &mut Vec<u8>, tag, body: &[u8]| template.deliver(
            out, tag, redelivered, exchange.as_bytes(), routing_key.as_bytes(), &properties, body,
        );
        let mut out = before.clone();
        deliver(&mut out, tags.0, &one);
        let mut expected = out.clone();
        deliver(&mut expected, tags.1, &other);
        let head_bytes = out.len() - before.len() - one.len() - 1;
        template.deliver_alike(&mut out, before.len(), head_bytes, tags.1, &other);
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn no_body_frame_exceeds_what_was_agreed(body in vec(any::<u8>(), 0..300), frame_max in 9..100_u32) {
        let mut out = Vec::new();
        body_frames(&mut out, 5, &body, frame_max);
        let read = frames(&out, frame_max);
        prop_assert_eq!(read.len(), body.len().div_ceil(frame_max as usize - 8));
    }
}

#[test]
fn fixed_frames_are_what_they_are() {
    assert_eq!(&PROTOCOL_HEADER, b"AMQP\x00\x00\x09\x01");
    let mut out = Vec::new();
    heartbeat_frame(&mut out);
    assert_eq!(out, framed(8, 0, b""));
    assert_eq!(out, HEARTBEAT_FRAME);
    out.clear();
    method_frame(
        &mut out,
        3,
        &basic::Ack {
            delivery_tag: 5,
            multiple: true,
        }
        .into(),
    );
    assert_eq!(
        out,
        framed(
            1,
            3,
            b"\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x05\x01"
        )
    );
}
