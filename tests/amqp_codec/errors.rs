//! Error texts, as RabbitMQ 3.10 was seen to send them.

use warren::amqp::frame::{Frame, FrameKind, frame};
use warren::amqp::method::Method;
use warren::amqp::properties::PropertyError;
use warren::amqp::reply::{Exception, ReplyCode};

use crate::specimens::{SPEC, framed};

fn frame_error(bytes: &[u8]) -> String {
    frame(bytes, 131_072)
        .expect_err("no frame")
        .exception()
        .reply_text()
}

fn method_error(payload: &[u8]) -> String {
    Method::decode(payload)
        .expect_err("no method")
        .exception(payload)
        .reply_text()
}

#[test]
fn frames_that_are_none() {
    let numbers: Vec<u8> = (0..20).collect();
    assert_eq!(
        frame_error(&framed(7, 1, b"abcdef")),
        "FRAME_ERROR - type 7, all octets = <<\"abcdef\">>: unknown_frame"
    );
    assert_eq!(
        frame_error(&framed(7, 1, &numbers)),
        "FRAME_ERROR - type 7, first 16 octets = <<0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15>>: unknown_frame"
    );
    assert_eq!(
        frame_error(&framed(7, 1, &[130; 16])),
        "FRAME_ERROR - type 7, all octets = <<130,130,130,130,130,130,130,130,130,130,130,130,130,130,\n                       \
         130,130>>: unknown_frame"
    );
    assert_eq!(
        frame_error(&framed(7, 1, &[130; 20])),
        "FRAME_ERROR - type 7, first 16 octets = <<130,130,130,130,130,130,130,130,130,130,130,130,\n                            \
         130,130,130,130>>: unknown_frame"
    );
    assert_eq!(
        frame_error(&framed(
            7,
            1,
            &[
                103, 29, 123, 185, 59, 98, 166, 77, 129, 183, 101, 228, 42, 18, 132, 51
            ]
        )),
        "FRAME_ERROR - type 7, all octets = \
         <<103,29,123,185,59,98,166,77,129,183,101,228,42,18,132,51>>: unknown_frame"
    );
    assert_eq!(
        frame_error(&framed(7, 1, b"a\"b\\c\n\t\xe9\x08\x0b\x0c\x1b\x0d")),
        "FRAME_ERROR - type 7, all octets = <<\"a\\\"b\\\\c\\n\\té\\b\\v\\f\\e\\r\">>: unknown_frame"
    );
    assert_eq!(
        frame_error(b"\x01\x00\x01\x00\x00\x00\x04\x00\x14\x00\x0a\x01"),
        "FRAME_ERROR - type 1, all octets = <<0,20,0,10>>: {invalid_frame_end_marker,1}"
    );
    assert_eq!(
        frame_error(b"\x01\x00\x01\x00\x02\x00\x01"),
        "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,131073,131064}"
    );
}

#[test]
fn frames_out_of_place() {
    let heartbeat = |channel, payload| Frame {
        kind: FrameKind::Heartbeat,
        channel,
        payload,
    };
    assert_eq!(
        heartbeat(0, b"x").unknown().reply_text(),
        "FRAME_ERROR - type 8, all octets = <<\"x\">>: unknown_frame"
    );
    assert_eq!(
        heartbeat(1, b"").unexpected().reply_text(),
        "UNEXPECTED_FRAME - type 8, all octets = <<>>"
    );
}

#[test]
fn methods_that_are_none() {
    assert_eq!(
        method_error(b"\x00\x32"),
        "FRAME_ERROR - type 1, all octets = <<0,50>>: unknown_frame"
    );
    let ack = b"\x00\x3c\x00\x50";
    assert_eq!(
        method_error(&[ack, &[0; 9][..], &[1, 2]].concat()),
        "FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,0,0,1,2>>"
    );
    let long = method_error(&[ack, &[200; 300][..]].concat());
    assert_eq!(
        long,
        format!("FRAME_ERROR - cannot decode <<{}20...", "200,".repeat(55))
    );
    assert_eq!(long.len(), 255);
    let cancel = b"\x00\x3c\x00\x1e\x01\xff\x00";
    assert_eq!(
        method_error(cancel),
        "FRAME_ERROR - Malformed UTF-8 in shortstr"
    );
    let error = Method::decode(cancel).expect_err("no UTF-8");
    assert_eq!(error.blamed_ids(0), (60, 30));
    assert_eq!(error.blamed_ids(1), (0, 0));
}

#[test]
fn properties_that_are_none() {
    let exception = PropertyError::Truncated.exception();
    assert_eq!(exception.reply_text(), "INTERNAL_ERROR");
    assert!(exception.code.is_hard());
}

#[test]
fn long_texts_are_cut_to_a_short_string() {
    let text = |length: usize| Exception::new(ReplyCode::NotFound, "x".repeat(length)).reply_text();
    assert_eq!(text(243), format!("NOT_FOUND - {}", "x".repeat(243)));
    assert_eq!(text(244), format!("NOT_FOUND - {}...", "x".repeat(240)));
    // RabbitMQ 3.10 cuts at the byte, and so in the middle of a character.
    let accented = Exception::new(ReplyCode::NotFound, format!("x{}", "é".repeat(200)));
    assert_eq!(
        accented.reply_text(),
        format!("NOT_FOUND - x{}...", "é".repeat(119))
    );
    assert_eq!(accented.reply_str().as_str(), accented.reply_text());
}

#[test]
fn reply_codes_are_the_specifications() {
    use spec_generator::spec::Severity;

    assert_eq!(ReplyCode::ALL.len(), SPEC.reply.len());
    for (code, constant) in ReplyCode::ALL.into_iter().zip(&SPEC.reply) {
        assert_eq!(u32::from(code.number()), constant.value);
        assert_eq!(ReplyCode::from_number(code.number()), Some(code));
        assert_eq!(code.is_hard(), constant.class == Some(Severity::Hard));
        let name = constant.name.replace('-', "_").to_uppercase();
        assert_eq!(code.name(), name.strip_prefix("REPLY_").unwrap_or(&name));
    }
    assert_eq!(ReplyCode::from_number(0), None);
}
