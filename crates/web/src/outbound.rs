//! The one HTTP client: of operators' listeners, of a gate under a load test, of the broker's admin
//! API. HTTP/1.1, plain or over TLS.
//!
//! Invariant: [`SendError::NotSent`] is only said when no byte of the request left this process;
//! everything else without an answer is [`SendError::NoAnswer`]. Nothing is sent twice here: only
//! a request that was never written, because the server had closed an idle connection, goes over
//! a new one.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::AUTHORIZATION;
use hyper::http::request::Builder;
use hyper::http::uri::{Authority, Scheme};
use hyper::{HeaderMap, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use runtime::config::without_password;
use runtime::tls::Files;

/// The largest body that is read, unless the client reads more.
const MAX_BODY: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection, or no TLS on it.
    #[error("{0}")]
    NotSent(String),
    /// Sent, then silence, a broken connection or a body that is too large.
    #[error("{0}")]
    NoAnswer(String),
}

/// An answer.
#[derive(Debug)]
pub struct Received {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

/// A server and the connections to it. A clone shares them; as many are kept as there were
/// requests at once.
#[derive(Debug, Clone)]
pub struct Client {
    connector: HttpsConnector<HttpConnector>,
    connections: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    scheme: Scheme,
    authority: Authority,
    /// The largest body that is read.
    most: usize,
}

impl Client {
    /// Of `http://host:port`, `https://host:port` or `host:port`, which is plain. The files are
    /// read now; the error says what is wrong with which, or with the address.
    pub fn new(server: &str, files: &Files) -> Result<Self, String> {
        let (scheme, authority) = place(server)?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_tls_config(files.client()?);
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let (connections, most) = (over(&connector, usize::MAX), MAX_BODY);
        Ok(Self { connections, connector, scheme, authority, most })
    }

    /// The same server over connections of its own, of which one is kept.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { connections: over(&self.connector, 1), ..self.clone() }
    }

    /// The same with bodies of up to so many bytes; 4 MiB by default.
    #[must_use]
    pub fn reading(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Begins a request; a path that is none is the error of its `body`.
    pub fn request(&self, method: &str, path: &str) -> Builder {
        let (scheme, authority) = (self.scheme.clone(), self.authority.clone());
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
        match uri {
            Ok(uri) => Request::builder().method(method).uri(uri),
            Err(_) => Request::builder().method(method).uri(path),
        }
    }

    /// Begins a request of whoever has this token.
    pub fn request_as(&self, token: &str, method: &str, path: &str) -> Builder {
        self.request(method, path).header(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sends a request and reads the whole answer, both within `limit`.
    pub async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Received, SendError> {
        let connection = capture_connection(&mut request);
        let answer = whole(self.connections.request(request), self.most);
        match tokio::time::timeout(limit, answer).await {
            Ok(done) => done,
            Err(_) if connection.connection_metadata().is_none() => {
                Err(SendError::NotSent(format!("no connection within {limit:?}")))
            }
            Err(_) => Err(SendError::NoAnswer(format!("no answer within {limit:?}"))),
        }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

fn over(
    connector: &HttpsConnector<HttpConnector>,
    idle: usize,
) -> legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(idle).build(connector.clone())
}

fn place(server: &str) -> Result<(Scheme, Authority), String> {
    let wrong = || {
        let server = without_password(server);
        format!("{server}: expected http://host:port or https://host:port, and nothing else")
    };
    let text = server.trim_end_matches('/');
    // What is no URL with a host is `host:port`.
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let parts = text.parse::<Uri>().map_err(|_| wrong())?.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(wrong());
    };
    let known = [Scheme::HTTP, Scheme::HTTPS].contains(&scheme);
    let bare = parts.path_and_query.is_none_or(|p| p == "/") && !authority.as_str().contains('@');
    // What has a scheme has a usual port.
    let usual = server.contains("://") && authority.as_str() == authority.host();
    let port = authority.port_u16().is_some() || usual;
    if known && bare && port && !authority.host().is_empty() {
        return Ok((scheme, authority));
    }
    Err(wrong())
}

async fn whole(answer: ResponseFuture, most: usize) -> Result<Received, SendError> {
    let answer = answer.await.map_err(|e| match e.is_connect() {
        true => SendError::NotSent(told(&e)),
        false => SendError::NoAnswer(told(&e)),
    })?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|e| SendError::NoAnswer(told(&*e)))?.to_bytes();
    Ok(Received { status: parts.status, headers: parts.headers, body })
}

/// An error with what caused it; the library's own words say only at which step it was.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut all: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(e) = next {
        let text = e.to_string();
        if all.last().is_none_or(|last| !last.contains(&text)) {
            all.push(text);
        }
        next = e.source();
    }
    if all.len() > 1 {
        all.remove(0);
    }
    all.join(": ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::CertifiedKey;
    use runtime::Tasks;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn client(server: &str) -> Client {
        Client::new(server, &Files::default()).unwrap()
    }

    async fn get(client: &Client, limit: Duration) -> Result<Received, SendError> {
        client.send(client.request("GET", "/x?y=1").body(Full::default()).unwrap(), limit).await
    }

    /// Reads a head and answers with its first line; how often, on one connection.
    async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, times: usize) {
        for _ in 0..times {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let line = head.lines().next().unwrap();
            let answer = format!("HTTP/1.1 201 X\r\ncontent-length: {}\r\n\r\n", line.len());
            stream.write_all(format!("{answer}{line}").as_bytes()).await.unwrap();
        }
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[test]
    fn addresses() {
        let ok = |t: &str| Client::new(t, &Files::default()).ok().map(|c| c.to_string());
        for (text, want) in [
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("gate:80", "http://gate:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("https://gate", "https://gate"),
            ("https://gate:8443//", "https://gate:8443"),
        ] {
            assert_eq!(ok(text).as_deref(), Some(want), "{text}");
        }
        for text in [
            "",
            ":",
            "/",
            "x",
            "x:",
            "x:y",
            ":80",
            "http://",
            "http://:80",
            "http://x:",
            "ftp://x:1",
            "http://x:1/path",
            "http://x:1?q",
            "http://me:pw@x:1",
            "http://x:99999",
            "x y:1",
            "unix:///x",
            "http:x:1",
        ] {
            assert_eq!(ok(text), None, "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let error = Client::new("https://me:hunter2@h:1/x", &Files::default()).unwrap_err();
        assert!(!error.contains("hunter2") && error.contains("expected http"), "{error}");
    }

    #[tokio::test]
    async fn a_connection_is_used_again_and_a_closed_one_replaced() {
        let (listener, address) = listener().await;
        let tasks = Tasks::new();
        tasks.spawn("serves", async move {
            for _ in 0..3 {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, 2).await;
            }
        });
        let client = client(&address);
        for _ in 0..6 {
            let reply = get(&client, LIMIT).await.unwrap();
            assert_eq!(
                (reply.status.as_u16(), &reply.body[..]),
                (201, &b"GET /x?y=1 HTTP/1.1"[..])
            );
            // The server's goodbye arrives.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn nobody_there_is_not_sent() {
        let (free, address) = listener().await;
        drop(free);
        for server in [address.clone(), format!("https://{address}")] {
            let e = get(&client(&server), LIMIT).await.unwrap_err();
            assert!(matches!(&e, SendError::NotSent(why) if why.contains("refused")), "{e}");
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_or_is_silent_is_no_answer() {
        let (listener, address) = listener().await;
        let tasks = Tasks::new();
        tasks.spawn("hangs up, then is silent", async move {
            let (mut first, _) = listener.accept().await.unwrap();
            let _ = first.read(&mut [0; 64]).await;
            drop(first);
            let (_second, _) = listener.accept().await.unwrap();
            std::future::pending::<()>().await;
        });
        let e = get(&client(&address), LIMIT).await.unwrap_err();
        assert!(matches!(e, SendError::NoAnswer(_)), "{e}");
        let e = get(&client(&address), Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(&e, SendError::NoAnswer(why) if why.contains("200ms")), "{e}");
    }

    #[tokio::test]
    async fn without_an_end_of_its_greeting_nothing_was_sent() {
        let (listener, address) = listener().await;
        // The kernel takes the connection, and nobody answers the hello.
        let client = client(&format!("https://{address}"));
        let e = get(&client, Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(&e, SendError::NotSent(why) if why.contains("no connection")), "{e}");
        drop(listener);
    }

    #[tokio::test]
    async fn bodies_have_a_bound() {
        let (listener, address) = listener().await;
        let tasks = Tasks::new();
        tasks.spawn("never ends", async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
        });
        let e = get(&client(&address), LIMIT).await.unwrap_err();
        assert!(matches!(&e, SendError::NoAnswer(why) if why.contains("limit")), "{e}");
    }

    #[tokio::test]
    async fn whom_to_trust_is_in_a_file() {
        runtime::tls::provide();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key.into()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (listener, address) = listener().await;
        let tasks = Tasks::new();
        tasks.spawn("serves", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, 1).await;
                }
            }
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), cert.pem()).unwrap();
        let trusted = Files { ca: file.path().to_owned(), ..Files::default() };
        let server = format!("https://{}", address.replace("127.0.0.1", "localhost"));
        let reply = get(&Client::new(&server, &trusted).unwrap(), LIMIT).await.unwrap();
        assert_eq!(reply.status, 201);
        // Whoever is not trusted, or has another name, hears nothing of the request.
        let other_name = Client::new(&format!("https://{address}"), &trusted).unwrap();
        for client in [client(&server), other_name] {
            let e = get(&client, LIMIT).await.unwrap_err();
            assert!(matches!(&e, SendError::NotSent(why) if why.contains("certificate")), "{e}");
        }
        assert!(Client::new(&server, &Files { ca: "/none".into(), ..Files::default() }).is_err());
    }
}
