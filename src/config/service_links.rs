//! Variables that are none of ours although they begin as ours do: Kubernetes tells every container
//! of every service, and of one called `warren`, or `warren-` and something, like so:
//!
//! ```text
//! WARREN_SERVICE_HOST=10.0.0.1              WARREN_PORT=tcp://10.0.0.1:5672
//! WARREN_SERVICE_PORT=5672                  WARREN_PORT_5672_TCP=tcp://10.0.0.1:5672
//! WARREN_SERVICE_PORT_AMQP=5672             WARREN_PORT_5672_TCP_PROTO=tcp (_PORT=5672, _ADDR=10.0.0.1)
//! ```
//!
//! Only what has such a name and such a value is passed over, so that `WARREN_PORT=5672`, which somebody
//! may mean as a setting, is refused as all that does not exist.

use std::net::{IpAddr, SocketAddr};

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// Whether Kubernetes may have set that variable, of which the name is known to begin as ours do.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    let names_port = name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_");
    // The last one, since `_PORT_` may be of the service's own name.
    let of_port = name.rsplit_once("_PORT_").map(|(_, port)| port);
    (name.ends_with("_SERVICE_HOST") && is_address(value))
        || (names_port && is_port(value))
        || (name.ends_with("_PORT") && is_link(value))
        || of_port.is_some_and(|port| is_of_port(port, value))
}

/// What follows `_PORT_`: the number, the protocol, and what is told of them.
fn is_of_port(name: &str, value: &str) -> bool {
    let mut words = name.split('_');
    let (number, protocol) = (words.next(), words.next());
    let has_port = number.is_some_and(is_port)
        && protocol.is_some_and(|word| PROTOCOLS.iter().any(|name| name.to_uppercase() == word));
    let fits = match words.next() {
        None => is_link(value),
        Some("PROTO") => PROTOCOLS.contains(&value),
        Some("PORT") => is_port(value),
        Some("ADDR") => is_address(value),
        Some(_) => false,
    };
    has_port && fits && words.next().is_none()
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// Whether it is as `tcp://10.0.0.1:5672`.
fn is_link(text: &str) -> bool {
    text.split_once("://").is_some_and(|(protocol, address)| {
        PROTOCOLS.contains(&protocol) && address.parse::<SocketAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_is_known_by_name_and_value() {
        for (name, value) in [
            ("WARREN_SERVICE_HOST", "10.96.7.1"),
            ("WARREN_SERVICE_HOST", "fd00::1"),
            ("WARREN_SERVICE_PORT", "5672"),
            ("WARREN_SERVICE_PORT_AMQP", "5672"),
            ("WARREN_SERVICE_PORT_MANAGEMENT_HTTP", "15672"),
            ("WARREN_PORT", "tcp://10.96.7.1:5672"),
            ("WARREN_PORT", "tcp://[fd00::1]:5672"),
            ("WARREN_PORT_5672_TCP", "tcp://10.96.7.1:5672"),
            ("WARREN_PORT_5672_TCP_PROTO", "tcp"),
            ("WARREN_PORT_5672_TCP_PORT", "5672"),
            ("WARREN_PORT_5672_TCP_ADDR", "10.96.7.1"),
            ("WARREN_PORT_53_UDP", "udp://10.96.7.1:53"),
            ("WARREN_TEST_MQ_SERVICE_HOST", "10.96.7.1"),
            ("WARREN_TEST_MQ_PORT", "tcp://10.96.7.1:5672"),
            ("WARREN_PORT_AUTHORITY_PORT_80_TCP_ADDR", "10.96.7.1"),
            ("WARREN_PORT_PORT", "tcp://10.96.7.1:5672"),
        ] {
            assert!(is_service_link(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("WARREN_PORT", "5672"),
            ("WARREN_PORT", "http://10.96.7.1:5672"),
            ("WARREN_SERVICE_HOST", "mq.example"),
            ("WARREN_SERVICE_PORT", "amqp"),
            ("WARREN_PORT_5672", "tcp://10.96.7.1:5672"),
            ("WARREN_PORT_5672_TCP_NAME", "tcp"),
            ("WARREN_PORT_5672_TCP_ADDR_X", "10.96.7.1"),
            ("WARREN_PORT_AMQP_TCP", "tcp://10.96.7.1:5672"),
            ("WARREN_LISTEN", "10.96.7.1"),
            ("WARREN_HOST", "10.96.7.1"),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }
}
