//! The load generator: closed loop, keep-alive connections, prebuilt requests, one thread.
//!
//! It does as little as possible per request, because it shares the cores with what it measures;
//! its cost is the same for a row and its reference. Any answer but the expected one fails the
//! run: a fast error is no result.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use domain::Buyer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use web::Tokens;

use crate::config::Config;

/// How a measurement is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub connections: usize,
    pub time: Duration,
    /// False skips the reference's turns.
    pub reference: bool,
}

/// Tokens of distinct buyers, used in turn.
#[derive(Clone)]
pub(crate) struct Buyers {
    tokens: Arc<Vec<String>>,
    next: Arc<AtomicU64>,
    /// Goes into the keys: a buyer's key belongs to one order over all offers.
    run: u64,
}

impl Buyers {
    pub(crate) fn mint(config: &Config, n: usize) -> Result<Self> {
        let clock = runtime::clock::system_clock();
        let tokens = Tokens::new(&config.gate.auth, &config.gate.admin_token, clock)
            .map_err(anyhow::Error::msg)?;
        let mint = |i: usize| {
            let buyer: Buyer = format!("b{i}").parse()?;
            tokens.mint_buyer(&buyer, 86_400).context("auth.hs256_secret")
        };
        let tokens = (0..n).map(mint).collect::<Result<Vec<_>>>()?;
        Ok(Self { tokens: Arc::new(tokens), next: Arc::default(), run: 0 })
    }

    /// The same ones once more, of whom none is used up for the others.
    pub(crate) fn again(&self) -> Self {
        Self { next: Arc::default(), ..self.clone() }
    }

    /// The first `n` of them: a crowd that comes back again and again.
    pub(crate) fn only(&self, n: usize) -> Self {
        let tokens = self.tokens.iter().take(n).cloned().collect();
        Self { tokens: Arc::new(tokens), next: Arc::default(), run: 0 }
    }
}

/// What one measurement gave.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    /// Requests per second answered as expected.
    pub rate: f64,
    /// Processor time of this process without the load generator, microseconds per request.
    pub cpu_us: f64,
}

/// A server with those who come to it.
#[derive(Clone)]
pub(crate) struct Subject {
    pub address: SocketAddr,
    /// What is bought, in turn.
    pub offers: Arc<Vec<String>>,
    pub buyers: Buyers,
    /// The status of every answer.
    pub expect: u16,
}

/// Value and reference in turns, so that a noisy neighbour, more data and warmer servers meet both.
/// `settle` waits until what a turn left behind is done: it must not be paid for by the next one.
pub(crate) async fn in_turns(
    plan: &Plan,
    value: &Subject,
    reference: &Subject,
    settle: impl AsyncFn() -> Result<()>,
) -> Result<(Measured, Measured)> {
    let turn = Plan { time: plan.time / TURNS, ..*plan };
    let mut both = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        both.0.push(run(value, &turn).await?);
        settle().await?;
        if plan.reference {
            both.1.push(run(reference, &turn).await?);
            settle().await?;
        }
    }
    Ok((median(both.0), median(both.1)))
}

/// Orders that nobody measures: a broker that has just started compiles itself while it works.
pub(crate) async fn warm_up(plan: &Plan, subject: &Subject) -> Result<()> {
    run(subject, plan).await.map(drop)
}

/// Turns of a measurement.
const TURNS: u32 = 5;

fn median(mut all: Vec<Measured>) -> Measured {
    all.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// Processor seconds of a `/proc/.../stat`: user and system, in ticks of 10 ms.
fn cpu_seconds(stat: &str) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    let fields: Vec<f64> = text
        .rsplit(") ")
        .next()
        .map(|rest| rest.split(' ').map(|f| f.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    fields.iter().skip(11).take(2).sum::<f64>() / 100.0
}

/// One measurement.
pub(crate) async fn run(subject: &Subject, plan: &Plan) -> Result<Measured> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let (connections, time) = (plan.connections, plan.time);
    let mut subject = subject.clone();
    subject.buyers.run = run;
    // Its own thread and runtime: the server's scheduler must not run the client's tasks.
    let client = move || -> Result<Measured> {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        rt.block_on(async move {
            let warm = time / 5;
            crowd(connections, warm, &subject).await?;
            let began = Instant::now();
            let cpu = || cpu_seconds("/proc/self/stat") - cpu_seconds("/proc/thread-self/stat");
            let before = cpu();
            let answered = crowd(connections, time, &subject).await? as f64;
            let cpu_us = (cpu() - before) * 1e6 / answered.max(1.0);
            Ok(Measured { rate: answered / began.elapsed().as_secs_f64(), cpu_us })
        })
    };
    tokio::task::spawn_blocking(client).await?
}

/// Orders per second over the whole time until `settle` says that the last one is stored, too: an
/// accept rate that the writer does not follow is only a longer queue.
pub(crate) async fn sustained(
    plan: &Plan,
    subject: &Subject,
    settle: impl AsyncFn() -> Result<()>,
) -> Result<f64> {
    let (subject, connections, time) = (subject.clone(), plan.connections, plan.time);
    let began = Instant::now();
    let client = move || -> Result<u64> {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        rt.block_on(crowd(connections, time, &subject))
    };
    let orders = tokio::task::spawn_blocking(client).await??;
    let accepted = began.elapsed();
    settle().await?;
    let (accepted, stored) = (accepted.as_secs_f64(), began.elapsed().as_secs_f64());
    eprintln!("sustained: {orders} orders accepted in {accepted:.1} s, stored in {stored:.1} s");
    Ok(orders as f64 / stored)
}

async fn crowd(connections: usize, time: Duration, subject: &Subject) -> Result<u64> {
    let until = Instant::now() + time;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..connections {
        all.spawn(connection(until, subject.clone()));
    }
    let mut sum = 0;
    while let Some(one) = all.join_next().await {
        sum += one??;
    }
    Ok(sum)
}

async fn connection(until: Instant, subject: Subject) -> Result<u64> {
    let Subject { address, offers, buyers, expect } = subject;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0u8; 16 * 1024];
    let mut done = 0;
    while Instant::now() < until {
        let n = buyers.next.fetch_add(1, Ordering::Relaxed) as usize;
        let token = &buyers.tokens[n % buyers.tokens.len()];
        let offer = &offers[n % offers.len()];
        let run = buyers.run;
        let request = format!(
            "POST /v1/offers/{offer}/orders HTTP/1.1\r\nhost: bench\r\n\
             authorization: Bearer {token}\r\nidempotency-key: k{run}-{n}\r\n\
             content-type: application/json\r\ncontent-length: 14\r\n\r\n{{\"quantity\":1}}"
        );
        stream.write_all(request.as_bytes()).await?;
        let status = answer(&mut stream, &mut buffer).await?;
        if status != expect {
            bail!(
                "answer {status}, expected {expect}: {}",
                String::from_utf8_lossy(&buffer[..400])
            );
        }
        done += 1;
    }
    Ok(done)
}

/// Sends all of these, each once, and reads its 200; seconds.
pub(crate) async fn all(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
) -> Result<f64> {
    let requests = requests.clone();
    let client = move || -> Result<f64> {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        rt.block_on(async move {
            let (next, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..connections {
                all.spawn(sender(address, requests.clone(), next.clone()));
            }
            while let Some(one) = all.join_next().await {
                one??;
            }
            Ok(began.elapsed().as_secs_f64())
        })
    };
    tokio::task::spawn_blocking(client).await?
}

async fn sender(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicU64>,
) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0u8; 16 * 1024];
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
        stream.write_all(request).await?;
        let status = answer(&mut stream, &mut buffer).await?;
        ensure!(status == 200, "answer {status}: {}", String::from_utf8_lossy(&buffer[..400]));
    }
    Ok(())
}

/// Reads one answer with a Content-Length; its status.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<u16> {
    let mut have = 0;
    loop {
        let n = stream.read(&mut buffer[have..]).await?;
        ensure!(n > 0, "the server closed the connection");
        have += n;
        let Some(head) = find(&buffer[..have], b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head])?;
        let length = text.lines().find_map(|l| {
            let (name, value) = l.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        let length = length.context("an answer without Content-Length")?;
        if have >= head + 4 + length {
            return text.get(9..12).context("status")?.parse().context("status");
        }
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}
