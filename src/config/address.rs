//! Addresses that are listened on, as they are written: `ADDR:PORT`.

use std::net::SocketAddr;

/// What is wrong with an address, if anything can be said before its name is looked up.
pub(super) fn check_address(address: &str) -> Result<(), String> {
    let is_named = |(host, port): (&str, &str)| {
        !host.is_empty() && !host.contains([':', '[', ']']) && port.parse::<u16>().is_ok()
    };
    if address.parse::<SocketAddr>().is_ok() || address.rsplit_once(':').is_some_and(is_named) {
        return Ok(());
    }
    Err(format!(
        "`{address}` is no ADDR:PORT such as 127.0.0.1:5672 or [::1]:5672"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for right in [
            "127.0.0.1:5672",
            "0.0.0.0:0",
            "[::]:5672",
            "localhost:5672",
            "mq.example:65535",
        ] {
            assert_eq!(check_address(right), Ok(()));
        }
        for wrong in [
            "",
            "foo",
            ":5672",
            "5672",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:amqp",
            "127.0.0.1:65536",
            "::1:5672",
            "[::1]",
            "[localhost]:5672",
            "a:b:5672",
        ] {
            assert!(check_address(wrong).is_err(), "{wrong}");
        }
    }
}
