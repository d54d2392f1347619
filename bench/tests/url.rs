//! Broker URLs.

use bench::url::BrokerUrl;

#[test]
fn every_part_is_read() {
    let url: BrokerUrl = "amqps://me:p%40ss@broker.example:1234/my%2Fhost"
        .parse()
        .unwrap();
    assert!(url.tls);
    assert_eq!((url.host.as_str(), url.port), ("broker.example", 1234));
    assert_eq!((url.user.as_str(), url.password.as_str()), ("me", "p@ss"));
    assert_eq!(url.vhost, "my/host");
}

#[test]
fn missing_parts_get_their_defaults() {
    let url: BrokerUrl = "amqp://localhost".parse().unwrap();
    assert_eq!(
        url,
        BrokerUrl {
            host: "localhost".into(),
            ..BrokerUrl::local(5672)
        }
    );
    let url: BrokerUrl = "amqp://localhost/".parse().unwrap();
    assert_eq!(url.vhost, "/");
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "localhost",
        "http://localhost",
        "amqp://localhost:port",
        "amqp://a%zz@localhost",
    ] {
        assert!(text.parse::<BrokerUrl>().is_err(), "{text}");
    }
}
