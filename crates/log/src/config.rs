//! Which log there is, and how it is reached.

use std::path::PathBuf;

use runtime::config::told;
use runtime::secret::Secret;
use runtime::tls::Files;
use serde::{Deserialize, Serialize};

/// Which backend is the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogBackend {
    /// A durable queue in the data folder.
    #[default]
    Embedded,
    /// Apache Pulsar; needs a build with the feature `pulsar`.
    Pulsar,
}

runtime::section! {
    /// The order log.
    pub struct LogConfig, checked by wrong {
        /// `embedded` or `pulsar`.
        backend: LogBackend = LogBackend::Embedded;
        /// `pulsar://host:port`, or `pulsar+ssl://host:port` for TLS.
        url: String = String::new(), url;
        /// `http://host:port` or `https://host:port` of the broker's admin API.
        admin_url: String = String::new(), url;
        /// The token that broker and admin API ask for; empty = none.
        token: String = String::new(), secret;
        /// A file with the token instead, read at every connect.
        token_file: PathBuf = PathBuf::new();
        /// PEM file with the certificates to trust; empty = those that browsers trust.
        ca_file: PathBuf = PathBuf::new();
        /// `tenant/namespace`.
        namespace: String = "public/default".into();
        /// Topic names start with this.
        topic_prefix: String = "sluicegate".into();
        /// Main partitions; fixed at the first init.
        partitions: u16 = 4, range(1..=256);
        /// Frames that are finished stay readable for this many hours: as far back as `reconciler
        /// rewind` can go.
        retention_hours: u32 = 168, range(1..=8760);
        /// The most GiB of them, of each partition (embedded: of the file); 0 = any.
        retention_gib: u32 = 16, range(0..=1_048_576);
    }
}

impl LogConfig {
    /// What this client proves itself with.
    pub fn secret(&self) -> Secret {
        Secret::of(&self.token, &self.token_file)
    }

    /// The certificates, where a URL asks for TLS.
    pub fn files(&self) -> Files {
        Files { ca: self.ca_file.clone(), ..Files::default() }
    }
}

/// What contradicts itself, and what would reach nobody.
fn wrong(c: &LogConfig) -> Vec<String> {
    let pulsar = c.backend == LogBackend::Pulsar;
    let set = |path: &PathBuf| !path.as_os_str().is_empty();
    let starts = |url: &str, with: [&str; 2]| with.iter().any(|w| url.starts_with(w));
    let both = [c.url.starts_with("pulsar+ssl://"), c.admin_url.starts_with("https://")];
    let (tls, half) = (both[0] || both[1], both[0] != both[1]);
    let secret = !c.token.is_empty() || set(&c.token_file);
    told(&[
        (
            pulsar && !starts(&c.url, ["pulsar://", "pulsar+ssl://"]),
            "url: pulsar://host:port or pulsar+ssl://host:port",
        ),
        (
            pulsar && (!starts(&c.admin_url, ["http://", "https://"]) || !is_bare(&c.admin_url)),
            "admin_url: http://host:port or https://host:port, and nothing else",
        ),
        (!c.token.is_empty() && set(&c.token_file), "token: or its file, not both"),
        (pulsar && secret && half, "token: log.url and log.admin_url with TLS, or neither"),
        (set(&c.ca_file) && !tls, "ca_file: neither log.url nor log.admin_url asks for TLS"),
    ])
}

/// True for a URL that is a host, with or without a port: nothing else of it would be used.
fn is_bare(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest.trim_end_matches('/'));
    !rest.is_empty() && !rest.contains(['@', '/', '?', '#'])
}
