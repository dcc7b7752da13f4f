//! Buyers that send purchases and never read an answer, over HTTP/1.1 and with a window of 0 over
//! HTTP/2. They come from an address of their own, past the proxy, and buy an offer of their own;
//! what they bought must be conserved like everybody's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bought::{Row, Sent, answers, wrong};
use crate::deployment::Deployment;

/// Of each gate and of each protocol.
const CONNECTIONS: usize = 4;
/// What there is for them.
const UNITS: u32 = 150;
/// The most purchases of one stranger.
const MOST: u32 = 2_000;
/// The most of one HTTP/2 connection: the streams that a gate lets be open.
const STREAMS: u32 = 20;
/// What a stranger takes without reading: as little as the system allows.
const RECEIVE: u32 = 1024;
/// What waits on a stranger's side for the gate to read more, so that it sends little in advance.
const SEND: u32 = 8 * 1024;
/// Where they come from.
const FROM: &str = "127.0.0.2:0";
/// How long an end is awaited, and what is left in a socket.
const SHORT: Duration = Duration::from_millis(300);
/// How long their orders may take to be decided.
const PATIENCE: Duration = Duration::from_secs(60);

/// The strangers of one schedule.
pub(crate) struct Strangers {
    offer: String,
    tokens: Vec<String>,
    stop: watch::Sender<bool>,
    crowd: Vec<JoinHandle<Sent>>,
    sent: Vec<Sent>,
}

/// One of them.
#[derive(Clone)]
struct Stranger {
    gate: SocketAddr,
    offer: String,
    token: String,
    /// What its keys begin with.
    name: String,
}

impl Deployment {
    /// Makes the offer of strangers, and their tokens.
    pub(crate) fn invite(&mut self) -> Result<()> {
        let offer = self.offer(UNITS, None)?;
        let token = |n: usize| -> Result<String> {
            let out = self.command(&["admin", "token", "--buyer", &format!("stranger-{n}")]);
            let out = { out }.output()?;
            ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
        };
        let tokens = (0..CONNECTIONS).map(token).collect::<Result<_>>()?;
        let stop = watch::Sender::new(false);
        let (crowd, sent) = (Vec::new(), Vec::new());
        self.strangers = Some(Strangers { offer, tokens, stop, crowd, sent });
        Ok(())
    }

    /// They come.
    pub(crate) fn come(&mut self, threads: &tokio::runtime::Handle) -> Result<()> {
        let gates = self.gates.clone();
        let all = self.strangers.as_mut().context("nobody was invited")?;
        for (g, gate) in gates.into_iter().enumerate() {
            for (n, token) in all.tokens.iter().enumerate() {
                for h2 in [false, true] {
                    let name = format!("{}-{g}-{n}-{h2}", all.offer);
                    let (offer, token) = (all.offer.clone(), token.clone());
                    let one = Stranger { gate, offer, token, name };
                    let stop = all.stop.subscribe();
                    all.crowd.push(threads.spawn(async move { one.live(h2, stop).await }));
                }
            }
        }
        Ok(())
    }

    /// They go, and look at last at what they were answered.
    pub(crate) fn go(&mut self, threads: &tokio::runtime::Handle) {
        let Some(all) = &mut self.strangers else { return };
        all.stop.send_replace(true);
        for one in all.crowd.drain(..) {
            all.sent.extend(threads.block_on(one).ok());
        }
        let sum = |f: fn(&Sent) -> u32| all.sent.iter().map(f).sum::<u32>();
        let told = all.sent.iter().map(|s| s.told.len()).sum::<usize>();
        eprintln!(
            "  strangers: {} purchases on {} connections, {} of which a gate ended; {told} \
             acceptances were in the sockets",
            sum(|s| s.purchases),
            sum(|s| s.connections),
            sum(|s| s.ended),
        );
    }

    /// What is wrong with what they bought, once it is decided.
    pub(crate) fn strangers_bought(&mut self) -> Result<Vec<String>> {
        let Some(all) = self.strangers.take() else { return Ok(Vec::new()) };
        let until = Instant::now() + PATIENCE;
        loop {
            let rows = self.rows_of(&all.offer)?;
            let wrong = wrong(&all.sent, &rows, UNITS);
            if wrong.is_empty() || Instant::now() > until {
                let live = rows.iter().filter(|r| r.live).count();
                eprintln!("  strangers: {live} of {UNITS} units bought");
                return Ok(wrong);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn rows_of(&self, offer: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (server, database) in &self.databases {
            let ask = format!(
                "SELECT IFNULL(idem_key, ''), status FROM {database}.orders WHERE offer = '{offer}'"
            );
            rows.extend(server.sql(&ask)?.lines().filter_map(Row::read));
        }
        Ok(rows)
    }
}

impl Stranger {
    /// Connects, sends, does not read; again when the gate ends it.
    async fn live(self, h2: bool, mut stop: watch::Receiver<bool>) -> Sent {
        let mut sent = Sent { name: self.name.clone(), ..Sent::default() };
        while !*stop.borrow() && sent.purchases < MOST {
            let Ok(mut stream) = self.connect().await else {
                let _ = tokio::time::timeout(SHORT, stop.wait_for(|s| *s)).await;
                continue;
            };
            sent.connections += 1;
            let first = sent.purchases;
            let ended = tokio::select! {
                _ = stop.wait_for(|s| *s) => false,
                () = self.send(&mut stream, h2, &mut sent) => true,
            };
            sent.ended += u32::from(ended);
            let left = left(&mut stream).await;
            if !h2 {
                sent.told.extend(answers(&left).iter().map(|n| first + n));
            }
        }
        sent
    }

    async fn connect(&self) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE)?;
        socket.set_send_buffer_size(SEND)?;
        socket.bind(FROM.parse()?)?;
        Ok(tokio::time::timeout(SHORT, socket.connect(self.gate)).await??)
    }

    /// Until the gate ends the connection.
    async fn send(&self, stream: &mut TcpStream, h2: bool, sent: &mut Sent) {
        let opening = if h2 { h2::opening() } else { Vec::new() };
        if stream.write_all(&opening).await.is_err() {
            return;
        }
        let mut here = 0;
        loop {
            let full = sent.purchases >= MOST || (h2 && here >= STREAMS);
            let bytes = if full {
                // Something that asks for nothing shows whether the connection is there.
                tokio::time::sleep(SHORT).await;
                if h2 { h2::ping() } else { b"\r\n".to_vec() }
            } else {
                let key = format!("{}-{}", self.name, sent.purchases);
                // Counted before: a part of it may arrive, and then all of it.
                sent.purchases += 1;
                here += 1;
                if h2 { h2::purchase(self, &key, 2 * here - 1) } else { self.purchase(&key) }
            };
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
            if here == 1 {
                // The first one is answered before the flood, and its answer stays in the socket.
                tokio::time::sleep(SHORT).await;
            }
        }
    }

    fn purchase(&self, key: &str) -> Vec<u8> {
        let Self { offer, token, .. } = self;
        format!(
            "POST /v1/offers/{offer}/orders HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {token}\
             \r\nidempotency-key: {key}\r\ncontent-length: 0\r\n\r\n"
        )
        .into_bytes()
    }
}

/// What lies in a socket that nobody read.
async fn left(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let until = tokio::time::Instant::now() + SHORT;
    let mut piece = [0; 4096];
    while let Ok(Ok(n @ 1..)) = tokio::time::timeout_at(until, stream.read(&mut piece)).await {
        bytes.extend_from_slice(&piece[..n]);
    }
    bytes
}

/// Frames by hand: no client library has a window of 0 and sends on.
mod h2 {
    use super::Stranger;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const END_STREAM_AND_HEADERS: u8 = 5;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend([kind, flags]);
        out.extend(stream.to_be_bytes());
        out.extend(payload);
        out
    }

    /// SETTINGS_INITIAL_WINDOW_SIZE = 0.
    pub(super) fn opening() -> Vec<u8> {
        [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()
    }

    pub(super) fn ping() -> Vec<u8> {
        frame(PING, 0, 0, &[7; 8])
    }

    /// A text of HPACK without Huffman.
    fn text(out: &mut Vec<u8>, text: &str) {
        match text.len() {
            n @ 0..127 => out.push(n as u8),
            n => {
                out.push(127);
                let mut rest = n - 127;
                while rest >= 128 {
                    out.push((rest % 128 + 128) as u8);
                    rest /= 128;
                }
                out.push(rest as u8);
            }
        }
        out.extend(text.bytes());
    }

    pub(super) fn purchase(of: &Stranger, key: &str, stream: u32) -> Vec<u8> {
        let path = format!("/v1/offers/{}/orders", of.offer);
        let bearer = format!("Bearer {}", of.token);
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", &path),
            (":authority", "gate"),
            ("authorization", &bearer),
            ("idempotency-key", key),
        ] {
            block.push(0);
            text(&mut block, name);
            text(&mut block, value);
        }
        frame(HEADERS, END_STREAM_AND_HEADERS, stream, &block)
    }
}
