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
use runtime::config::GateConfig;
use runtime::{Phase, Tasks, Watch};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::wire::Wire;

/// Gives `read` first, then what the socket gives.
pub(crate) struct Conn {
    pub read: BytesMut,
    pub stream: TcpStream,
    patience: Patience,
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
struct Patience {
    limit: Duration,
    /// During a drain.
    drain: Duration,
    tasks: Tasks,
    stop: Option<Watch>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
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
    pub fn new(stream: TcpStream, cfg: &GateConfig, tasks: &Tasks) -> Self {
        let patience = Patience {
            limit: Duration::from_millis(cfg.write_timeout_ms),
            drain: Duration::from_millis(cfg.drain_ms / 4),
            tasks: tasks.clone(),
            stop: None,
            sleep: None,
        };
        let time = Duration::from_millis(cfg.body_timeout_ms);
        let linger = Linger { time, bytes: cfg.linger_bytes, until: None };
        Self { read: BytesMut::new(), stream, patience, blocked: None, wire: None, linger }
    }

    /// From here on it is HTTP/2.
    pub fn follow_frames(&mut self) {
        self.wire = Some(Wire::new());
    }

    /// The error of a client that does not read. What the socket has of it goes as well: the
    /// system would keep it for minutes.
    fn give_up(&self) -> io::Error {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
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
        if !self.read.is_empty() {
            let n = self.read.len().min(into.remaining());
            into.put_slice(&self.read[..n]);
            self.read.advance(n);
            return Poll::Ready(Ok(()));
        }
        let had = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
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
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, data) else {
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
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // Whoever flushes has given all it had.
        self.blocked = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let until = match me.linger.until {
            Some(until) => until,
            None => {
                ready!(Pin::new(&mut me.stream).poll_shutdown(cx))?;
                *me.linger.until.insert(Instant::now() + me.linger.time)
            }
        };
        if me.wire.is_some() {
            return Poll::Ready(Ok(()));
        }
        let mut space = [0; 4096];
        while me.linger.bytes > 0 {
            let mut into = ReadBuf::new(&mut space);
            let read = Pin::new(&mut me.stream).poll_read(cx, &mut into);
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
