//! What a gate can be told: its listener, its limits, its combiners.

use std::time::Duration;

use view::PublishTimes;
use web::{AuthConfig, Network};

/// The parts of the configuration that make a gate.
#[derive(Debug, Clone, Default)]
pub struct GateSettings {
    /// The buyers' listener.
    pub gate: GateConfig,
    /// Whose tokens open what.
    pub auth: AuthConfig,
    /// The operators' token.
    pub admin_token: String,
    /// Limits of admission.
    pub limits: LimitsConfig,
    /// The reserve combiner.
    pub reserve: ReserveConfig,
    /// The frame combiner.
    pub publish: PublishConfig,
}

runtime::section! {
    /// The buyers' listener.
    pub struct GateConfig, checked by nobody_believed {
        /// Address and port.
        listen: String = "127.0.0.1:8080".into(), listen;
        /// The most connections at once.
        max_connections: usize = 20_000, range(1..=10_000_000);
        /// The most connections of one address (IPv6: of one /64) at once; trusted proxies have no
        /// bound of their own.
        max_connections_per_ip: usize = 1024, range(1..=10_000_000);
        /// Networks of the proxies whose `X-Forwarded-For` or `Forwarded` is believed: from the
        /// right, up to the first address that is none of them. Where both headers are there and
        /// differ, the proxy's own address counts. For example `["10.0.0.0/8", "2001:db8::/32",
        /// "192.0.2.1"]`.
        trusted_proxies: Vec<Network> = Vec::new();
        /// Connections of trusted proxies begin with a header of the PROXY protocol, version 1 or
        /// 2; one without is closed.
        proxy_protocol: bool = false;
        /// The most requests under way on one HTTP/2 connection; more wait at the client.
        max_streams: u32 = 256, range(100..=10_000);
        /// The most units of one order.
        max_quantity: u32 = 100, range(1..=1_000_000);
        /// The whole head must be there by then.
        header_timeout_ms: u64 = 5000, range(10..=3_600_000);
        /// The whole body must be there by then.
        body_timeout_ms: u64 = 2000, range(10..=3_600_000);
        /// A client must have read its answers by then; the connection is dropped otherwise. During
        /// a drain a quarter of `drain_ms` is enough, if that is less.
        write_timeout_ms: u64 = 5000, range(10..=3_600_000);
        /// The most bytes, and for at most `body_timeout_ms`, that are read and thrown away after
        /// the last answer of an HTTP/1.1 connection, so that a client which still sends reads it.
        linger_bytes: usize = 8_388_608, range(0..=1_073_741_824);
        /// An HTTP/2 connection that does not answer a ping within this is closed (HTTP/1.1: a
        /// connection without a request is closed after `header_timeout_ms`).
        idle_timeout_ms: u64 = 60_000, range(1000..=3_600_000);
        /// Readiness is off this long before the listener closes.
        not_ready_ms: u64 = 500, range(0..=3_600_000);
        /// Requests under way get this long to finish.
        drain_ms: u64 = 10_000, range(0..=3_600_000);
        /// Requests that may wait for an outcome (`wait=`) at once; more are answered at once.
        max_waiters: usize = 4096, range(0..=10_000_000);
        /// Worker threads; 0 = one per core.
        threads: usize = 0, range(0..=1024);
    }
}

fn nobody_believed(c: &GateConfig) -> Vec<String> {
    let nobody = c.proxy_protocol && c.trusted_proxies.is_empty();
    let text = "proxy_protocol: needs gate.trusted_proxies, nobody else is believed";
    runtime::config::told(&[(nobody, text)])
}

runtime::section! {
    /// Limits of admission: `global` and `ip` before the token is looked at, `buyer` and `offer`
    /// once it is known to be valid. A request is charged once to each until one refuses.
    pub struct LimitsConfig {
        /// Addresses, buyers and offers that are limited exactly at once, each; idle ones do not
        /// count. One more makes the nearest to idle be forgotten, which only loosens its limit.
        /// About 36 bytes of memory for each that there is.
        max_keys: usize = 1_000_000, range(1000..=100_000_000);
        /// All requests of this gate.
        global: LimitConfig = LimitConfig::default(), inner;
        /// Per client address (IPv6: per /64).
        ip: LimitConfig = LimitConfig::default(), inner;
        /// Per buyer.
        buyer: LimitConfig = LimitConfig::default(), inner;
        /// Purchases per offer.
        offer: LimitConfig = LimitConfig::default(), inner;
    }
}

runtime::section! {
    /// One token bucket; `per_second` 0 = off.
    pub struct LimitConfig {
        /// Sustained requests per second; 0 = off.
        per_second: u32 = 0, range(0..=100_000_000);
        /// Requests at once; 0 = the same as `per_second`.
        burst: u32 = 0, range(0..=100_000_000);
    }
}

impl Copy for LimitConfig {}

runtime::section! {
    /// The reserve combiner.
    pub struct ReserveConfig {
        /// The most orders of one call.
        batch: usize = 256, range(1..=256);
        /// The most requests that wait for one cell; more are shed with 503.
        queue: usize = 4096, range(1..=1_000_000);
        /// Time a reserve may take from its first attempt; later it answers LATE.
        budget_ms: u64 = 2000, range(10..=60_000);
        /// Replicas that must have a hold before its order is `accepted`; 0 = do not wait. Only the
        /// number of replicas that each primary has protects against a failover.
        wait_replicas: u8 = 0, range(0..=5);
        /// The most time replicas get for it; then the orders are `unconfirmed`. A gate's idea of
        /// Redis time may be as old, and it refuses by it up to 1 s early.
        wait_timeout_ms: u64 = 100, range(1..=500);
    }
}

runtime::section! {
    /// The frame combiner.
    pub struct PublishConfig {
        /// The most orders of one frame.
        frame_orders: usize = 256, range(1..=256);
        /// The most bytes of one frame.
        frame_bytes: usize = 262_144, range(16_384..=262_144);
        /// Frames on their way at once per partition.
        in_flight: usize = 4, range(1..=64);
        /// Places per partition; without one a request is shed before it takes a hold.
        queue: usize = 8192, range(1..=1_000_000);
        /// An order is never published for the first time later than this after its first hold.
        max_age_ms: u64 = 3000, range(100..=60_000);
        /// A receipt that takes longer counts as unknown.
        timeout_ms: u64 = 2500, range(100..=60_000);
    }
}

impl PublishConfig {
    /// How long a hold may take to its receipt.
    pub fn times(&self) -> PublishTimes {
        PublishTimes {
            max_age: Duration::from_millis(self.max_age_ms),
            timeout: Duration::from_millis(self.timeout_ms),
        }
    }
}
