//! Clients log in, connections and channels open and close.

use std::net::SocketAddr;

use super::{BY, terms};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::ConnectionId;
use crate::broker::notices::Notices;

/// A connection, for what is told of it.
pub struct Connected<'a> {
    /// Its number.
    pub id: ConnectionId,
    /// Both ends, as text.
    pub name: &'a str,
    /// The client's end.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// How it is kept secret, if it is.
    pub secured: Option<&'a Secured>,
}

/// How a connection over TLS is kept secret, in the words of Erlang's `ssl`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secured {
    /// `tlsv1.2` or `tlsv1.3`.
    pub protocol: &'static str,
    /// As `ecdhe_rsa`; `any` since TLS 1.3.
    pub key_exchange: String,
    /// As `aes_256_gcm`.
    pub cipher: String,
    /// `aead` where the cipher sees to that itself.
    pub hash: String,
}

/// What a client said of itself.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// What it calls its connection.
    pub name: Option<String>,
    /// Its client-properties.
    pub properties: FieldTable,
    /// How it logged in.
    pub mechanism: &'static str,
    /// When its connection was accepted, in milliseconds since 1970.
    pub connected_at_ms: u64,
}

impl Client {
    fn name_itself(&self, headers: &mut FieldTable) {
        if let Some(name) = &self.name {
            headers.push("user_provided_name", name.as_str());
        }
    }
}

impl Notices {
    /// Whether settings want events: then what is told of a connection at its end is kept until then.
    pub fn tells_events(&self) -> bool {
        self.settings.events
    }

    /// A client was let in, or was not for that reason.
    pub fn authenticated(
        &self,
        connected: &Connected<'_>,
        user: &str,
        mechanism: &str,
        refused: Option<&str>,
    ) {
        let key = match refused {
            None => "user.authentication.success",
            Some(_) => "user.authentication.failure",
        };
        self.event(key, || {
            let mut headers = FieldTable::new();
            if let Some(why) = refused {
                // RabbitMQ's text is a list of numbers.
                let letters = why
                    .chars()
                    .map(|letter| FieldValue::I64(u32::from(letter).into()));
                headers.push("error", letters.collect::<Vec<_>>());
            }
            if let Some(secured) = connected.secured {
                headers.push("ssl_cipher", secured.cipher.as_str());
                headers.push("ssl_protocol", secured.protocol);
            }
            headers.push("ssl", connected.secured.is_some());
            headers.push("auth_mechanism", mechanism);
            headers.push("protocol", "{0,9,1}");
            headers.push("peer_port", i64::from(connected.peer.port()));
            headers.push("peer_host", host(connected.peer).as_str());
            headers.push("connection_name", connected.name);
            headers.push("host", host(connected.local).as_str());
            headers.push("name", user);
            headers.push("connection_type", "network");
            headers
        });
    }

    /// A connection is open: with what was agreed on.
    pub fn connection_created(
        &self,
        connected: &Connected<'_>,
        user: &str,
        vhost: &str,
        (channel_max, frame_max, heartbeat_s): (u16, u32, u16),
        client: &Client,
    ) {
        self.event("connection.created", || {
            let unsecured = Secured::default();
            let secured = connected.secured.unwrap_or(&unsecured);
            let mut headers = FieldTable::new();
            headers.push(BY, user);
            headers.push("node", self.settings.node.as_str());
            let at_ms = i64::try_from(client.connected_at_ms).unwrap_or(i64::MAX);
            headers.push("connected_at", at_ms);
            headers.push("client_properties", terms(&client.properties));
            headers.push("channel_max", i64::from(channel_max));
            headers.push("frame_max", i64::from(frame_max));
            headers.push("timeout", i64::from(heartbeat_s));
            headers.push("vhost", vhost);
            headers.push("user", user);
            headers.push("protocol", "{0,9,1}");
            headers.push("ssl_hash", secured.hash.as_str());
            headers.push("ssl_cipher", secured.cipher.as_str());
            headers.push("ssl_key_exchange", secured.key_exchange.as_str());
            headers.push("ssl_protocol", secured.protocol);
            headers.push("auth_mechanism", client.mechanism);
            // What a client's certificate says is not read.
            headers.push("peer_cert_validity", "");
            headers.push("peer_cert_issuer", "");
            headers.push("peer_cert_subject", "");
            headers.push("ssl", connected.secured.is_some());
            headers.push("peer_host", host(connected.peer).as_str());
            headers.push("host", host(connected.local).as_str());
            headers.push("peer_port", i64::from(connected.peer.port()));
            headers.push("port", i64::from(connected.local.port()));
            headers.push("name", connected.name);
            headers.push("pid", self.connection_pid(connected.id).as_str());
            headers.push("type", "network");
            client.name_itself(&mut headers);
            headers
        });
    }

    /// It is open no longer.
    pub fn connection_closed(&self, connected: &Connected<'_>, client: &Client) {
        self.event("connection.closed", || {
            let mut headers = FieldTable::new();
            headers.push("client_properties", terms(&client.properties));
            headers.push("node", self.settings.node.as_str());
            headers.push("pid", self.connection_pid(connected.id).as_str());
            headers.push("name", connected.name);
            client.name_itself(&mut headers);
            headers
        });
    }

    /// A channel is open on that connection.
    pub fn channel_created(
        &self,
        connection: ConnectionId,
        connection_name: &str,
        number: u16,
        user: &str,
        vhost: &str,
    ) {
        self.event("channel.created", || {
            let mut headers = FieldTable::new();
            headers.push(BY, user);
            headers.push("vhost", vhost);
            headers.push("user", user);
            headers.push("number", i64::from(number));
            headers.push("connection", self.connection_pid(connection).as_str());
            headers.push("name", format!("{connection_name} ({number})").as_str());
            headers.push("pid", self.channel_pid(connection, number).as_str());
            headers
        });
    }

    /// It is open no longer.
    pub fn channel_closed(&self, connection: ConnectionId, number: u16, user: &str) {
        self.event("channel.closed", || {
            let mut headers = FieldTable::new();
            headers.push(BY, user);
            headers.push("pid", self.channel_pid(connection, number).as_str());
            headers
        });
    }
}

/// An address as Erlang prints it.
fn host(address: SocketAddr) -> String {
    let parts: Vec<String> = match address {
        SocketAddr::V4(address) => address.ip().octets().iter().map(u8::to_string).collect(),
        SocketAddr::V6(address) => address.ip().segments().iter().map(u16::to_string).collect(),
    };
    format!("{{{}}}", parts.join(","))
}
