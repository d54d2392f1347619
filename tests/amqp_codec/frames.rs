//! Frames, whole publishes, and streams of them that arrive in pieces.

use proptest::collection::vec;
use proptest::prelude::*;
use warren::amqp::frame::{Frame, FrameError, FrameKind, Like, frame, whole_publish};

use crate::checks::publish_frame_by_frame;
use crate::specimens::{damaged, encoded_properties, framed, publish_frames, publish_payload};

const FRAME_MAX: u32 = 131_072;

/// A frame that owns its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned(FrameKind, u16, Vec<u8>);

impl From<Frame<'_>> for Owned {
    fn from(frame: Frame<'_>) -> Self {
        Self(frame.kind, frame.channel, frame.payload.to_vec())
    }
}

/// All frames of a stream that arrives in the given pieces.
fn read_in_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<Owned>, Vec<u8>), FrameError> {
    let mut buffer = Vec::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some((one, used)) = frame(&buffer, FRAME_MAX)? {
            frames.push(one.into());
            buffer.drain(..used);
        }
    }
    Ok((frames, buffer))
}

fn stream() -> BoxedStrategy<(Vec<Owned>, Vec<u8>)> {
    let kind = prop_oneof![
        Just(FrameKind::Method),
        Just(FrameKind::Header),
        Just(FrameKind::Body),
        Just(FrameKind::Heartbeat)
    ];
    vec((kind, any::<u16>(), vec(any::<u8>(), 0..40)), 1..6)
        .prop_map(|frames| {
            let frames: Vec<_> = frames
                .into_iter()
                .map(|(kind, channel, payload)| Owned(kind, channel, payload))
                .collect();
            let bytes = frames
                .iter()
                .flat_map(|Owned(kind, channel, payload)| framed(*kind as u8, *channel, payload))
                .collect();
            (frames, bytes)
        })
        .boxed()
}

fn publishes() -> BoxedStrategy<Vec<u8>> {
    (
        0..3_u16,
        publish_payload(),
        encoded_properties(),
        vec(any::<u8>(), 0..60),
    )
        .prop_map(|(channel, method, properties, body)| {
            publish_frames(channel, &method, &properties, &body)
        })
        .boxed()
}

fn agree(input: &[u8], frame_max: u32) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        whole_publish(input, frame_max),
        publish_frame_by_frame(input, frame_max)
    );
    Ok(())
}

proptest! {
    #[test]
    fn a_stream_split_anywhere_is_read_the_same((frames, bytes) in stream()) {
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            prop_assert_eq!(read_in_pieces([head, tail]), Ok((frames.clone(), vec![])));
        }
        prop_assert_eq!(read_in_pieces(bytes.chunks(1)), Ok((frames, vec![])));
    }

    #[test]
    fn a_damaged_stream_split_anywhere_is_read_the_same(bytes in damaged(stream().prop_map(|(_, bytes)| bytes).boxed())) {
        let at_once = read_in_pieces([&bytes[..]]);
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            prop_assert_eq!(&read_in_pieces([head, tail]), &at_once);
        }
    }

    #[test]
    fn a_whole_publish_is_what_its_frames_are(input in publishes(), follows in vec(any::<u8>(), 0..10), frame_max in 4..200_u32) {
        let with_more = [&input[..], &follows].concat();
        for frame_max in [frame_max, FRAME_MAX, 0] {
            agree(&with_more, frame_max)?;
            for end in 0..input.len() {
                prop_assert!(whole_publish(&input[..end], frame_max).is_none());
            }
        }
        let channel = u16::from_be_bytes([input[1], input[2]]);
        let read = whole_publish(&with_more, FRAME_MAX);
        prop_assert_eq!(read.map(|(_, used)| used), (channel != 0).then_some(input.len()));
    }

    /// Publishes that are alike are found without being parsed, and nothing else is.
    #[test]
    fn a_run_of_publishes_is_what_each_of_them_is(
        pool in vec((publish_payload(), encoded_properties(), 0..5_usize), 1..4),
        run in vec((0..4_usize, any::<u8>(), proptest::bool::weighted(0.05)), 1..30),
    ) {
        let mut input = Vec::new();
        for (which, byte, is_damaged) in run {
            let (method, properties, body_bytes) = &pool[which % pool.len()];
            let mut frames = publish_frames(1, method, properties, &vec![byte; *body_bytes]);
            if is_damaged {
                let at = usize::from(byte) % frames.len();
                frames[at] ^= 1;
            }
            input.extend(frames);
        }
        let (mut rest, mut like): (&[u8], Option<Like<'_>>) = (&input, None);
        while let Some((publish, used)) = whole_publish(rest, FRAME_MAX) {
            if let Some(found) = like.and_then(|like| like.next(rest)) {
                prop_assert_eq!(found, (publish, used));
            }
            like = Like::of(publish, rest, used);
            let is_again = like.and_then(|like| like.next(rest));
            prop_assert_eq!(is_again, (!publish.body.is_empty()).then_some((publish, used)));
            for end in 0..used {
                prop_assert_eq!(like.and_then(|like| like.next(&rest[..end])), None);
            }
            rest = &rest[used..];
        }
        prop_assert_eq!(like.and_then(|like| like.next(rest)), None);
    }

    #[test]
    fn a_damaged_publish_is_what_its_frames_are(input in damaged(publishes()), frame_max in 4..200_u32) {
        agree(&input, FRAME_MAX)?;
        agree(&input, frame_max)?;
    }
}

#[test]
fn a_size_is_refused_before_its_payload_is_there() {
    // RabbitMQ lets a payload have frame-max bytes, though with the 8 around it that is too much.
    let head = |size: u32| [&[1, 0, 7], &size.to_be_bytes()[..]].concat();
    assert_eq!(frame(&head(4096), 4096), Ok(None));
    assert_eq!(
        frame(&head(4097), 4096),
        Err(FrameError::TooLarge {
            kind: 1,
            channel: 7,
            size: 4097,
            max: 4088
        })
    );
    assert_eq!(frame(&head(u32::MAX), u32::MAX), Ok(None));
    assert_eq!(frame(&head(u32::MAX), 0), Ok(None));
    assert!(frame(&head(u32::MAX), 4096).is_err());
    for end in 0..7 {
        assert_eq!(frame(&head(u32::MAX)[..end], 4096), Ok(None));
    }
}

#[test]
fn the_end_is_looked_at_before_the_type() {
    let mut unknown = framed(7, 1, b"abc");
    assert!(matches!(
        frame(&unknown, 4096),
        Err(FrameError::UnknownKind {
            kind: 7,
            channel: 1,
            size: 3,
            ..
        })
    ));
    assert_eq!(frame(&unknown[..10], 4096), Ok(None));
    unknown[10] = 0;
    assert!(matches!(
        frame(&unknown, 4096),
        Err(FrameError::BadEnd {
            kind: 7,
            end: 0,
            ..
        })
    ));
}

/// Each differs from a whole publish in one thing, and is left to the slow path.
#[test]
fn what_is_not_quite_a_whole_publish_goes_the_slow_way() {
    let method = b"\x00\x3c\x00\x28\x00\x00\x01e\x02rk\x01";
    let header = |class: u8, weight: u8, size: u8| {
        [
            &[0, class, 0, weight, 0, 0, 0, 0, 0, 0, 0, size],
            &[0, 0][..],
        ]
        .concat()
    };
    let three = |method: &[u8], header: &[u8], body: &[u8]| {
        [
            framed(1, 1, method),
            framed(2, 1, header),
            framed(3, 1, body),
        ]
        .concat()
    };
    let good = three(method, &header(60, 0, 5), b"hello");
    let (publish, used) = whole_publish(&good, 4096).expect("a whole publish");
    assert_eq!(used, good.len());
    assert_eq!(
        (publish.channel, publish.exchange, publish.routing_key),
        (1, &b"e"[..], &b"rk"[..])
    );
    assert_eq!((publish.mandatory, publish.immediate), (true, false));
    assert_eq!(
        (publish.properties, publish.body),
        (&[0, 0][..], &b"hello"[..])
    );

    let head = framed(1, 1, method);
    let content = framed(2, 1, &header(60, 0, 5));
    let body = framed(3, 1, b"hello");
    let halves = [framed(3, 1, b"hel"), framed(3, 1, b"lo")].concat();
    let mut bad_end = good.clone();
    *bad_end.last_mut().expect("not empty") = 0;
    for (what, input) in [
        (
            "channel 0",
            [
                framed(1, 0, method),
                framed(2, 0, &header(60, 0, 5)),
                framed(3, 0, b"hello"),
            ]
            .concat(),
        ),
        (
            "the header's channel",
            [&head[..], &framed(2, 2, &header(60, 0, 5)), &body].concat(),
        ),
        (
            "the body's channel",
            [&head[..], &content, &framed(3, 2, b"hello")].concat(),
        ),
        (
            "another method",
            three(
                b"\x00\x3c\x00\x29\x00\x00\x01e\x02rk\x01",
                &header(60, 0, 5),
                b"hello",
            ),
        ),
        (
            "arguments that end too early",
            three(&method[..11], &header(60, 0, 5), b"hello"),
        ),
        (
            "arguments that go on",
            three(&[&method[..], &[0]].concat(), &header(60, 0, 5), b"hello"),
        ),
        ("another class", three(method, &header(50, 0, 5), b"hello")),
        ("a weight", three(method, &header(60, 1, 5), b"hello")),
        (
            "a header that is too short",
            three(method, &header(60, 0, 5)[..11], b"hello"),
        ),
        (
            "a body that is shorter",
            three(method, &header(60, 0, 6), b"hello"),
        ),
        (
            "a body that is longer",
            three(method, &header(60, 0, 4), b"hello"),
        ),
        (
            "a body in two frames",
            [&head[..], &content, &halves].concat(),
        ),
        (
            "an empty body frame first",
            [&head[..], &content, &framed(3, 1, b""), &body].concat(),
        ),
        (
            "a heartbeat between",
            [&head[..], &framed(8, 0, b""), &content, &body].concat(),
        ),
        ("a wrong end", bad_end),
    ] {
        assert_eq!(whole_publish(&input, 4096), None, "{what}");
    }
    let no_body = [&head[..], &framed(2, 1, &header(60, 0, 0))].concat();
    let followed = [&no_body[..], &body].concat();
    assert_eq!(
        whole_publish(&followed, 4096).map(|(publish, used)| (publish.body, used)),
        Some((&b""[..], no_body.len()))
    );
    assert_eq!(
        whole_publish(&good, 15),
        Some((publish, used)),
        "a payload may have frame-max bytes"
    );
    assert_eq!(whole_publish(&good, 13), None, "a frame that is too large");
}
