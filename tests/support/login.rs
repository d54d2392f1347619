//! The way in: from the protocol header to connection.open-ok.

use std::net::SocketAddr;

use super::frame::HEADER;
use super::{Client, Method, Table, Talk, Value};
use super::{method, table};

/// What a client says on its way in.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
    pub vhost: String,
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat: u16,
    pub capabilities: Table,
}

impl Default for Login {
    fn default() -> Self {
        let capabilities = table! {
            "publisher_confirms" => true, "exchange_exchange_bindings" => true,
            "basic.nack" => true, "consumer_cancel_notify" => true,
            "connection.blocked" => true, "authentication_failure_close" => true,
        };
        Login {
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 0,
            capabilities,
        }
    }
}

impl Login {
    pub fn start_ok(&self) -> Method {
        method!("connection.start-ok",
            client_properties: table! {
                "product" => "warren tests", "capabilities" => self.capabilities.clone(),
            },
            mechanism: "PLAIN",
            response: format!("\0{}\0{}", self.user, self.password),
            locale: "en_US")
    }

    pub fn tune_ok(&self) -> Method {
        method!("connection.tune-ok",
            channel_max: self.channel_max, frame_max: self.frame_max, heartbeat: self.heartbeat)
    }

    /// Connects and goes all the way to connection.open-ok.
    #[track_caller]
    pub fn open(&self, address: SocketAddr) -> Client {
        self.open_on(Client::plain(address))
    }

    /// The same over a connection that is there already.
    #[track_caller]
    pub fn open_on(&self, mut client: Client) -> Client {
        self.tuned(&mut client);
        client
            .on(0)
            .send(method!("connection.open", virtual_host: &self.vhost));
        client.on(0).expect(method!("connection.open-ok"));
        client
    }

    /// Goes as far as tune-ok.
    #[track_caller]
    pub fn tuned(&self, client: &mut Client) {
        client.send_bytes(HEADER);
        client.on(0).expect_name("connection.start");
        client.on(0).send(self.start_ok());
        client.on(0).expect_name("connection.tune");
        client.on(0).send(self.tune_ok());
        client.frame_max = self.frame_max as usize;
    }
}
