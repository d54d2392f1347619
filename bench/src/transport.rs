//! The byte stream under a connection.
//!
//! In comes a broker's URL; out comes something blocking to read and write. Plain TCP only so far:
//! everything above speaks to `Transport`, so that TLS is one more variant here and nothing else.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::url::BrokerUrl;

/// A blocking stream to a broker.
#[derive(Debug)]
pub enum Transport {
    /// TCP.
    Plain(TcpStream),
}

impl Transport {
    /// Connects, without delaying small writes.
    pub fn connect(url: &BrokerUrl) -> io::Result<Transport> {
        if url.tls {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "amqps:// is not supported yet",
            ));
        }
        let stream = TcpStream::connect((url.host.as_str(), url.port))?;
        stream.set_nodelay(true)?;
        Ok(Transport::Plain(stream))
    }

    /// The socket, to set options on it or to shut it down from another thread.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Transport::Plain(stream) => stream,
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(stream) => stream.flush(),
        }
    }
}
