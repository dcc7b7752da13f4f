//! What a listener lets its clients do.

use std::time::Duration;

use runtime::Phase;

use crate::network::Network;

/// Each of them holds for every connection.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The most connections at once.
    pub max_connections: usize,
    /// The most of one address, as [`crate::client::prefix`] counts it.
    pub max_connections_per_ip: usize,
    /// Who speaks for others.
    pub trusted_proxies: Vec<Network>,
    /// Their connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The most requests under way on an HTTP/2 connection.
    pub max_streams: u32,
    /// The whole head must be there by then.
    pub header_timeout: Duration,
    /// For how long what still comes is read after the last answer.
    pub body_timeout: Duration,
    /// A client must have read its answers by then; during a drain in a quarter of `drain`.
    pub write_timeout: Duration,
    /// An HTTP/2 connection is asked whether it lives after half of this.
    pub idle_timeout: Duration,
    /// How long requests get to finish at the end.
    pub drain: Duration,
    /// The most bytes that are read after the last answer.
    pub linger_bytes: usize,
    /// From this phase on nobody is let in, and who is in only finishes what was begun.
    pub until: Phase,
}

impl Bounds {
    /// Of a listener for operators and probes: no proxies, and open until the very end, so that
    /// metrics can be read during a drain.
    pub fn of_operators(max_connections: usize) -> Self {
        Self {
            max_connections,
            max_connections_per_ip: max_connections,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            max_streams: 256,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(2),
            write_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            linger_bytes: 8 << 20,
            until: Phase::ClosePools,
        }
    }
}
