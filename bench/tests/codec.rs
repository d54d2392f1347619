//! The codec: what is encoded is read back, at whatever place the bytes are cut.

use bench::load::{BODY_HEAD_BYTES, Order, SEQUENCE_BITS, Walker};
use bench::wire::{self, Frame, MethodWriter, Properties, Value, method};

#[test]
fn a_method_is_read_back() {
    let mut bytes = Vec::new();
    MethodWriter::new(&mut bytes, 7, method::QUEUE_DECLARE_OK)
        .short_text("orders")
        .long(3)
        .long(1)
        .end();
    let frame = Frame::split(&bytes).unwrap().unwrap();
    assert_eq!(frame.whole_bytes(), bytes.len());
    assert_eq!(frame.channel, 7);
    assert_eq!(frame.method_id(), Some(method::QUEUE_DECLARE_OK));
    let mut arguments = frame.arguments();
    assert_eq!(arguments.short_text().unwrap(), "orders");
    assert_eq!(
        (arguments.long().unwrap(), arguments.long().unwrap()),
        (3, 1)
    );
    assert!(arguments.octet().is_err());
}

#[test]
fn half_a_frame_is_no_frame() {
    let mut bytes = Vec::new();
    MethodWriter::new(&mut bytes, 1, method::BASIC_ACK)
        .longlong(9)
        .octet(1)
        .end();
    for cut in 0..bytes.len() {
        assert_eq!(Frame::split(&bytes[..cut]).unwrap(), None, "cut at {cut}");
    }
}

#[test]
fn a_wrong_frame_end_is_refused() {
    let mut bytes = Vec::new();
    MethodWriter::new(&mut bytes, 1, method::BASIC_ACK)
        .longlong(9)
        .octet(1)
        .end();
    *bytes.last_mut().unwrap() = 0;
    assert!(Frame::split(&bytes).is_err());
}

#[test]
fn tables_carry_every_type() {
    let table = vec![
        ("flag".to_owned(), Value::Bool(true)),
        ("number".to_owned(), Value::Int(-2)),
        ("long".to_owned(), Value::Long(1 << 40)),
        ("text".to_owned(), Value::from("x")),
        ("inner".to_owned(), Value::Table(vec![])),
    ];
    let mut bytes = Vec::new();
    MethodWriter::new(&mut bytes, 0, method::QUEUE_DECLARE)
        .table(&table)
        .end();
    let frame = Frame::split(&bytes).unwrap().unwrap();
    let expected = [
        &b"\x04flagt\x01"[..],
        b"\x06numberI\xff\xff\xff\xfe",
        b"\x04longl\0\0\x01\0\0\0\0\0",
        b"\x04textS\0\0\0\x01x",
        b"\x05innerF\0\0\0\0",
    ]
    .concat();
    assert_eq!(frame.arguments().long_text().unwrap(), expected);
}

#[test]
fn a_publish_is_three_frames_and_large_bodies_are_split() {
    let properties = Properties {
        persistent: true,
        priority: Some(4),
        ..Default::default()
    };
    let body: Vec<u8> = (0..100).collect();
    let mut bytes = Vec::new();
    let body_start = wire::put_publish(&mut bytes, 1, "e", "k", &properties, &body, 58);
    assert_eq!(&bytes[body_start..body_start + 50], &body[..50]);
    let mut kinds = Vec::new();
    let mut pieces = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(frame) = Frame::split(rest).unwrap() {
        kinds.push(frame.kind);
        if frame.kind == wire::FRAME_BODY {
            assert!(frame.whole_bytes() <= 58);
            pieces.extend_from_slice(frame.payload);
        }
        rest = &rest[frame.whole_bytes()..];
    }
    assert!(rest.is_empty());
    assert_eq!(
        kinds,
        [
            wire::FRAME_METHOD,
            wire::FRAME_HEADER,
            wire::FRAME_BODY,
            wire::FRAME_BODY
        ]
    );
    assert_eq!(pieces, body);
}

/// Deliveries as a broker sends them, one of each publisher and sequence number.
fn deliveries(stamps: &[(u64, u64)], body_bytes: usize, frame_max_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, (publisher, sequence)) in stamps.iter().enumerate() {
        let mut body = vec![0; body_bytes];
        body[..8].copy_from_slice(&(publisher << SEQUENCE_BITS | sequence).to_le_bytes());
        MethodWriter::new(&mut bytes, 1, method::BASIC_DELIVER)
            .short_text("c")
            .longlong(tag as u64 + 1)
            .octet(0)
            .short_text("")
            .short_text("q0")
            .end();
        let mut publish = Vec::new();
        let properties = Properties::default();
        wire::put_publish(
            &mut publish,
            1,
            "",
            "q0",
            &properties,
            &body,
            frame_max_bytes,
        );
        let method_bytes = Frame::split(&publish).unwrap().unwrap().whole_bytes();
        bytes.extend_from_slice(&publish[method_bytes..]);
    }
    bytes
}

#[test]
fn the_walker_counts_the_same_wherever_reads_end() {
    for (body_bytes, frame_max_bytes) in [(BODY_HEAD_BYTES, 4096), (200, 72), (64, 72)] {
        let bytes = deliveries(
            &[(0, 0), (0, 1), (1, 0), (0, 2)],
            body_bytes,
            frame_max_bytes,
        );
        for cut in 0..=bytes.len() {
            let mut walker = Walker::new(Order::Complete, 2);
            let used = walker.walk(&bytes[..cut], 0).unwrap();
            let rest_used = walker.walk(&bytes[used..], 0).unwrap();
            assert_eq!(used + rest_used, bytes.len(), "cut at {cut}");
            assert_eq!(walker.seen().delivered, 4, "cut at {cut}");
            assert_eq!(walker.seen().misplaced, 0, "cut at {cut}");
        }
    }
}

#[test]
fn the_walker_notices_gaps_and_disorder() {
    let misplaced = |order, stamps: &[(u64, u64)]| {
        let mut walker = Walker::new(order, 1);
        walker
            .walk(&deliveries(stamps, BODY_HEAD_BYTES, 4096), 0)
            .unwrap();
        walker.seen().misplaced
    };
    assert_eq!(misplaced(Order::Complete, &[(0, 0), (0, 2), (0, 3)]), 1);
    assert_eq!(misplaced(Order::Rising, &[(0, 0), (0, 2), (0, 3)]), 0);
    assert_eq!(misplaced(Order::Rising, &[(0, 0), (0, 3), (0, 2)]), 1);
    assert_eq!(misplaced(Order::Any, &[(0, 0), (0, 3), (0, 2)]), 0);
}

#[test]
fn the_walker_reports_why_a_broker_closed() {
    let mut bytes = Vec::new();
    MethodWriter::new(&mut bytes, 1, method::CHANNEL_CLOSE)
        .short(404)
        .short_text("NOT_FOUND")
        .short(0)
        .short(0)
        .end();
    let error = Walker::new(Order::Any, 0).walk(&bytes, 0).unwrap_err();
    assert!(error.to_string().contains("404 NOT_FOUND"), "{error}");
}
