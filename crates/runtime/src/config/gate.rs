//! Listeners, tokens, limits.

use serde::{Deserialize, Serialize};

use super::Network;

/// The buyers' listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Address and port.
    pub listen: String,
    /// The most connections at once.
    pub max_connections: usize,
    /// The most connections of one address (IPv6: of one /64) at once; trusted proxies have no
    /// bound of their own.
    pub max_connections_per_ip: usize,
    /// Networks of the proxies whose `X-Forwarded-For` or `Forwarded` is believed: from the right,
    /// up to the first address that is none of them. Where both headers are there and differ, the
    /// proxy's own address counts.
    pub trusted_proxies: Vec<Network>,
    /// Connections of trusted proxies begin with a header of the PROXY protocol, version 1 or 2;
    /// one without is closed.
    pub proxy_protocol: bool,
    /// The most requests under way on one HTTP/2 connection, 100 to 10,000; more wait at the
    /// client.
    pub max_streams: u32,
    /// The most units of one order.
    pub max_quantity: u32,
    /// The whole head must be there by then.
    pub header_timeout_ms: u64,
    /// The whole body must be there by then.
    pub body_timeout_ms: u64,
    /// A client must have read its answers by then; the connection is dropped otherwise. During a
    /// drain a quarter of `drain_ms` is enough, if that is less.
    pub write_timeout_ms: u64,
    /// The most bytes, and for at most `body_timeout_ms`, that are read and thrown away after the
    /// last answer of an HTTP/1.1 connection, so that a client which still sends reads it.
    pub linger_bytes: usize,
    /// An HTTP/2 connection that does not answer a ping within this is closed (HTTP/1.1: a
    /// connection without a request is closed after `header_timeout_ms`).
    pub idle_timeout_ms: u64,
    /// Readiness is off this long before the listener closes.
    pub not_ready_ms: u64,
    /// Requests under way get this long to finish.
    pub drain_ms: u64,
    /// Requests that may wait for an outcome (`wait=`) at once; more are answered at once.
    pub max_waiters: usize,
    /// Worker threads, at most 1,024; 0 = one per core.
    pub threads: usize,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            max_connections: 20_000,
            max_connections_per_ip: 1024,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            max_streams: 256,
            max_quantity: 100,
            header_timeout_ms: 5000,
            body_timeout_ms: 2000,
            write_timeout_ms: 5000,
            linger_bytes: 8_388_608,
            idle_timeout_ms: 60_000,
            not_ready_ms: 500,
            drain_ms: 10_000,
            max_waiters: 4096,
            threads: 0,
        }
    }
}

/// Tokens of buyers and operators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// HS256 secret, at least 32 characters; signs what `sluicegate admin token` mints.
    pub hs256_secret: String,
    /// Older HS256 secrets that still verify.
    pub hs256_old: Vec<String>,
    /// Ed25519 public keys (base64, 32 bytes) that verify EdDSA tokens.
    pub eddsa_public_keys: Vec<String>,
    /// Required `iss`, when set.
    pub issuer: Option<String>,
    /// Required `aud` of buyers' tokens, when set.
    pub audience: Option<String>,
    /// Verified tokens that a gate remembers, 8 to 16,777,216; each takes about 0.5 KB.
    pub remembered_tokens: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            hs256_secret: String::new(),
            hs256_old: Vec::new(),
            eddsa_public_keys: Vec::new(),
            issuer: None,
            audience: None,
            remembered_tokens: 65_536,
        }
    }
}

/// The operators' listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Address and port.
    pub listen: String,
    /// The most connections at once.
    pub max_connections: usize,
    /// The operators' bearer token, at least 16 characters; `dev` makes one when empty.
    pub token: String,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9090".into(), max_connections: 256, token: String::new() }
    }
}

/// One token bucket; `per_second` 0 = off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Sustained requests per second.
    pub per_second: u32,
    /// Requests at once; 0 = the same as `per_second`.
    pub burst: u32,
}

/// Limits of admission: `global` and `ip` before the token is looked at, `buyer` and `offer` once
/// it is known to be valid. A request is charged once to each until one refuses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Addresses, buyers and offers that are limited exactly at once, each, 1,000 to 100,000,000;
    /// idle ones do not count. One more makes the nearest to idle be forgotten, which only loosens
    /// its limit. About 36 bytes of memory for each that there is.
    pub max_keys: usize,
    /// All requests of this gate.
    pub global: LimitConfig,
    /// Per client address (IPv6: per /64).
    pub ip: LimitConfig,
    /// Per buyer.
    pub buyer: LimitConfig,
    /// Purchases per offer.
    pub offer: LimitConfig,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let off = LimitConfig::default();
        Self { max_keys: 1_000_000, global: off, ip: off, buyer: off, offer: off }
    }
}
