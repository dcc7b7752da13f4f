//! A small HTTP/1.1 client over a blocking socket, able to send what no client library would.
//!
//! Answers are read with a deadline; a body needs Content-Length, which this server always sends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::contract_check;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_str())
    }

    /// `order_id` of the body.
    pub(crate) fn order_id(&self) -> String {
        let id = self.json()["order_id"].as_str().map(str::to_owned);
        id.unwrap_or_else(|| panic!("no order_id: {} {}", self.status, self.text()))
    }

    /// Checks a whole problem: status, media type, fields, retry.
    #[track_caller]
    pub(crate) fn problem(&self, reason: contract::Reason) -> Value {
        let body = self.json();
        assert_eq!(body["reason"], reason.as_str(), "{} {body}", self.status);
        assert_eq!(self.status, reason.status(), "{body}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(body["type"], format!("/problems/{}", reason.as_str()));
        assert_eq!(body["status"], reason.status());
        assert_eq!(body["title"], reason.title());
        assert_eq!(body["retry"], reason.retry().as_str());
        assert!(body["detail"].as_str().is_some_and(|d| !d.is_empty()), "{body}");
        if self.status == 503 || self.status == 429 {
            let wait = self.header("retry-after").and_then(|s| s.parse::<u64>().ok());
            assert!(wait.is_some_and(|s| s >= 1), "{self:?}");
        }
        body
    }
}

/// One connection.
pub(crate) struct Conn {
    reader: BufReader<TcpStream>,
}

impl Conn {
    /// Connects; reads and writes get 20 s.
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// A GET without a token on a connection of its own.
    pub(crate) fn get(to: SocketAddr, path: &str) -> io::Result<Reply> {
        let mut conn = Conn::open(to)?;
        conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"))?;
        let reply = conn.reply()?;
        contract_check::check(("GET", path), &reply);
        Ok(reply)
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    /// Reads one answer.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        self.reply_to("GET")
    }

    /// Reads one answer to a method; one to HEAD has no body.
    pub(crate) fn reply_to(&mut self, method: &str) -> io::Result<Reply> {
        let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| bad(&format!("status line {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad("header"))?;
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length = reply.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        if method != "HEAD" && status >= 200 {
            reply.body = vec![0; length];
            self.reader.read_exact(&mut reply.body)?;
            if reply.header("content-type") == Some("application/problem+json") {
                contract_check::problem(&reply);
            }
        }
        Ok(reply)
    }

    /// True when the server has closed, and nothing more came.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// The socket.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// The text of a request's head, up to the empty line.
pub(crate) fn head(
    method: &str,
    path: &str,
    token: Option<&str>,
    headers: &[(&str, &str)],
) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: t\r\n");
    if let Some(token) = token {
        text.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text
}

/// One request on a connection of its own; a body is sent as JSON unless a header says otherwise.
pub(crate) fn call(
    to: SocketAddr,
    (method, path): (&str, &str),
    token: Option<&str>,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Reply {
    try_call(to, (method, path), token, headers, body)
        .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

/// The same, with its failures: a server that is killed has some.
pub(crate) fn try_call(
    to: SocketAddr,
    (method, path): (&str, &str),
    token: Option<&str>,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> io::Result<Reply> {
    let mut text = head(method, path, token, headers);
    if let Some(body) = body {
        if !headers.iter().any(|h| h.0 == "content-type") {
            text.push_str("content-type: application/json\r\n");
        }
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    } else if method != "GET" && method != "HEAD" {
        text.push_str("content-length: 0\r\n");
    }
    text.push_str("connection: close\r\n\r\n");
    let mut conn = Conn::open(to)?;
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    // A refusal may come, and the connection close, before all of a body was sent.
    let _ = conn.send(&bytes);
    let reply = conn.reply_to(method)?;
    contract_check::check((method, path), &reply);
    Ok(reply)
}
