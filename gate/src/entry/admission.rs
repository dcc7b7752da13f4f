//! Limits of admission: what they are comes from `domain::limit`; the global one is governor's,
//! those per key are kept in `keys.rs`.
//!
//! Every request is charged once per limit, whichever way it is answered. A refusal carries the
//! `RateLimit` headers.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use contract::{Problem, Reason};
use domain::Buyer;
use domain::limit::{Dimension, Rate, charge_all};
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use hyper::header::HeaderName;
use tokio::time::Instant;

use web::client::prefix;

use crate::config::{LimitConfig, LimitsConfig};
use crate::entry::keys::Keys;
use crate::metrics::METRICS;

/// The limits of one gate.
pub(crate) struct Admission {
    began: Instant,
    global: Option<(Global, u32)>,
    ip: Option<(Limit, Keys)>,
    buyer: Option<(Limit, Keys)>,
    offer: Option<(Limit, Keys)>,
}

#[derive(Clone, Copy)]
struct Limit {
    per_second: u32,
    rate: Rate,
}

/// Whose request it is: what is not known yet is empty, and no limit that needs it is charged.
pub(crate) struct Asked<'a> {
    pub ip: IpAddr,
    pub tenant: &'a str,
    pub buyer: &'a str,
    pub offer: &'a str,
}

impl<'a> Asked<'a> {
    /// A buyer's request; of no offer when that is empty.
    pub(crate) fn by(buyer: &'a Buyer, ip: IpAddr, offer: &'a str) -> Self {
        Self { ip, tenant: buyer.tenant().as_str(), buyer: buyer.as_str(), offer }
    }
}

impl Admission {
    pub(crate) fn new(cfg: &LimitsConfig) -> Self {
        let limit = |c: LimitConfig| {
            Rate::new(c.per_second, c.burst).map(|rate| Limit { per_second: c.per_second, rate })
        };
        let keyed = |c: LimitConfig| limit(c).map(|l| (l, Keys::new(cfg.max_keys)));
        Self {
            began: Instant::now(),
            global: global(cfg.global),
            ip: keyed(cfg.ip),
            buyer: keyed(cfg.buyer),
            offer: keyed(cfg.offer),
        }
    }

    fn charge_global(&self) -> Result<(), Refused> {
        let Some((limiter, per_second)) = &self.global else { return Ok(()) };
        limiter.check().map_err(|until| {
            let wait = until.wait_time_from(limiter.clock().now());
            (*per_second, wait.as_nanos() as u64)
        })
    }

    /// Charges a request that came `at` to these limits, in order, until one refuses.
    pub(crate) fn admit(
        &self,
        order: &[Dimension],
        asked: &Asked<'_>,
        at: Instant,
    ) -> Result<(), Problem> {
        let now = at.saturating_duration_since(self.began).as_nanos() as u64;
        let refused = charge_all(order, |dimension| match dimension {
            Dimension::Global => self.charge_global(),
            Dimension::Ip => keyed(dimension, &self.ip, prefix(asked.ip), now),
            Dimension::Buyer => keyed(dimension, &self.buyer, (asked.tenant, asked.buyer), now),
            Dimension::Offer => keyed(dimension, &self.offer, (asked.tenant, asked.offer), now),
        });
        refused.map_err(|(dimension, (per_second, wait))| {
            limited(dimension.as_str(), per_second, Duration::from_nanos(wait))
        })
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

/// Rate and nanoseconds to wait.
type Refused = (u32, u64);

fn global(cfg: LimitConfig) -> Option<(Global, u32)> {
    let rate = NonZeroU32::new(cfg.per_second)?;
    let burst = NonZeroU32::new(cfg.burst).unwrap_or(rate);
    let quota = Quota::per_second(rate).allow_burst(burst);
    Some((RateLimiter::direct_with_clock(quota, Ticking(Instant::now())), rate.get()))
}

fn keyed(
    dimension: Dimension,
    limit: &Option<(Limit, Keys)>,
    key: impl std::hash::Hash,
    now: u64,
) -> Result<(), Refused> {
    let Some((limit, keys)) = limit else { return Ok(()) };
    let charged = keys.charge(key, limit.rate, now);
    if charged.forgotten > 0 {
        METRICS.keys_forgotten.of(dimension).increment(charged.forgotten as u64);
    }
    charged.result.map_err(|wait| (limit.per_second, wait))
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

    fn admission(set: impl FnOnce(&mut LimitsConfig)) -> Admission {
        let mut cfg = LimitsConfig::default();
        set(&mut cfg);
        Admission::new(&cfg)
    }

    fn asked<'a>(ip: &str, buyer: &'a str, offer: &'a str) -> Asked<'a> {
        Asked { ip: ip.parse().unwrap(), tenant: "", buyer, offer }
    }

    #[tokio::test(start_paused = true)]
    async fn every_limit_holds_its_rate_for_its_own_key() {
        let ten = LimitConfig { per_second: 10, burst: 3 };
        type Case = (Dimension, fn(&mut LimitsConfig, LimitConfig), [&'static str; 3]);
        let cases: [Case; 4] = [
            (Dimension::Global, |c, l| c.global = l, ["10.0.0.1", "ann", "shoe"]),
            (Dimension::Ip, |c, l| c.ip = l, ["10.0.0.2", "ann", "shoe"]),
            (Dimension::Buyer, |c, l| c.buyer = l, ["10.0.0.1", "eve", "shoe"]),
            (Dimension::Offer, |c, l| c.offer = l, ["10.0.0.1", "ann", "boot"]),
        ];
        for (dimension, set, [ip, buyer, offer]) in cases {
            let a = admission(|c| set(c, ten));
            let ann = asked("10.0.0.1", "ann", "shoe");
            let pass = |who: &Asked<'_>, n: usize| {
                let admit = || a.admit(&Dimension::ALL, who, Instant::now()).is_ok();
                (0..n).filter(|_| admit()).count()
            };
            assert_eq!(pass(&ann, 10), 3, "{dimension:?}");
            tokio::time::advance(Duration::from_millis(100)).await;
            assert_eq!(pass(&ann, 10), 1, "{dimension:?}");
            let other = if dimension == Dimension::Global { 0 } else { 3 };
            assert_eq!(pass(&asked(ip, buyer, offer), 10), other, "{dimension:?}");
            let p = a.admit(&Dimension::ALL, &ann, Instant::now()).unwrap_err();
            assert!(p.detail.contains(dimension.as_str()), "{p:?}");
            tokio::time::advance(Duration::from_secs(60)).await;
            assert_eq!(pass(&ann, 10), 3, "{dimension:?}");
        }
    }

    #[test]
    fn an_address_is_one_or_a_64() {
        let same = |a: &str, b: &str| prefix(a.parse().unwrap()) == prefix(b.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
