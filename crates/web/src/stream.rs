//! A connection's socket with its bounds: what a client does not read is dropped in time, and what
//! it still sends when it was answered is read on within a bound before the socket is closed.
//!
//! The write deadline runs from the first byte that the socket did not take until the library has
//! nothing left to write, so a client that reads a byte now and then does not move it. Closing with
//! unread bytes would reset the connection, and the reset overtakes the answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use runtime::{Phase, Tasks, Watch};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::bounds::Bounds;
use crate::wire::Wire;

/// What a connection runs over: anything that reads and writes.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {
    /// The connection is of no use any more: what the system keeps for its client goes as well,
    /// which it would keep for minutes.
    fn give_up(&self);
}

impl Io for TcpStream {
    fn give_up(&self) {
        // Without it the system only takes longer.
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

/// What was read at once when nobody says how much.
const READ: usize = 4096;

/// Gives what was read ahead first, then what the client sends.
pub struct Conn {
    /// Read ahead, and not given to anybody yet.
    pub ahead: BytesMut,
    io: Box<dyn Io>,
    patience: WriteDeadline,
    /// Since when there are bytes that the socket does not take.
    blocked: Option<Instant>,
    wire: Option<Wire>,
    linger: Linger,
}

/// What may still come after the last answer.
struct Linger {
    time: Duration,
    bytes: usize,
    until: Option<Instant>,
}

/// How long a client may take to read.
struct WriteDeadline {
    limit: Duration,
    /// During a drain.
    drain: Duration,
    tasks: Tasks,
    stop: Option<Watch>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl WriteDeadline {
    /// True when the time is up that began at `since`; otherwise the task is woken when it is.
    fn is_over(&mut self, since: Instant, cx: &mut Context<'_>) -> bool {
        let tasks = &self.tasks;
        let stop = self.stop.get_or_insert_with(|| tasks.watch(Phase::StopAccept));
        let limit = if stop.is_reached(cx) { self.drain.min(self.limit) } else { self.limit };
        self.is_past(since + limit, cx)
    }

    fn is_past(&mut self, until: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl Conn {
    /// Over a connection that nobody has read from.
    pub fn new(io: Box<dyn Io>, bounds: &Bounds, tasks: &Tasks) -> Self {
        let patience = WriteDeadline {
            limit: bounds.write_timeout,
            drain: bounds.drain / 4,
            tasks: tasks.clone(),
            stop: None,
            sleep: None,
        };
        let linger = Linger { time: bounds.body_timeout, bytes: bounds.linger_bytes, until: None };
        Self { ahead: BytesMut::new(), io, patience, blocked: None, wire: None, linger }
    }

    /// Reads on into a buffer, past what was read ahead; 0 when the client has ended.
    pub async fn read_on(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        buffer.reserve(READ);
        self.io.read_buf(buffer).await
    }

    /// Reads ahead; 0 when the client has ended.
    pub async fn look_ahead(&mut self) -> io::Result<usize> {
        self.ahead.reserve(READ);
        self.io.read_buf(&mut self.ahead).await
    }

    /// From here on it is HTTP/2.
    pub fn follow_frames(&mut self) {
        self.wire = Some(Wire::new());
    }

    /// The error of a client that does not read.
    fn give_up(&self) -> io::Error {
        self.io.give_up();
        io::Error::new(io::ErrorKind::TimedOut, "the client does not read")
    }

    /// True when an answer is owed for too long.
    fn owes_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let since = self.wire.as_ref().and_then(Wire::owed_since);
        since.is_some_and(|since| self.patience.is_over(since, cx))
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let had = into.filled().len();
        let read = if self.ahead.is_empty() {
            Pin::new(&mut self.io).poll_read(cx, into)
        } else {
            let n = self.ahead.len().min(into.remaining());
            into.put_slice(&self.ahead[..n]);
            self.ahead.advance(n);
            Poll::Ready(Ok(()))
        };
        if let Some(wire) = &mut self.wire {
            wire.came(&into.filled()[had..]);
            if self.owes_too_long(cx) {
                return Poll::Ready(Err(self.give_up()));
            }
        }
        read
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, data) else {
            let since = *self.blocked.get_or_insert_with(Instant::now);
            if self.patience.is_over(since, cx) {
                return Poll::Ready(Err(self.give_up()));
            }
            return Poll::Pending;
        };
        if let (Ok(n), Some(wire)) = (&written, &mut self.wire) {
            wire.went(&data[..*n], Instant::now());
            if self.owes_too_long(cx) {
                return Poll::Ready(Err(self.give_up()));
            }
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        // Whoever flushes has given all it had.
        self.blocked = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let until = match me.linger.until {
            Some(until) => until,
            None => {
                ready!(Pin::new(&mut me.io).poll_shutdown(cx))?;
                *me.linger.until.insert(Instant::now() + me.linger.time)
            }
        };
        if me.wire.is_some() {
            return Poll::Ready(Ok(()));
        }
        let mut space = [0; 4096];
        while me.linger.bytes > 0 {
            let mut into = ReadBuf::new(&mut space);
            let read = Pin::new(&mut me.io).poll_read(cx, &mut into);
            match (read, into.filled().len()) {
                (Poll::Pending, _) if me.patience.is_past(until, cx) => break,
                (Poll::Pending, _) => return Poll::Pending,
                (Poll::Ready(Err(_)), _) | (Poll::Ready(Ok(())), 0) => break,
                (Poll::Ready(Ok(())), n) => me.linger.bytes = me.linger.bytes.saturating_sub(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}
