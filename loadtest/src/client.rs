//! One keep-alive HTTP/1.1 connection that comes back when the server does.
//!
//! Invariant: [`SendError::NotSent`] is only said when no byte of the request left this process;
//! everything else without an answer is [`SendError::NoAnswer`]. Nothing is sent twice here.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use runtime::Tasks;
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The largest body that is read.
const MAX_BODY: usize = 4 << 20;

/// A server, `host:port`.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// For the socket and the `Host` header.
    pub authority: String,
}

impl Target {
    /// From `http://host:port` or `host:port`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err(format!("{text}: plain http only; name the gate behind the TLS end"));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let port = rest
            .rsplit_once(':')
            .is_some_and(|(h, p)| !h.is_empty() && !h.contains('/') && p.parse::<u16>().is_ok());
        if !port {
            return Err(format!("{text}: expected http://host:port"));
        }
        Ok(Self { authority: rest.to_owned() })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection.
    #[error("{0}")]
    NotSent(String),
    /// Sent, then silence or a broken connection.
    #[error("{0}")]
    NoAnswer(String),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    pub body: Bytes,
}

struct Open {
    send: SendRequest<Full<Bytes>>,
    /// Ends the connection's task when this connection is given up.
    _guard: DropGuard,
}

/// A connection, opened when first used.
pub(crate) struct Conn {
    target: Target,
    tasks: Tasks,
    open: Option<Open>,
}

impl Conn {
    pub fn new(target: Target, tasks: Tasks) -> Self {
        Self { target, tasks, open: None }
    }

    /// Sends one request and reads the whole answer, within `limit`.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Reply, SendError> {
        let until = tokio::time::Instant::now() + limit;
        let ready = tokio::time::timeout_at(until, self.ready()).await;
        let mut open = match ready {
            Ok(Ok(open)) => open,
            Ok(Err(e)) => return Err(SendError::NotSent(e)),
            Err(_) => return Err(SendError::NotSent("connecting took too long".to_owned())),
        };
        match tokio::time::timeout_at(until, exchange(&mut open.send, request)).await {
            Ok(Ok(reply)) => {
                self.open = Some(open);
                Ok(reply)
            }
            Ok(Err(e)) => Err(SendError::NoAnswer(e)),
            Err(_) => Err(SendError::NoAnswer(format!("no answer within {limit:?}"))),
        }
    }

    /// The open connection if the server still keeps it, otherwise a new one.
    async fn ready(&mut self) -> Result<Open, String> {
        if let Some(mut open) = self.open.take()
            && open.send.ready().await.is_ok()
        {
            return Ok(open);
        }
        let stream = TcpStream::connect(&self.target.authority).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let (send, conn) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let token = CancellationToken::new();
        let ended = token.clone();
        self.tasks.spawn_replaceable("connection", async move {
            tokio::select! {
                _ = conn => {}
                () = ended.cancelled() => {}
            }
        });
        Ok(Open { send, _guard: token.drop_guard() })
    }

    /// Starts a request to this server.
    pub fn request(&self, method: &str, path: &str, token: &str) -> hyper::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.target.authority)
            .header("authorization", format!("Bearer {token}"))
    }
}

async fn exchange(
    send: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Reply, String> {
    let answer = send.send_request(request).await.map_err(|e| e.to_string())?;
    let status = answer.status().as_u16();
    let header = answer.headers().get("retry-after");
    let retry_after = header.and_then(|h| h.to_str().ok()?.parse().ok());
    let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|e| e.to_string())?.to_bytes();
    Ok(Reply { status, retry_after, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let ok = |t: &str| Target::parse(t).map(|t| t.authority);
        assert_eq!(ok("http://127.0.0.1:8080/").as_deref(), Ok("127.0.0.1:8080"));
        assert_eq!(ok("gate:80").as_deref(), Ok("gate:80"));
        assert_eq!(ok("http://[::1]:8080").as_deref(), Ok("[::1]:8080"));
        assert!(ok("https://x:1").is_err() && ok("x").is_err() && ok("x:y").is_err());
    }

    #[tokio::test]
    async fn nobody_there_is_not_sent() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&free.local_addr().unwrap().to_string()).unwrap();
        drop(free);
        let mut conn = Conn::new(target, Tasks::new());
        let request = conn.request("GET", "/", "t").body(Full::default()).unwrap();
        let e = conn.send(request, Duration::from_secs(2)).await.unwrap_err();
        assert!(matches!(e, SendError::NotSent(_)), "{e}");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_no_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let tasks = Tasks::new();
        tasks.spawn("hangs up", async move {
            let (mut s, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 64];
            let _ = tokio::io::AsyncReadExt::read(&mut s, &mut buffer).await;
        });
        let mut conn = Conn::new(target, tasks);
        let request = conn.request("GET", "/", "t").body(Full::default()).unwrap();
        let e = conn.send(request, Duration::from_secs(2)).await.unwrap_err();
        assert!(matches!(e, SendError::NoAnswer(_)), "{e}");
    }
}
