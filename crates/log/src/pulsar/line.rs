//! Where a URL leads, and TLS on the way.

use std::sync::Arc;

use hyper::Uri;
use runtime::tls::Files;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The server of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerPlace {
    host: String,
    port: u16,
    pub tls: bool,
}

impl BrokerPlace {
    /// Of a URL with one of these schemes: name, usual port, whether it means TLS.
    pub(super) fn of(url: &str, schemes: &[(&str, u16, bool)]) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("no URL: {e}"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let known = schemes.iter().find(|s| s.0 == scheme);
        let (Some((_, port, tls)), Some(host)) = (known, uri.host()) else {
            let names: Vec<String> = schemes.iter().map(|s| format!("{}://", s.0)).collect();
            return Err(format!("expected {} with host:port", names.join(" or ")));
        };
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(*port), tls: *tls })
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// TLS to the server; its certificate must be trusted and name the host.
pub(super) async fn secure(
    tcp: TcpStream,
    place: &BrokerPlace,
    files: &Files,
) -> Result<TlsStream<TcpStream>, String> {
    let connector = TlsConnector::from(Arc::new(files.client()?));
    // An IPv6 address stands in brackets in a URL, and in none in a certificate.
    let name = place.host.trim_matches(['[', ']']).to_owned();
    let name = rustls::pki_types::ServerName::try_from(name).map_err(|e| e.to_string())?;
    connector.connect(name, tcp).await.map_err(|e| format!("TLS: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_their_server() {
        let of = |url| BrokerPlace::of(url, &[("pulsar", 80, false), ("pulsar+ssl", 443, true)]);
        let place = |host: &str, port, tls| Ok(BrokerPlace { host: host.to_owned(), port, tls });
        assert_eq!(of("pulsar://h"), place("h", 80, false));
        assert_eq!(of("pulsar+ssl://h"), place("h", 443, true));
        assert_eq!(of("pulsar+ssl://me:x@h:8443/path"), place("h", 8443, true));
        assert_eq!(
            of("pulsar+ssl://[::1]:8443").map(|p| p.authority()),
            Ok("[::1]:8443".to_owned())
        );
        for wrong in ["", "h:1", "/h", "ftp://h", "https://h:1"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
