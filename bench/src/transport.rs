//! The byte stream under a connection.
//!
//! In comes a broker's URL; out comes something blocking to read and write, plain or encrypted.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustix::net::sockopt;

use crate::tls::{self, TlsStream};
use crate::url::BrokerUrl;

/// A blocking stream to a broker.
#[derive(Debug)]
pub enum Transport {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

impl Transport {
    /// Connects, without delaying small writes.
    pub fn connect(url: &BrokerUrl) -> io::Result<Transport> {
        let socket = TcpStream::connect((url.host.as_str(), url.port))?;
        socket.set_nodelay(true)?;
        if let Some(bytes) = url.socket_buffer_bytes {
            sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
            sockopt::set_socket_send_buffer_size(&socket, bytes)?;
        }
        if url.tls {
            return Ok(Transport::Tls(Box::new(tls::wrap(socket, url)?)));
        }
        Ok(Transport::Plain(socket))
    }

    /// The socket, to set options on it or to shut it down from another thread.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref(),
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read(buffer),
            Transport::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.write(bytes),
            Transport::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.flush(),
            Transport::Tls(stream) => stream.flush(),
        }
    }
}
