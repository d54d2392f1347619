//! `amqp://user:password@host:port/vhost`, parsed.
//!
//! Missing parts get AMQP's defaults; percent-escapes in user, password and vhost are decoded.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Left to itself the kernel lets megabytes gather in the sockets, and everything then goes through
/// memory instead of the caches: the same broker needs twice the CPU time for a message of 1 KiB.
const SOCKET_BUFFER_BYTES: usize = 128 * 1024;

/// Where a broker is and how to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// `amqps`.
    pub tls: bool,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Virtual host.
    pub vhost: String,
    /// A PEM file with the certificate that the broker's must come from; not part of the text.
    pub ca: Option<PathBuf>,
    /// Size of each socket buffer; the kernel's choice without. Not part of the text.
    pub socket_buffer_bytes: Option<usize>,
}

impl BrokerUrl {
    /// guest on this machine.
    pub fn local(port: u16) -> Self {
        BrokerUrl {
            tls: false,
            host: "127.0.0.1".into(),
            port,
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
            ca: None,
            socket_buffer_bytes: Some(SOCKET_BUFFER_BYTES),
        }
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("a broker's URL begins with amqp:// or amqps://")?;
        let tls = match scheme {
            "amqp" => false,
            "amqps" => true,
            other => return Err(format!("unknown scheme {other}://")),
        };
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, vhost)) if !vhost.is_empty() => (authority, percent_decode(vhost)?),
            Some((authority, _)) => (authority, "/".to_owned()),
            None => (rest, "/".to_owned()),
        };
        let (login, address) = authority
            .rsplit_once('@')
            .unwrap_or(("guest:guest", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let default_port = if tls { 5671 } else { 5672 };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (
                host,
                port.parse().map_err(|_| format!("{port} is no port"))?,
            ),
            None => (address, default_port),
        };
        Ok(BrokerUrl {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            user: percent_decode(user)?,
            password: percent_decode(password)?,
            vhost,
            ca: None,
            socket_buffer_bytes: Some(SOCKET_BUFFER_BYTES),
        })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        write!(out, "{scheme}://{}:{}", self.host, self.port)
    }
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = [bytes.next(), bytes.next()]
            .map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
        let [Some(high), Some(low)] = digits else {
            return Err(format!("{text}: a % needs two hexadecimal digits"));
        };
        decoded.push((high * 16 + low) as u8);
    }
    String::from_utf8(decoded).map_err(|_| format!("{text}: not UTF-8 once decoded"))
}
