//! What did the transport do under a request, and when?
//!
//! The HTTP library is told nothing new, but it reads and writes through a [`Wire`], which notes
//! the instants at which the request had been handed to the kernel and its answer's first byte
//! came, and how the transport ended: by errno or by an orderly close, never by text. Directly
//! before the first byte of a request goes out on a kept connection it asks the kernel whether the
//! peer's close has arrived; if so nothing is sent.

use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How a transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer closed in good order.
    Closed,
    /// The kernel gave an errno.
    Errno(i32),
    /// TLS found the peer's bytes invalid, or something else without an errno.
    Invalid,
}

/// What has been seen since the request began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Bytes of the request that the kernel took.
    pub(super) bytes_out: u64,
    /// When it took the last of them so far.
    pub(super) written: Option<Instant>,
    /// All that was to be written was taken.
    pub(super) flushed: bool,
    /// When the first byte of the answer came.
    pub(super) first_byte: Option<Instant>,
    /// How the transport ended.
    pub(super) end: Option<End>,
    /// The peer's close (or bytes that nobody had asked for) had arrived before anything was sent.
    pub(super) closed_before: bool,
    /// Look for the peer's close before the first byte goes out.
    look_first: bool,
}

/// Shared between a connection and whoever judges it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight(Arc<Mutex<Seen>>);

impl Sight {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins; `kept`: on a connection that had been idle.
    pub(super) fn begin(&self, kept: bool) {
        *self.seen() = Seen {
            look_first: kept,
            ..Seen::default()
        };
    }

    pub(super) fn get(&self) -> Seen {
        *self.seen()
    }
}

impl Seen {
    /// All of a request with a body of `body` bytes was handed to the kernel.
    pub(super) fn sent_whole(&self, body: usize) -> bool {
        self.flushed && self.bytes_out > body as u64
    }

    /// Nothing of the request had gone out, and the connection was found dead: it was not used.
    pub(super) fn unused(&self) -> bool {
        self.closed_before || (self.look_first && self.bytes_out == 0)
    }
}

/// A connection's bytes.
#[derive(Debug)]
pub(super) enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What the kernel knows of an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// Nothing has arrived.
    Fresh,
    /// The peer's close has arrived, or what else makes it unusable.
    Spent,
    /// Bytes have arrived that only TLS can tell: a session ticket, or its close.
    Unread,
}

impl Stream {
    fn idle(&self) -> Idle {
        let (tcp, unasked) = match self {
            Self::Plain(tcp) => (tcp, Idle::Spent),
            Self::Tls(tls) => (tls.get_ref().0, Idle::Unread),
        };
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(tcp).peek(&mut byte) {
            Ok(0) => Idle::Spent,
            Ok(_) => unasked,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Idle::Fresh,
                _ => Idle::Spent,
            },
        }
    }
}

/// A stream whose reads and writes are noted.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    sight: Sight,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> (Self, Sight) {
        let sight = Sight::default();
        let wire = Self {
            stream,
            sight: sight.clone(),
        };
        (wire, sight)
    }
}

fn end_of(error: &io::Error) -> End {
    match (error.raw_os_error(), error.kind()) {
        (Some(errno), _) => End::Errno(errno),
        // TLS reports a close without its farewell so.
        (None, io::ErrorKind::UnexpectedEof) => End::Closed,
        (None, _) => End::Invalid,
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                let mut seen = self.sight.seen();
                if seen.first_byte.is_none() {
                    seen.first_byte = Some(Instant::now());
                }
            }
            Poll::Ready(Ok(())) if room == 0 => {}
            Poll::Ready(Ok(())) => {
                self.sight.seen().end.get_or_insert(End::Closed);
            }
            Poll::Ready(Err(error)) => {
                self.sight.seen().end.get_or_insert(end_of(error));
            }
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut seen = this.sight.seen();
        if seen.look_first {
            match this.stream.idle() {
                Idle::Fresh => seen.look_first = false,
                Idle::Spent => {
                    seen.closed_before = true;
                    return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                }
                Idle::Unread => {
                    // The library reads before it writes: once the runtime has heard of these
                    // bytes they are read, and the next look finds them gone.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Ok(count)) => {
                seen.bytes_out += *count as u64;
                seen.written = Some(Instant::now());
                seen.flushed = false;
            }
            Poll::Ready(Err(error)) => {
                seen.end.get_or_insert(end_of(error));
            }
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        let mut seen = this.sight.seen();
        match &polled {
            Poll::Pending => {}
            // The library flushes only when it has nothing left to write.
            Poll::Ready(Ok(())) => seen.flushed = seen.bytes_out > 0,
            Poll::Ready(Err(error)) => {
                seen.end.get_or_insert(end_of(error));
            }
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
