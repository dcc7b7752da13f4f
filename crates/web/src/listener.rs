//! One listener for all: accept, bounds, whose connection it is, protocol by preface, graceful end.
//!
//! Nothing above the accept itself knows what a connection runs over. HTTP/2 is recognised by its
//! preface, so a client that sends half of one waits under the same deadline as one that sends half
//! a head. hyper's own timeouts need its timer, which is set. A trusted proxy has no share of the
//! connections of its own: behind it is everybody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use contract::Problem;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use runtime::{Phase, Tasks};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::answer::Reply;
use crate::bounds::Bounds;
use crate::client::{is_trusted, prefix};
use crate::message::{self, Whole};
use crate::proxied;
use crate::stream::{Conn, Io};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// h1 buffer: a head may have 16 KiB; the rest is room for the start of a body.
const H1_BUFFER: usize = 24 * 1024;
const H2_HEADERS: u32 = 16 * 1024;
/// What the system keeps for a client that does not read; by itself it would take megabytes of
/// answers, each of which somebody worked for, before it says that nobody reads them.
const SEND_BUFFER: usize = 64 * 1024;

/// Binds an address; the error names it.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let explain = |e: io::Error| io::Error::new(e.kind(), format!("{address}: {e}"));
    let address: SocketAddr =
        address.parse().map_err(|_| explain(io::Error::other("not an ip:port")))?;
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&address.into()).map_err(explain)?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// There are as many connections as the listener may have.
    All,
    /// There are as many of its address.
    Ip,
    /// A trusted proxy did not say for whom it speaks.
    Proxy,
}

impl Bound {
    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Bound::All => "all",
            Bound::Ip => "ip",
            Bound::Proxy => "proxy",
        }
    }
}

/// Who answers what comes over a listener.
pub trait Service: Send + Sync + 'static {
    /// A connection has come (1) or gone (-1).
    fn connections(&self, _change: i64) {}
    /// A connection was refused.
    fn refused(&self, _bound: Bound) {}
    /// Serves an HTTP/1.1 connection before the library sees it. True when it goes on there, with
    /// [`Conn::ahead`] first.
    fn first(&self, _from: IpAddr, _conn: &mut Conn) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }
    /// Answers a message.
    fn answer(
        self: Arc<Self>,
        from: IpAddr,
        request: Request<Whole<Incoming>>,
    ) -> impl Future<Output = Reply> + Send;
    /// Answers what is no message; its connection ends with that.
    fn malformed(&self, problem: Problem) -> Reply;
}

/// Open connections, in all and per address.
#[derive(Default)]
struct Open {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// A listener with who answers.
pub struct Listener<S> {
    service: Arc<S>,
    bounds: Arc<Bounds>,
    open: Arc<Mutex<Open>>,
    tasks: Tasks,
}

impl<S> Clone for Listener<S> {
    fn clone(&self) -> Self {
        let (service, bounds) = (self.service.clone(), self.bounds.clone());
        Self { service, bounds, open: self.open.clone(), tasks: self.tasks.clone() }
    }
}

/// Counts one connection while it lives.
struct Counted<S: Service> {
    of: Listener<S>,
    /// The address whose share it has; none yet, or never, for one of a proxy.
    share: Option<IpAddr>,
}

impl<S: Service> Counted<S> {
    /// Takes a place, and one of the address's; `Err` is the bound that is reached.
    fn new(of: &Listener<S>, ip: Option<IpAddr>) -> Result<Self, Bound> {
        {
            let mut open = of.open.lock();
            if open.all >= of.bounds.max_connections {
                return Err(Bound::All);
            }
            open.all += 1;
        }
        of.service.connections(1);
        let mut counted = Self { of: of.clone(), share: None };
        match ip {
            Some(ip) => counted.take_share(ip).map(|()| counted),
            None => Ok(counted),
        }
    }

    /// Takes one of an address's places.
    fn take_share(&mut self, ip: IpAddr) -> Result<(), Bound> {
        let ip = prefix(ip);
        let mut open = self.of.open.lock();
        let of_ip = open.by_ip.entry(ip).or_default();
        if *of_ip >= self.of.bounds.max_connections_per_ip {
            return Err(Bound::Ip);
        }
        *of_ip += 1;
        self.share = Some(ip);
        Ok(())
    }
}

impl<S: Service> Drop for Counted<S> {
    fn drop(&mut self) {
        self.of.service.connections(-1);
        let mut open = self.of.open.lock();
        open.all -= 1;
        let Some(ip) = self.share else { return };
        if let Some(n) = open.by_ip.get_mut(&ip) {
            *n -= 1;
            if *n == 0 {
                open.by_ip.remove(&ip);
            }
        }
    }
}

impl<S: Service> Listener<S> {
    /// Accepts from a bound socket until [`Bounds::until`]; connections end by themselves.
    pub fn spawn(
        name: &'static str,
        listener: TcpListener,
        bounds: Bounds,
        service: Arc<S>,
        tasks: &Tasks,
    ) {
        let (bounds, open) = (Arc::new(bounds), Arc::default());
        let me = Self { service, bounds, open, tasks: tasks.clone() };
        let listener = Arc::new(listener);
        tasks.spawn_loop(name, move || {
            let (me, listener) = (me.clone(), listener.clone());
            async move { me.accept(&listener).await }
        });
    }

    async fn accept(&self, listener: &TcpListener) {
        while let Some(accepted) = self.tasks.unless(self.bounds.until, listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    self.admit(Box::new(stream), peer.ip().to_canonical());
                }
                Err(e) => {
                    // Usually out of file handles: let some connections end first.
                    tracing::warn!(error = %e, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Serves a connection, if there is room for it.
    fn admit(&self, io: Box<dyn Io>, ip: IpAddr) {
        let trusted = is_trusted(&self.bounds.trusted_proxies, ip);
        let mut counted = match Counted::new(self, (!trusted).then_some(ip)) {
            Ok(counted) => counted,
            Err(bound) => return self.service.refused(bound),
        };
        let me = self.clone();
        self.tasks.spawn_replaceable("connection", async move {
            let until = Instant::now() + me.bounds.header_timeout;
            let mut conn = Conn::new(io, &me.bounds, &me.tasks);
            let mut from = ip;
            if trusted && me.bounds.proxy_protocol {
                let Some(source) = proxied::source(&mut conn, ip, until).await else {
                    return me.service.refused(Bound::Proxy);
                };
                let named = !is_trusted(&me.bounds.trusted_proxies, source);
                if named && let Err(bound) = counted.take_share(source) {
                    return me.service.refused(bound);
                }
                from = source;
            }
            me.connection(conn, from, until).await;
        });
    }

    async fn connection(self, mut conn: Conn, ip: IpAddr, until: Instant) {
        let Some(h2) = is_h2(&mut conn, until).await else { return };
        if h2 {
            conn.follow_frames();
        } else if !self.service.first(ip, &mut conn).await {
            return;
        }
        let (service, bounds, tasks) = (self.service, self.bounds, self.tasks);
        let service = service_fn(move |request| {
            let answer = received(service.clone(), ip, request, h2);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        if h2 {
            let conn = h2_builder(&bounds).serve_connection(TokioIo::new(conn), service);
            return run(conn, &tasks, bounds.until, |c| c.graceful_shutdown()).await;
        }
        let conn = h1_builder(&bounds).serve_connection(TokioIo::new(conn), service);
        run(conn, &tasks, bounds.until, |c| c.graceful_shutdown()).await;
    }
}

/// Answers what came over a connection, if it is a message at all.
async fn received<S: Service>(
    service: Arc<S>,
    from: IpAddr,
    request: Request<Incoming>,
    h2: bool,
) -> Reply {
    let mut reply = match message::check(&request) {
        Ok(()) => {
            let version = request.version();
            service.answer(from, request.map(|body| Whole { body, version })).await
        }
        Err(problem) => service.malformed(problem),
    };
    if h2 {
        reply.headers_mut().remove(CONNECTION);
    }
    reply
}

/// Runs a connection to its end; from a phase on it only finishes what it has begun.
async fn run<C: Future>(conn: C, tasks: &Tasks, until: Phase, stop: fn(Pin<&mut C>)) {
    let mut conn = pin!(conn);
    let mut watch = tasks.watch(until);
    let mut stopping = false;
    poll_fn(|cx| {
        if !stopping && watch.is_reached(cx) {
            stopping = true;
            stop(conn.as_mut());
        }
        conn.as_mut().poll(cx).map(drop)
    })
    .await;
}

fn h1_builder(bounds: &Bounds) -> hyper::server::conn::http1::Builder {
    let mut b = hyper::server::conn::http1::Builder::new();
    // Answers are small: one buffer and one plain write cost less than two and a vectored one.
    b.timer(Alarm::new(bounds.header_timeout))
        .header_read_timeout(bounds.header_timeout)
        .writev(false)
        .max_buf_size(H1_BUFFER)
        .max_headers(64)
        // A client may say that it has nothing more to send and wait for its answers.
        .half_close(true);
    b
}

fn h2_builder(bounds: &Bounds) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut b = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    b.timer(TokioTimer::new())
        .max_concurrent_streams(bounds.max_streams)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_header_list_size(H2_HEADERS)
        .max_pending_accept_reset_streams(bounds.max_streams as usize)
        .keep_alive_interval(bounds.idle_timeout.max(Duration::from_secs(1)) / 2)
        .keep_alive_timeout(bounds.header_timeout);
    b
}

/// Looks at the first bytes; `None` when they did not come in time or the client left.
async fn is_h2(conn: &mut Conn, until: Instant) -> Option<bool> {
    loop {
        let n = conn.ahead.len().min(PREFACE.len());
        if conn.ahead[..n] != PREFACE[..n] {
            return Some(false);
        }
        if n == PREFACE.len() {
            return Some(true);
        }
        if tokio::time::timeout_at(until, conn.look_ahead()).await.ok()?.ok()? == 0 {
            return None;
        }
    }
}
