//! Limits of admission: global through governor, and a fixed array of GCRA cells for keys.
//!
//! The array is bounded memory whatever the number of distinct keys; two keys that share a cell
//! only make each other's limit stricter. A refusal carries the `RateLimit` headers.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::Reason;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use hyper::header::HeaderName;
use runtime::config::{LimitConfig, LimitsConfig};
use tokio::time::Instant;

use crate::answer::Problem;

/// Cells per dimension: 512 KiB each.
const CELLS: usize = 65_536;

struct Keyed {
    name: &'static str,
    per_second: u32,
    burst: u32,
    /// Nanoseconds between two requests at the sustained rate.
    interval: u64,
    began: Instant,
    hasher: RandomState,
    /// Theoretical arrival times, nanoseconds since `began`.
    cells: Box<[AtomicU64]>,
}

impl Keyed {
    fn new(name: &'static str, cfg: LimitConfig) -> Option<Self> {
        let per_second = NonZeroU32::new(cfg.per_second)?.get();
        Some(Self {
            name,
            per_second,
            burst: if cfg.burst == 0 { per_second } else { cfg.burst },
            interval: 1_000_000_000 / u64::from(per_second),
            began: Instant::now(),
            hasher: RandomState::new(),
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// GCRA: `Err` is how long to wait.
    fn check(&self, key: &[u8]) -> Result<(), Duration> {
        let cell = &self.cells[self.hasher.hash_one(key) as usize % CELLS];
        let now = self.began.elapsed().as_nanos() as u64;
        let tolerance = self.interval * u64::from(self.burst.saturating_sub(1));
        let mut tat = cell.load(Ordering::Relaxed);
        loop {
            let base = tat.max(now);
            if base - now > tolerance {
                return Err(Duration::from_nanos(base - now - tolerance));
            }
            let next = base + self.interval;
            match cell.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => tat = other,
            }
        }
    }
}

type Global = RateLimiter<NotKeyed, InMemoryState, Ticking, NoOpMiddleware<Duration>>;

/// The runtime's clock for governor: paused with the runtime, like every other deadline.
#[derive(Debug, Clone)]
struct Ticking(Instant);

impl Clock for Ticking {
    type Instant = Duration;
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The limits of one gate.
pub(crate) struct Admission {
    global: Option<(Global, u32)>,
    ip: Option<Keyed>,
    buyer: Option<Keyed>,
    offer: Option<Keyed>,
}

impl Admission {
    pub fn new(cfg: &LimitsConfig) -> Self {
        let global = NonZeroU32::new(cfg.global.per_second).map(|rate| {
            let burst = NonZeroU32::new(cfg.global.burst).unwrap_or(rate);
            let quota = Quota::per_second(rate).allow_burst(burst);
            let clock = Ticking(Instant::now());
            (RateLimiter::direct_with_clock(quota, clock), rate.get())
        });
        Self {
            global,
            ip: Keyed::new("ip", cfg.ip),
            buyer: Keyed::new("buyer", cfg.buyer),
            offer: Keyed::new("offer", cfg.offer),
        }
    }

    /// Before anything is known but the address and the path.
    pub fn arrive(&self, ip: IpAddr) -> Result<(), Problem> {
        if let Some((limiter, rate)) = &self.global
            && let Err(wait) = limiter.check()
        {
            let wait = wait.wait_time_from(limiter.clock().now());
            return Err(limited("global", *rate, wait));
        }
        keyed(self.ip.as_ref(), &prefix(ip))
    }

    pub fn offer(&self, offer: &str) -> Result<(), Problem> {
        keyed(self.offer.as_ref(), offer.as_bytes())
    }

    pub fn buyer(&self, buyer: &str) -> Result<(), Problem> {
        keyed(self.buyer.as_ref(), buyer.as_bytes())
    }
}

fn keyed(limit: Option<&Keyed>, key: &[u8]) -> Result<(), Problem> {
    match limit {
        Some(k) => k.check(key).map_err(|wait| limited(k.name, k.per_second, wait)),
        None => Ok(()),
    }
}

/// An IPv4 address as it is, an IPv6 address by its /64.
fn prefix(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets()[..8].to_vec(),
    }
}

fn limited(name: &str, per_second: u32, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let mut p = Problem::with(Reason::RateLimited, format!("the {name} limit is reached"));
    p.retry_after = Some(seconds.max(1));
    let policy = HeaderName::from_static("ratelimit-policy");
    let state = HeaderName::from_static("ratelimit");
    p.headers.push((policy, format!("\"{name}\";q={per_second};w=1")));
    p.headers.push((state, format!("\"{name}\";r=0;t={}", seconds.max(1))));
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keyed_limits_hold_their_rate() {
        let k = Keyed::new("t", LimitConfig { per_second: 10, burst: 3 }).unwrap();
        let pass = |n: usize| (0..n).filter(|_| k.check(b"a").is_ok()).count();
        assert_eq!(pass(10), 3);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(pass(10), 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(pass(10), 3);
        assert!(k.check(b"a").unwrap_err() <= Duration::from_millis(100));
        assert!(k.check(b"b").is_ok());
    }
}
