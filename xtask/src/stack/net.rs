//! The two smallest clients that health checks need: one Redis command, one HTTP request.
//!
//! Written by hand on a TCP stream so that xtask compiles in seconds; over TLS, on a secure stack,
//! through the usual programs. Every step has a timeout, because the server on the other end may be
//! frozen.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::layout::Layout;
use super::secure;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_millis(500);

/// Whether something accepts connections on this port.
pub(super) fn listens(port: u16) -> bool {
    connect(port, CONNECT).is_ok()
}

fn connect(port: u16, answer_within: Duration) -> Result<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&address, CONNECT)
        .with_context(|| format!("nothing listens on port {port}"))?;
    stream.set_read_timeout(Some(answer_within)).context("cannot set a timeout")?;
    stream.set_write_timeout(Some(answer_within)).context("cannot set a timeout")?;
    Ok(stream)
}

/// Sends one Redis command without binary arguments and returns its simple or bulk reply.
pub(super) fn redis(layout: &Layout, port: u16, command: &str) -> Result<String> {
    if let Some(secure) = secure::of(layout) {
        return secure.redis(port, command);
    }
    let mut stream = connect(port, Duration::from_secs(2))?;
    stream.write_all(format!("{command}\r\n").as_bytes()).context("cannot send to Redis")?;
    read_reply(&mut BufReader::new(stream)).with_context(|| format!("{command} on port {port}"))
}

fn read_reply(reader: &mut impl BufRead) -> Result<String> {
    let mut head = String::new();
    reader.read_line(&mut head).context("no reply")?;
    let head = head.trim_end();
    let Some(rest) = head.get(1..) else { bail!("the connection was closed") };
    match head.as_bytes()[0] {
        b'+' | b':' => Ok(rest.to_owned()),
        b'$' => {
            let length: usize = rest.parse().with_context(|| format!("odd reply {head}"))?;
            let mut body = vec![0; length];
            reader.read_exact(&mut body).context("a reply that ends early")?;
            Ok(String::from_utf8_lossy(&body).into_owned())
        }
        _ => bail!("{rest}"),
    }
}

/// Sends one HTTP request, with a JSON body unless it is empty; returns status and body.
pub(super) fn http(
    layout: &Layout,
    port: u16,
    (method, path): (&str, &str),
    body: &str,
) -> Result<(u16, String)> {
    if let Some(secure) = secure::of(layout) {
        return secure.http(port, method, path, body);
    }
    let mut stream = connect(port, Duration::from_secs(20))?;
    // HTTP/1.0 keeps the answer free of chunks and ends it with the connection.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).context("cannot send the request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("{method} {path}: no answer"))?;
    parse_http(&answer).with_context(|| format!("{method} {path}: not an HTTP answer"))
}

fn parse_http(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_replies_are_read_by_kind() {
        assert_eq!(read_reply(&mut &b"+PONG\r\n"[..]).unwrap(), "PONG");
        assert_eq!(read_reply(&mut &b"$4\r\na\r\nb\r\n"[..]).unwrap(), "a\r\nb");
        assert!(read_reply(&mut &b"-LOADING data\r\n"[..]).is_err());
        assert!(read_reply(&mut &b""[..]).is_err());
    }

    #[test]
    fn http_answers_are_split() {
        let answer = "HTTP/1.1 409 Conflict\r\nA: b\r\n\r\nthere";
        assert_eq!(parse_http(answer), Some((409, "there".to_owned())));
        assert_eq!(parse_http("garbage"), None);
    }
}
