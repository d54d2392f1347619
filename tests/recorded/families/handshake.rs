//! From the first byte to connection.open-ok, and what may come on channel 0 afterwards.

use crate::script::{Entry, Script, Until};
use crate::support::frame::{BODY, CONTENT_HEADER, Frame, HEADER, HEARTBEAT, METHOD};
use crate::support::{Login, Method, Properties, Table, Value, method, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    headers(&mut scripts);
    methods(&mut scripts);
    frames(&mut scripts);
    logins(&mut scripts);
    tuning(&mut scripts);
    vhosts(&mut scripts);
    running(&mut scripts);
    scripts
}

/// How far a client has come that is not in yet.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Starting,
    Tuning,
    Opening,
}

const STATES: [(State, &str); 3] = [
    (State::Starting, "starting"),
    (State::Tuning, "tuning"),
    (State::Opening, "opening"),
];

fn arrived(name: impl Into<String>, state: State) -> Script {
    let login = Login::default();
    let mut script = Script::started(name);
    if state != State::Starting {
        script = script.quietly(login.start_ok(), Some("connection.tune"));
    }
    if state == State::Opening {
        script = script.quietly(login.tune_ok(), None);
    }
    script
}

fn headers(scripts: &mut Vec<Script>) {
    for (name, header) in [
        ("0-9-1", HEADER),
        ("0-8", b"AMQP\x01\x01\x08\x00"),
        ("0-8-as-printed", b"AMQP\x01\x01\x09\x01"),
        ("0-9", b"AMQP\x01\x01\x00\x09"),
    ] {
        // The first frame says all of it.
        let script = Script::stranger(format!("header-{name}")).bytes(header);
        scripts.push(script.on(0).events(1));
    }
    for (name, header) in [
        ("1-0", b"AMQP\x00\x01\x00\x00"),
        ("1-0-sasl", b"AMQP\x03\x01\x00\x00"),
        ("1-0-tls", b"AMQP\x02\x01\x00\x00"),
        ("0-10", b"AMQP\x01\x01\x00\x0a"),
        ("0-9-2", b"AMQP\x00\x00\x09\x02"),
        ("0-9-1-wrong-class", b"AMQP\x01\x00\x09\x01"),
        ("http", b"GET / HT"),
        ("lower-case", b"amqp\x00\x00\x09\x01"),
        ("zeros", b"\0\0\0\0\0\0\0\0"),
    ] {
        let script = Script::stranger(format!("header-{name}")).bytes(header);
        scripts.push(script.hear(Until::Bytes(8)).end());
    }
    scripts.push(Script::stranger("header-half").bytes(b"AMQP"));
    scripts.push(Script::stranger("header-none"));
    scripts.push(
        Script::stranger("header-twice")
            .bytes(HEADER)
            .on(0)
            .events(1)
            .bytes(HEADER)
            .end(),
    );
}

/// Every method in every state, none of which may come then, but one.
fn methods(scripts: &mut Vec<Script>) {
    for (state, said) in STATES {
        for method in Method::every() {
            let script = arrived(format!("{said}-{}", method.name), state);
            scripts.push(script.send(method).end());
        }
        for (class, id) in [(10, 99), (99, 10), (0, 0)] {
            let script = arrived(format!("{said}-unknown-{class}-{id}"), state);
            let payload = [0, class, 0, id];
            scripts.push(script.frame(METHOD, &payload).end());
        }
        let close = method!("connection.close", reply_code: 200, reply_text: "bye");
        scripts.push(arrived(format!("{said}-close"), state).call(close));
        scripts.push(arrived(format!("{said}-hangs-up"), state));
    }
}

/// Every other kind of frame in every state.
fn frames(scripts: &mut Vec<Script>) {
    let header = Frame::content_header(0, 5, &Properties::default()).payload;
    for (state, said) in STATES {
        let mut frame = |name: &str, channel: u16, kind: u8, payload: &[u8]| {
            let script = arrived(format!("{said}-frame-{name}"), state).on(channel);
            scripts.push(script.frame(kind, payload).end());
        };
        frame("content-header", 0, CONTENT_HEADER, &header);
        frame("content-header-short", 0, CONTENT_HEADER, &header[..5]);
        frame("body", 0, BODY, b"hello");
        frame("heartbeat-with-payload", 0, HEARTBEAT, b"hello");
        frame("heartbeat-elsewhere", 1, HEARTBEAT, b"");
        frame("method-empty", 0, METHOD, b"");
        frame("method-short", 0, METHOD, &[0, 10, 0]);
        frame(
            "method-elsewhere",
            1,
            METHOD,
            &Method::new("channel.open").encode(),
        );
        for kind in [0, 4, 5, 6, 7, 9, 65, 255] {
            frame(&format!("type-{kind}"), 0, kind, b"hello");
        }
        frame("type-9-elsewhere", 3, 9, b"hello");
        frame("too-large", 0, METHOD, &[0; 5000]);
        let script = arrived(format!("{said}-frame-wrong-end"), state);
        let frame = Frame::method(0, &method!("connection.tune-ok"));
        scripts.push(script.frame_with_end(&frame, 0xCF).end());
        // A heartbeat may come at any time.
        let script = arrived(format!("{said}-heartbeat"), state).frame(HEARTBEAT, b"");
        let login = Login::default();
        let open = method!("connection.open", virtual_host: "/");
        let script = match state {
            State::Starting => {
                let script = script.quietly(login.start_ok(), Some("connection.tune"));
                script.quietly(login.tune_ok(), None)
            }
            State::Tuning => script.quietly(login.tune_ok(), None),
            State::Opening => script,
        };
        scripts.push(script.call(open));
    }
}

fn logins(scripts: &mut Vec<Script>) {
    let started = |name: &str| arrived(format!("login-{name}"), State::Starting);
    let start_ok = Login::default().start_ok();
    let knows = table! { "capabilities" => table! { "authentication_failure_close" => true } };
    let plain = |response: &str| {
        method!("connection.start-ok", client_properties: knows.clone(), mechanism: "PLAIN",
            response: response, locale: "en_US")
    };
    for (name, response) in [
        ("wrong-password", "\0guest\0wrong"),
        ("unknown-user", "\0nobody\0guest"),
        ("empty-password", "\0guest\0"),
        ("empty-user", "\0\0guest"),
        ("empty-both", "\0\0"),
        ("authorization-id", "guest\0guest\0guest"),
        ("one-part", "\0guest"),
        ("three-parts", "\0guest\0guest\0guest"),
        ("empty", ""),
        ("no-zeros", "guest"),
    ] {
        scripts.push(
            started(&format!("plain-{name}"))
                .send(plain(response))
                .end(),
        );
    }
    for (name, capabilities) in [
        ("no-capabilities", Table::default()),
        (
            "capability-false",
            table! { "authentication_failure_close" => false },
        ),
        (
            "capability-number",
            table! { "authentication_failure_close" => 1 },
        ),
    ] {
        let properties = table! { "capabilities" => capabilities };
        let wrong = plain("\0guest\0wrong").with("client_properties", properties);
        scripts.push(started(&format!("plain-wrong-{name}")).send(wrong).end());
    }
    let odd = table! { "capabilities" => "all" };
    let properties = start_ok.clone().with("client_properties", odd);
    scripts.push(started("capabilities-text").send(properties).events(1));
    for mechanism in [
        "",
        "plain",
        "EXTERNAL",
        "CRAM-MD5",
        "RABBIT-CR-DEMO",
        "ANONYMOUS",
        "x' y",
    ] {
        let other = start_ok.clone().with("mechanism", mechanism);
        scripts.push(started(&format!("mechanism-{mechanism}")).send(other).end());
    }
    for locale in ["", "de_DE", "x"] {
        let other = start_ok.clone().with("locale", locale);
        scripts.push(started(&format!("locale-{locale}")).send(other).events(1));
    }
    let amqplain = |entries: Table| {
        let response = entries.encode()[4..].to_vec();
        let mechanism = plain("").with("mechanism", "AMQPLAIN");
        mechanism.with("response", response)
    };
    for (name, entries) in [
        ("good", table! { "LOGIN" => "guest", "PASSWORD" => "guest" }),
        (
            "other-order",
            table! { "PASSWORD" => "guest", "LOGIN" => "guest" },
        ),
        (
            "and-more",
            table! { "LOGIN" => "guest", "PASSWORD" => "guest", "x" => 1 },
        ),
    ] {
        scripts.push(
            started(&format!("amqplain-{name}"))
                .send(amqplain(entries))
                .events(1),
        );
    }
    for (name, entries) in [
        (
            "wrong-password",
            table! { "LOGIN" => "guest", "PASSWORD" => "wrong" },
        ),
        (
            "unknown-user",
            table! { "LOGIN" => "nobody", "PASSWORD" => "guest" },
        ),
        ("no-password", table! { "LOGIN" => "guest" }),
        ("no-login", table! { "PASSWORD" => "guest" }),
        (
            "lower-case",
            table! { "login" => "guest", "password" => "guest" },
        ),
        (
            "password-number",
            table! { "LOGIN" => "guest", "PASSWORD" => 1 },
        ),
        (
            "login-number",
            table! { "LOGIN" => 1, "PASSWORD" => "guest" },
        ),
        ("both-numbers", table! { "LOGIN" => 1, "PASSWORD" => 2 }),
        (
            "password-bytes",
            table! { "LOGIN" => "guest", "PASSWORD" => Value::Bytes(b"guest".to_vec()) },
        ),
        (
            "password-wrong-bytes",
            table! { "LOGIN" => "guest", "PASSWORD" => Value::Bytes(b"x".to_vec()) },
        ),
        (
            "password-bool",
            table! { "LOGIN" => "guest", "PASSWORD" => true },
        ),
        (
            "password-void",
            table! { "LOGIN" => "guest", "PASSWORD" => Value::Void },
        ),
        (
            "password-table",
            table! { "LOGIN" => "guest", "PASSWORD" => table! { "a" => 1 } },
        ),
        (
            "both-bytes",
            table! { "LOGIN" => Value::Bytes(b"guest".to_vec()),
            "PASSWORD" => Value::Bytes(b"guest".to_vec()) },
        ),
        (
            "login-twice",
            Table(vec![
                ("LOGIN".into(), "nobody".into()),
                ("LOGIN".into(), "guest".into()),
                ("PASSWORD".into(), "guest".into()),
            ]),
        ),
        (
            "login-bytes",
            table! { "LOGIN" => Value::Bytes(b"guest".to_vec()), "PASSWORD" => "guest" },
        ),
        ("empty", Table::default()),
    ] {
        scripts.push(
            started(&format!("amqplain-{name}"))
                .send(amqplain(entries))
                .events(1),
        );
    }
    let broken = plain("\x05LOGIN").with("mechanism", "AMQPLAIN");
    scripts.push(started("amqplain-broken").send(broken).end());
    // Its fields end too early, or do not end with the frame.
    let payload = start_ok.encode();
    scripts.push(
        started("start-ok-short")
            .frame(METHOD, &payload[..payload.len() - 3])
            .end(),
    );
    let longer = [&payload[..], b"more"].concat();
    scripts.push(started("start-ok-long").frame(METHOD, &longer).end());
    scripts.push(
        started("start-ok-twice")
            .send(start_ok.clone())
            .events(1)
            .send(start_ok)
            .end(),
    );
    // A password with UTF-8, and one that isn't.
    let binary = plain("").with("response", b"\0guest\0\xff\xfe".to_vec());
    scripts.push(started("plain-binary-password").send(binary).end());
    let binary = plain("").with("response", b"\0\xff\xfe\0guest".to_vec());
    scripts.push(started("plain-binary-user").send(binary).end());
}

fn tuning(scripts: &mut Vec<Script>) {
    for (name, channel_max, frame_max, heartbeat) in [
        ("as-offered", 2047, 131_072, 60),
        ("no-heartbeat", 2047, 131_072, 0),
        ("least", 1, 4096, 1),
        ("frame-4097", 2047, 4097, 0),
    ] {
        let tune_ok = method!("connection.tune-ok", channel_max: channel_max, frame_max: frame_max,
            heartbeat: heartbeat);
        let open = method!("connection.open", virtual_host: "/");
        scripts.push(
            arrived(format!("tune-{name}"), State::Tuning)
                .send(tune_ok)
                .call(open),
        );
    }
    for (name, channel_max, frame_max) in [
        ("channels-0", 0, 131_072),
        ("channels-2048", 2048, 131_072),
        ("channels-65535", 65_535, 131_072),
        ("frame-0", 2047, 0),
        ("frame-1", 2047, 1),
        ("frame-4095", 2047, 4095),
        ("frame-131073", 2047, 131_073),
        ("frame-most", 2047, u32::MAX),
        ("both", 0, 0),
    ] {
        let tune_ok = method!("connection.tune-ok", channel_max: channel_max, frame_max: frame_max, heartbeat: 60);
        scripts.push(
            arrived(format!("tune-{name}"), State::Tuning)
                .send(tune_ok)
                .end(),
        );
    }
    // More channels than were agreed on.
    let few = Login {
        channel_max: 2,
        ..Login::default()
    };
    let script = Script::with("tune-third-of-two-channels", Entry::Open(few.clone()));
    scripts.push(script.open(2).open(3));
    let script = Script::with("tune-channel-number-above", Entry::Open(few));
    scripts.push(script.open(3).open(65_535));
    // Larger frames than were agreed on: a little is let pass.
    let small = Login {
        frame_max: 4096,
        ..Login::default()
    };
    for over in [0, 1, 8, 9, 100] {
        let script = Script::with(format!("tune-body-{over}-over"), Entry::Open(small.clone()));
        let body = vec![b'x'; 4096 - 8 + over];
        let publish = method!("basic.publish", exchange: "amq.fanout");
        let script = script.content(publish, &Properties::default(), &body);
        scripts.push(match over {
            0..=8 => script.settled(),
            _ => script.end(),
        });
    }
}

fn vhosts(scripts: &mut Vec<Script>) {
    for (name, vhost) in [
        ("other", "elsewhere"),
        ("unknown", "nowhere"),
        ("empty", ""),
        ("slashes", "//"),
        ("upper-case", "Elsewhere"),
        ("quotes", "it's ~p"),
        ("longest", &"v".repeat(255)),
    ] {
        let open = method!("connection.open", virtual_host: vhost);
        scripts.push(arrived(format!("vhost-{name}"), State::Opening).call(open));
    }
    let open = method!("connection.open", virtual_host: b"\xff".to_vec());
    scripts.push(arrived("vhost-binary", State::Opening).call(open));
    let open = method!("connection.open", virtual_host: "/", reserved_1: "x", reserved_2: true);
    scripts.push(arrived("vhost-reserved-fields", State::Opening).call(open));
    for (name, user, vhost) in [
        ("outsider", "outsider", "/"),
        ("limited-elsewhere", "limited", "elsewhere"),
        ("limited-nowhere", "limited", "nowhere"),
    ] {
        let login = Login {
            user: user.into(),
            password: "secret".into(),
            ..Login::default()
        };
        let script = Script::started(format!("vhost-of-{name}"));
        let script = script
            .send(login.start_ok())
            .events(1)
            .send(login.tune_ok());
        scripts.push(script.call(method!("connection.open", virtual_host: vhost)));
    }
}

/// On channel 0 of an open connection.
fn running(scripts: &mut Vec<Script>) {
    for method in Method::every() {
        let script = Script::new(format!("running-{}", method.name)).on(0);
        scripts.push(script.call(method));
    }
    for (class, id) in [(10, 99), (99, 10), (0, 0)] {
        let script = Script::new(format!("running-unknown-{class}-{id}")).on(0);
        scripts.push(script.frame(METHOD, &[0, class, 0, id]).end());
    }
    let header = Frame::content_header(0, 5, &Properties::default()).payload;
    for (name, channel, kind, payload) in [
        ("content-header", 0, CONTENT_HEADER, &header[..]),
        ("content-header-short", 0, CONTENT_HEADER, &header[..5]),
        ("body", 0, BODY, b"hello"),
        ("body-long", 0, BODY, b"more than sixteen octets"),
        ("heartbeat-with-payload", 0, HEARTBEAT, b"hello"),
        ("heartbeat-elsewhere", 1, HEARTBEAT, b""),
        ("heartbeat-elsewhere-with-payload", 1, HEARTBEAT, b"hello"),
        ("method-empty", 0, METHOD, b""),
        ("method-short", 0, METHOD, &[0, 10, 0]),
        ("method-empty-elsewhere", 1, METHOD, b""),
        ("type-0", 0, 0, b"hello"),
        ("type-9", 0, 9, b"hello"),
        ("type-9-elsewhere", 1, 9, b"hello"),
        ("type-9-long", 1, 9, b"exactly sixteen."),
        ("type-9-longer", 1, 9, b"seventeen octets."),
        ("type-9-binary", 1, 9, b"\x00\x01\xff"),
        ("type-9-empty", 1, 9, b""),
        ("type-9-sixteen-binary", 1, 9, &[0xFF; 16]),
        ("type-9-seventeen-binary", 1, 9, &[0xFF; 17]),
        ("type-9-quotes", 1, 9, b"\"\\\n\t"),
        ("type-9-latin", 1, 9, b"\xe9\xe8"),
        ("type-200-binary", 300, 200, &[200; 14]),
        ("type-255", 7, 255, b"hello"),
    ] {
        let script = Script::new(format!("running-frame-{name}")).on(channel);
        scripts.push(script.frame(kind, payload).end());
    }
    // How its text is broken into lines depends on how long it is.
    for (name, channel, end, payload) in [
        ("0", 1, 0, &[0, 20, 0, 20, 0][..]),
        ("0xcf", 1, 0xCF, &[0, 20, 0, 20, 0]),
        ("on-0", 0, 0xCF, &[0, 20, 0, 20, 0]),
        ("text", 1, 9, b"exactly sixteen."),
        ("text-of-8", 1, 9, b"exactly "),
        ("text-of-14", 1, 99, b"exactly sixtee"),
        ("text-of-15", 1, 9, b"exactly sixteen"),
        ("longer-text", 1, 9, b"exactly sixteen, and more"),
        ("binary", 1, 9, &[144; 16]),
        ("binary-of-11", 1, 207, &[144; 11]),
        ("binary-of-12", 1, 207, &[144; 12]),
        ("binary-of-13", 1, 207, &[144; 13]),
        ("binary-of-14", 1, 207, &[144; 14]),
        ("longer-binary", 1, 207, &[144; 17]),
        ("empty", 1, 206 - 1, b""),
    ] {
        let frame = Frame::new(METHOD, channel, payload);
        let script = Script::new(format!("running-frame-end-{name}"));
        scripts.push(script.frame_with_end(&frame, end).end());
    }
    for count in 10..16 {
        for end in [9, 99, 207] {
            let frame = Frame::new(METHOD, 1, vec![0; count]);
            let script = Script::new(format!("running-frame-end-{end}-after-{count}"));
            scripts.push(script.frame_with_end(&frame, end).end());
        }
    }
    let payload = vec![0; 131_073];
    scripts.push(
        Script::new("running-frame-too-large")
            .frame(METHOD, &payload)
            .end(),
    );
    scripts.push(
        Script::new("running-heartbeat")
            .on(0)
            .frame(HEARTBEAT, b"")
            .on(1)
            .settled(),
    );
    closing(scripts);
    let secret = method!("connection.update-secret", new_secret: "new", reason: "old");
    scripts.push(
        Script::new("running-secret")
            .on(0)
            .call(secret)
            .on(1)
            .settled(),
    );
    // Fields that end too early, or not with the frame.
    let close = method!("connection.close", reply_code: 200, reply_text: "bye").encode();
    let script = Script::new("running-close-short").on(0);
    scripts.push(script.frame(METHOD, &close[..close.len() - 1]).end());
    let script = Script::new("running-close-long").on(0);
    scripts.push(script.frame(METHOD, &[&close[..], b"x"].concat()).end());
}

/// Around connection.close of either side.
fn closing(scripts: &mut Vec<Script>) {
    let close = method!("connection.close", reply_code: 200, reply_text: "bye");
    let ok = method!("connection.close-ok");
    let open = Frame::method(5, &method!("channel.open"));
    let closes = Frame::method(0, &close);
    let script = Script::new("closing-then-more")
        .on(0)
        .frames(&[closes.clone(), open.clone()]);
    scripts.push(script.reply());
    let entered = arrived("closing-twice", State::Opening).quietly(
        method!("connection.open", virtual_host: "/"),
        Some("connection.open-ok"),
    );
    scripts.push(entered.frames(&[closes.clone(), closes.clone()]).end());
    let script = Script::new("closing-with-channels").open(2).open(3).on(0);
    scripts.push(script.call(close.clone()));
    let wrong = method!("channel.open-ok");
    // After the broker's close all is ignored but close and close-ok.
    let closed = |name: &str| {
        Script::new(format!("closed-{name}"))
            .impolite()
            .on(0)
            .call(wrong.clone())
    };
    for method in Method::every() {
        let script = closed(&format!("then-{}", method.name)).send(method.clone());
        scripts.push(match method.name {
            "connection.close" => script.events(1).send(ok.clone()).end(),
            "connection.close-ok" => script.end(),
            _ => script.send(ok.clone()).end(),
        });
    }
    let more = closed("then-more").frames(&[open]).on(0);
    let more = more
        .frame(BODY, b"hello")
        .frame(9, b"hello")
        .frame(HEARTBEAT, b"");
    scripts.push(more.send(wrong.clone()).send(ok).end());
}
