//! Listening: accept, connection bounds, protocol by preface, graceful end.
//!
//! HTTP/2 is recognised by its preface, so a client that sends half of one waits under the same
//! deadline as one that sends half a head. hyper's own timeouts need its timer, which is set. A
//! trusted proxy has no share of the connections of its own: behind it is everybody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use runtime::config::GateConfig;
use runtime::{Phase, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::admission::prefix;
use crate::alarm::Alarm;
use crate::client::is_trusted;
use crate::front;
use crate::http;
use crate::metrics;
use crate::proxied;
use crate::state::Gate;
use crate::stream::Conn;

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

/// Open connections, in all and per address.
#[derive(Default)]
struct Open {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// The buyers' listener.
pub struct GateListener {
    gate: Arc<Gate>,
    listener: TcpListener,
    open: Arc<Mutex<Open>>,
}

/// Counts one connection while it lives.
struct Counted {
    gate: Arc<Gate>,
    open: Arc<Mutex<Open>>,
    /// The address whose share it has; none yet, or never, for one of a proxy.
    share: Option<IpAddr>,
}

impl Counted {
    /// Takes a place, and one of the address's; `Err` is the bound that is reached.
    fn new(
        gate: &Arc<Gate>,
        open: &Arc<Mutex<Open>>,
        ip: Option<IpAddr>,
    ) -> Result<Self, &'static str> {
        {
            let mut open = open.lock();
            if open.all >= gate.cfg.max_connections {
                return Err("all");
            }
            open.all += 1;
        }
        gate.connections.fetch_add(1, Ordering::Relaxed);
        metrics::connections(1.0);
        let mut counted = Self { gate: gate.clone(), open: open.clone(), share: None };
        match ip {
            Some(ip) => counted.take_share(ip).map(|()| counted),
            None => Ok(counted),
        }
    }

    /// Takes one of an address's places.
    fn take_share(&mut self, ip: IpAddr) -> Result<(), &'static str> {
        let ip = prefix(ip);
        let mut open = self.open.lock();
        let of_ip = open.by_ip.entry(ip).or_default();
        if *of_ip >= self.gate.cfg.max_connections_per_ip {
            return Err("ip");
        }
        *of_ip += 1;
        self.share = Some(ip);
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::connections(-1.0);
        self.gate.connections.fetch_sub(1, Ordering::Relaxed);
        let mut open = self.open.lock();
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

impl GateListener {
    /// Over a bound socket.
    pub fn new(gate: Arc<Gate>, listener: TcpListener) -> Self {
        Self { gate, listener, open: Arc::default() }
    }

    /// Accepts until `StopAccept`; connections end by themselves.
    pub fn spawn(self) {
        let tasks = self.gate.tasks.clone();
        let me = Arc::new(self);
        tasks.clone().spawn_loop("gate listener", move || {
            let (me, tasks) = (me.clone(), tasks.clone());
            async move { me.accept(&tasks).await }
        });
    }

    async fn accept(&self, tasks: &Tasks) {
        while let Some(accepted) = tasks.unless(Phase::StopAccept, self.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, tasks),
                Err(e) => {
                    // Usually out of file handles: let some connections end first.
                    tracing::warn!(error = %e, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, tasks: &Tasks) {
        let ip = peer.ip().to_canonical();
        let trusted = is_trusted(&self.gate.cfg.trusted_proxies, ip);
        let counted = match Counted::new(&self.gate, &self.open, (!trusted).then_some(ip)) {
            Ok(counted) => counted,
            Err(bound) => return metrics::connection_refused(bound),
        };
        let gate = self.gate.clone();
        tasks.spawn_replaceable("connection", async move {
            let _ = stream.set_nodelay(true);
            let (mut counted, mut stream) = (counted, stream);
            let until = Instant::now() + Duration::from_millis(gate.cfg.header_timeout_ms);
            let mut from = ip;
            if trusted && gate.cfg.proxy_protocol {
                let Some(source) = proxied::source(&mut stream, ip, until).await else {
                    return metrics::connection_refused("proxy");
                };
                let named = !is_trusted(&gate.cfg.trusted_proxies, source);
                if named && let Err(bound) = counted.take_share(source) {
                    return metrics::connection_refused(bound);
                }
                from = source;
            }
            connection(gate, stream, from, until).await;
        });
    }
}

async fn connection(gate: Arc<Gate>, stream: TcpStream, ip: IpAddr, until: Instant) {
    let Some(h2) = is_h2(&stream, until).await else { return };
    let tasks = gate.tasks.clone();
    let cfg = gate.cfg.clone();
    let mut conn = Conn::new(stream, &cfg, &tasks);
    if h2 {
        conn.follow_frames();
    } else {
        // Purchases first; from something else on the connection is hyper's.
        match front::serve(&gate, ip, &mut conn).await {
            Some(rest) => conn.read = rest,
            None => return,
        }
    }
    let service = service_fn(move |request| {
        let answer = http::received(gate.clone(), ip, request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    if h2 {
        let conn = h2_builder(&cfg).serve_connection(TokioIo::new(conn), service);
        return run(conn, &tasks, |c| c.graceful_shutdown()).await;
    }
    let conn = h1_builder(&cfg).serve_connection(TokioIo::new(conn), service);
    run(conn, &tasks, |c| c.graceful_shutdown()).await;
}

/// Runs a connection to its end; from `StopAccept` on it only finishes what it has begun.
async fn run<C: Future>(conn: C, tasks: &Tasks, stop: fn(Pin<&mut C>)) {
    let mut conn = pin!(conn);
    let mut watch = tasks.watch(Phase::StopAccept);
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

fn h1_builder(cfg: &GateConfig) -> hyper::server::conn::http1::Builder {
    let timeout = Duration::from_millis(cfg.header_timeout_ms);
    let mut b = hyper::server::conn::http1::Builder::new();
    // Answers are small: one buffer and one plain write cost less than two and a vectored one.
    b.timer(Alarm::new(timeout))
        .header_read_timeout(timeout)
        .writev(false)
        .max_buf_size(H1_BUFFER)
        .max_headers(64)
        // A client may say that it has nothing more to send and wait for its answers.
        .half_close(true);
    b
}

fn h2_builder(cfg: &GateConfig) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut b = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    b.timer(TokioTimer::new())
        .max_concurrent_streams(cfg.max_streams)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_header_list_size(H2_HEADERS)
        .max_pending_accept_reset_streams(cfg.max_streams as usize)
        .keep_alive_interval(Duration::from_millis(cfg.idle_timeout_ms.max(1000) / 2))
        .keep_alive_timeout(Duration::from_millis(cfg.header_timeout_ms));
    b
}

/// Looks at the first bytes; `None` when they did not come in time or the client left.
async fn is_h2(stream: &TcpStream, until: Instant) -> Option<bool> {
    let mut first = [0u8; 24];
    loop {
        let n = tokio::time::timeout_at(until, stream.peek(&mut first)).await.ok()?.ok()?;
        if n == 0 {
            return None;
        }
        if first[..n] != PREFACE[..n] {
            return Some(false);
        }
        if n == PREFACE.len() {
            return Some(true);
        }
        // A part of the preface: peek would answer at once with the same bytes.
        tokio::time::timeout_at(until, tokio::time::sleep(Duration::from_millis(5))).await.ok()?;
    }
}
