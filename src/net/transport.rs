//! Reading and writing a connection's socket from its task: plain, or through TLS.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_rustls::server::TlsStream;
use tokio_util::io::poll_read_buf;

use crate::connection::Outgoing;
use crate::connection::outgoing::WriteState;

/// A TLS stream gives at most a record of 16 KiB at a time: so much is gathered from several.
const TLS_READ_BYTES: usize = 128 << 10;

/// See the module.
pub(super) trait Transport: Send + 'static {
    /// Appends what there is to read, as far as there is capacity. 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>>;

    /// Writes what is pending. Ready when all of it is written; otherwise the task is woken when
    /// it is worth trying again.
    fn poll_write(&mut self, cx: &mut Context<'_>, outgoing: &Outgoing) -> Poll<io::Result<()>>;

    /// Says that no more will be sent.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether nobody is there any more to take anything, as far as it can be seen without reading.
    fn is_cut(&self) -> bool;
}

/// Only the runtime's memory of the socket's events is asked.
fn is_write_closed(socket: &TcpStream) -> bool {
    let ready = pin!(socket.ready(Interest::WRITABLE));
    let polled = ready.poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(ready)) if ready.is_write_closed())
}

/// A plain socket. Its write half is in the connection's [`Outgoing`].
pub(super) struct Plain(pub OwnedReadHalf);

impl Transport for Plain {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        poll_read_buf(Pin::new(&mut self.0), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, outgoing: &Outgoing) -> Poll<io::Result<()>> {
        let socket: &TcpStream = self.0.as_ref();
        loop {
            match outgoing.state() {
                WriteState::Empty => return Poll::Ready(Ok(())),
                WriteState::Busy => return Poll::Pending,
                WriteState::Closed => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                WriteState::Stalled => ready!(socket.poll_write_ready(cx))?,
                WriteState::Ready => {}
            }
            outgoing.write_from_owner(|slices| match slices {
                [slice] => socket.try_write(slice),
                slices => socket.try_write_vectored(slices),
            });
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket: &TcpStream = self.0.as_ref();
        Poll::Ready(socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Write))
    }

    fn is_cut(&self) -> bool {
        is_write_closed(self.0.as_ref())
    }
}

/// A socket behind TLS.
pub(super) struct Tls {
    pub stream: TlsStream<TcpStream>,
}

impl Transport for Tls {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let before_bytes = into.len();
        let until_bytes = into.capacity().min(before_bytes + TLS_READ_BYTES);
        while into.len() < until_bytes {
            // An error or the end behind what was read comes again at the next read.
            match poll_read_buf(Pin::new(&mut self.stream), cx, into) {
                Poll::Ready(Ok(read)) if read > 0 => {}
                _ if into.len() > before_bytes => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(into.len() - before_bytes))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, outgoing: &Outgoing) -> Poll<io::Result<()>> {
        let stream = &mut self.stream;
        let state = outgoing.write_from_owner(|slices| {
            let slice = slices.first().map(|slice| &**slice).unwrap_or_default();
            match Pin::new(&mut *stream).poll_write(cx, slice) {
                Poll::Ready(written) => written,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        match state {
            WriteState::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            WriteState::Stalled | WriteState::Busy => Poll::Pending,
            // What was appended meanwhile has called this task again.
            WriteState::Empty | WriteState::Ready => Pin::new(&mut self.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_cut(&self) -> bool {
        is_write_closed(self.stream.get_ref().0)
    }
}

// Both halves are used from one task only.
const _: () = {
    const fn is_unpin<T: Unpin + AsyncRead>() {}
    is_unpin::<OwnedReadHalf>();
    is_unpin::<TlsStream<TcpStream>>();
};
