//! The layer below a WebSocket: TCP, or TLS on TCP, read and written without waiting. What can't be done at once is
//! [`io::ErrorKind::WouldBlock`]; when it can be, [`Transport::poll_readable`] and [`Transport::poll_writable`] tell.

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::rustls::{self, ServerConnection};

use crate::http::tls::Stream;

/// The bytes of one connection.
pub(in crate::live) enum Transport {
    Plain(TcpStream),
    Tls(TcpStream, Box<ServerConnection>),
}

impl From<Stream> for Transport {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Left(stream) => Self::Plain(stream),
            Stream::Right(stream) => {
                let (stream, session) = stream.into_inner();
                Self::Tls(stream, Box::new(session))
            }
        }
    }
}

impl Transport {
    /// The socket's options.
    pub(in crate::live) fn options(&self) -> SockRef<'_> {
        SockRef::from(self.stream())
    }

    /// Polls for something to read; ready when there may be some.
    pub(in crate::live) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Its own messages may be waiting to go out.
        if let Self::Tls(stream, session) = self
            && session.wants_write()
            && let Poll::Ready(ready) = stream.poll_write_ready(context)
        {
            return Poll::Ready(ready);
        }
        self.stream().poll_read_ready(context)
    }

    /// Polls for room to write; ready when there may be some.
    pub(in crate::live) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_write_ready(context)
    }

    /// Ends the connection's writing side; waits until the other side has gone.
    pub(in crate::live) async fn shutdown(&mut self) -> io::Result<()> {
        if let Self::Tls(_, session) = self {
            session.send_close_notify();
            // What does not fit now is not waited for.
            let _ = self.flush();
        }
        let (Self::Plain(stream) | Self::Tls(stream, _)) = self;
        stream.shutdown().await?;
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        Ok(())
    }

    fn stream(&self) -> &TcpStream {
        let (Self::Plain(stream) | Self::Tls(stream, _)) = self;
        stream
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read(buffer),
            Self::Tls(stream, session) => {
                rustls::Stream::new(&mut **session, &mut NonBlocking(stream)).read(buffer)
            }
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            // `send` takes less than `writev`.
            Self::Plain(stream) => match slices {
                [one] => stream.try_write(one),
                several => stream.try_write_vectored(several),
            },
            Self::Tls(stream, session) => {
                match rustls::Stream::new(&mut **session, &mut NonBlocking(stream)).write_vectored(slices)? {
                    // What it keeps encrypted is at its limit.
                    0 => Err(ErrorKind::WouldBlock.into()),
                    taken => Ok(taken),
                }
            }
        }
    }

    /// Writes what is encrypted and has not gone out yet.
    fn flush(&mut self) -> io::Result<()> {
        let Self::Tls(stream, session) = self else { return Ok(()) };
        while session.wants_write() {
            session.write_tls(&mut NonBlocking(stream))?;
        }
        Ok(())
    }
}

/// The stream as rustls wants it.
struct NonBlocking<'a>(&'a TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for NonBlocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
