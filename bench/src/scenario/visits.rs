//! Connections that come, open a channel and go, as cheaply for the client as it can be.
//!
//! In comes a broker's URL; out go connections, several at a time. What a client says to open one is
//! encoded once and sent in one write, without waiting for what it will be answered; the answers are
//! read up to the open channel, then the connection is closed and the broker's agreement awaited. So
//! what is measured is the broker and the kernel, not how often the two processes take turns.
//!
//! The client closes first, as AMQP has it, and so its port is not free again for a second at least. On
//! one machine the ports of one address would last for 14,000 connections a second, and finding a free
//! one would cost the more the fewer there are: so each thread comes from an address of its own and
//! counts ports up itself.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::client::{self, CHANNEL};
use crate::url::BrokerUrl;
use crate::wire::{self, MethodId, method};

/// The ports that a thread comes from, one after the other.
const PORTS: Range<u16> = 10_000..60_000;
/// No reply may take longer than this.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// What is said to a broker to open a connection with a channel, and to close it.
pub struct Visits {
    address: SocketAddr,
    source: Option<Source>,
    hello: Vec<u8>,
    goodbye: Vec<u8>,
}

/// Where connections to this machine come from.
struct Source {
    address: Ipv4Addr,
    next_port: u16,
}

/// A connection on its way.
struct Visitor {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Visits {
    /// Learns from one usual connection which limits the broker proposes. No two threads may have the
    /// same `number`.
    pub fn to(url: &BrokerUrl, number: u8) -> io::Result<Visits> {
        if url.tls {
            return Err(io::Error::other("only plain connections are opened so"));
        }
        let address = (url.host.as_str(), url.port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::other("the broker's host has no address"))?;
        let mut first = Visitor::new(TcpStream::connect(address)?)?;
        let mut hello = wire::PROTOCOL_HEADER.to_vec();
        first.stream.write_all(&hello)?;
        first.wait_for(method::CONNECTION_START)?;
        let mut start_ok = Vec::new();
        client::put_start_ok(&mut start_ok, url);
        first.stream.write_all(&start_ok)?;
        let tune = first.wait_for(method::CONNECTION_TUNE)?;
        let mut rest = Vec::new();
        client::put_tune_ok_and_open(&mut rest, &tune, url)?;
        client::put_channel_open(&mut rest, CHANNEL);
        first.stream.write_all(&rest)?;
        hello.extend([start_ok, rest].concat());
        let mut goodbye = Vec::new();
        client::put_connection_close(&mut goodbye);
        first.wait_for(method::CHANNEL_OPEN_OK)?;
        first.leave(&goodbye)?;
        let is_here = address.ip() == Ipv4Addr::LOCALHOST;
        let source = is_here.then(|| Source {
            address: Ipv4Addr::new(127, 0, 1, number),
            next_port: PORTS.start,
        });
        Ok(Visits {
            address,
            source,
            hello,
            goodbye,
        })
    }

    /// Opens so many connections with a channel each, then closes them.
    pub fn round(&mut self, count: usize) -> io::Result<()> {
        let mut visitors = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = match &mut self.source {
                Some(source) => source.connect(self.address)?,
                None => TcpStream::connect(self.address)?,
            };
            let mut visitor = Visitor::new(stream)?;
            visitor.stream.write_all(&self.hello)?;
            visitors.push(visitor);
        }
        for visitor in &mut visitors {
            visitor.wait_for(method::CHANNEL_OPEN_OK)?;
            visitor.stream.write_all(&self.goodbye)?;
        }
        for visitor in &mut visitors {
            visitor.wait_for(method::CONNECTION_CLOSE_OK)?;
        }
        Ok(())
    }
}

impl Source {
    fn connect(&mut self, to: SocketAddr) -> io::Result<TcpStream> {
        loop {
            let socket = rustix::net::socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )?;
            // The port may have been used a while ago.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            let from = SocketAddrV4::new(self.address, self.next_port);
            self.next_port = match self.next_port + 1 {
                next if next < PORTS.end => next,
                _ => PORTS.start,
            };
            match rustix::net::bind(&socket, &from)
                .and_then(|()| rustix::net::connect(&socket, &to))
            {
                Ok(()) => return Ok(TcpStream::from(socket)),
                // Somebody else has that port, or had it a moment ago.
                Err(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Visitor {
    fn new(stream: TcpStream) -> io::Result<Visitor> {
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Visitor {
            stream,
            input: Vec::new(),
        })
    }

    /// Reads up to that method; what comes before it only says that all is well.
    fn wait_for(&mut self, wanted: MethodId) -> io::Result<client::Reply> {
        loop {
            let reply = client::read_reply(&mut self.stream, &mut self.input)?;
            match reply.frame().method_id() {
                Some(id) if id == wanted => return Ok(reply),
                Some(method::CONNECTION_CLOSE | method::CHANNEL_CLOSE) => {
                    return Err(client::unexpected(&reply.frame()));
                }
                _ => {}
            }
        }
    }

    fn leave(&mut self, goodbye: &[u8]) -> io::Result<()> {
        self.stream.write_all(goodbye)?;
        self.wait_for(method::CONNECTION_CLOSE_OK).map(drop)
    }
}
