//! What makes a message malformed before anybody asks what it wants, on both listeners.
//!
//! The library reads messages; these are the rules that it leaves to its caller: one `Host`, one
//! way of framing, a head of at most 16 KiB whatever packets it came in, no trailers over HTTP/2.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use contract::{Problem, Reason};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::TRANSFER_ENCODING;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Request, Version};

/// Longest head, bytes.
pub const MAX_HEAD: usize = 16 * 1024;

/// Refuses what must not be read on; the connection ends with the refusal.
pub fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let found = if head_bytes(request) > MAX_HEAD {
        Err((Reason::HeadersTooLarge, format!("a head has at most {MAX_HEAD} bytes")))
    } else {
        let fine = host(request).and_then(|()| framing(request)).and_then(|()| media(request));
        fine.map_err(|e| (Reason::Malformed, e.to_owned()))
    };
    found.map_err(|e| {
        let mut p = Problem::from(e);
        p.headers.push((CONNECTION, "close".to_owned()));
        p
    })
}

/// Request line and header lines as they are usually written; spaces that mean nothing are free.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let target = uri.path().len() + uri.query().map_or(0, |q| q.len() + 1);
    let lines = request.headers().iter().map(|(n, v)| n.as_str().len() + v.len() + 4);
    request.method().as_str().len() + target + 14 + lines.sum::<usize>()
}

/// RFC 9112 3.2 and RFC 9113 8.3.1.
fn host<B>(request: &Request<B>) -> Result<(), &'static str> {
    let mut all = request.headers().get_all(HOST).iter().map(HeaderValue::as_bytes);
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        return Err("Host was given twice");
    }
    if first.is_some_and(|host| !is_host(host)) {
        return Err("Host is malformed");
    }
    if request.version() < Version::HTTP_2 {
        let needed = request.version() == Version::HTTP_11;
        return if needed && first.is_none() { Err("send a Host header") } else { Ok(()) };
    }
    let Some(authority) = request.uri().authority().map(|a| a.as_str().as_bytes()) else {
        return if first.is_none() { Err("send :authority or Host") } else { Ok(()) };
    };
    if !is_host(authority) || first.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
        return Err(":authority is malformed, or Host is another one");
    }
    Ok(())
}

/// `uri-host [":" port]`; empty where there is none.
pub fn is_host(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let (is_name, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return false,
        Some(Some((ip, ""))) => (ip.parse::<std::net::Ipv6Addr>().is_ok(), ""),
        Some(Some((ip, after))) => match after.strip_prefix(':') {
            Some(port) => (ip.parse::<std::net::Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            (is_name(name) && (!name.is_empty() || text.is_empty()), port)
        }
    };
    let is_port = port.is_empty() || port.parse::<u16>().is_ok();
    is_name && is_port && port.bytes().all(|b| b.is_ascii_digit())
}

/// RFC 3986 `reg-name`, which IPv4 addresses are too.
fn is_name(name: &str) -> bool {
    let mut rest = name.bytes();
    while let Some(b) = rest.next() {
        let fine = match b {
            b'%' => [rest.next(), rest.next()].iter().all(|h| {
                let hex = |b: &u8| b.is_ascii_hexdigit();
                h.as_ref().is_some_and(hex)
            }),
            b => b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&b),
        };
        if !fine {
            return false;
        }
    }
    true
}

/// One `Transfer-Encoding` that says `chunked`, or none: any other coding is not taken, and a
/// reader that takes `chunked, chunked` for one would see other messages than the next one does.
fn framing<B>(request: &Request<B>) -> Result<(), &'static str> {
    let mut all = request.headers().get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    let Some(first) = all.next() else { return Ok(()) };
    let is_chunked = first.trim_ascii().eq_ignore_ascii_case(b"chunked");
    if request.version() != Version::HTTP_11 || !is_chunked || all.next().is_some() {
        return Err("the only Transfer-Encoding is chunked, once, over HTTP/1.1");
    }
    Ok(())
}

/// RFC 9110 8.3: of two media types a reader takes the one, and the next reader the other.
fn media<B>(request: &Request<B>) -> Result<(), &'static str> {
    let twice = request.headers().get_all(CONTENT_TYPE).iter().nth(1).is_some();
    if twice { Err("Content-Type was given twice") } else { Ok(()) }
}

/// The one `Authorization`; two are as good as none.
pub fn authorization(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next()?;
    all.next().is_none().then(|| first.as_bytes())
}

/// A body that may not have trailers over HTTP/2: the library does not tell whether there were
/// pseudo-headers among them, which are not allowed there, and no request of ours has any.
pub struct Whole<B> {
    /// As the library has it.
    pub body: B,
    /// Of its request.
    pub version: Version,
}

/// Why a body broke off.
#[derive(Debug)]
pub struct Broken;

impl<B: Body<Data = Bytes> + Unpin> Body for Whole<B> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let version = self.version;
        Pin::new(&mut self.body).poll_frame(cx).map(|frame| {
            frame.map(|frame| match frame {
                Ok(frame) if frame.is_data() || version < Version::HTTP_2 => Ok(frame),
                Ok(_) | Err(_) => Err(Broken),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(version: Version, uri: &str, headers: &[(&str, &str)]) -> Option<Reason> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).err().map(|p| p.reason)
    }

    #[test]
    fn hosts() {
        let fine =
            ["", "t", "example.org", "example.org:80", "t:", "192.0.2.1:1", "[::1]", "[::1]:80"];
        let wrong = [
            "a b", "a/b", "u@t", "t:x", "t:99999", "t:-1", "[::1", "::1", "[::1]x", "[x]", ":80",
            "a:b:1", "t?", "t#", "%zz", "%4", "\"t\"", "t\\", "<t>", "t:+1", "a,b/",
        ];
        for (value, reason) in
            fine.map(|h| (h, None)).into_iter().chain(wrong.map(|h| (h, Some(Reason::Malformed))))
        {
            assert_eq!(refused(Version::HTTP_11, "/", &[("host", value)]), reason, "{value:?}");
        }
        let no = Some(Reason::Malformed);
        assert_eq!(refused(Version::HTTP_11, "/", &[]), no);
        assert_eq!(refused(Version::HTTP_11, "http://t/", &[]), no);
        assert_eq!(refused(Version::HTTP_10, "/", &[]), None);
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let two = [("host", "t"), ("host", "t")];
            assert_eq!(refused(version, "http://t/", &two), no, "{version:?}");
        }
        assert_eq!(refused(Version::HTTP_2, "http://t/", &[]), None);
        assert_eq!(refused(Version::HTTP_2, "/", &[("host", "t")]), None);
        assert_eq!(refused(Version::HTTP_2, "/", &[]), no);
        assert_eq!(refused(Version::HTTP_2, "http://t/", &[("host", "T")]), None);
        assert_eq!(refused(Version::HTTP_2, "http://t/", &[("host", "u")]), no);
    }

    #[test]
    fn media_types() {
        let json = ("content-type", "application/json");
        for (all, reason) in
            [(vec![json], None), (vec![json, json], Some(Reason::Malformed)), (vec![], None)]
        {
            let headers = [&[("host", "t")], &all[..]].concat();
            assert_eq!(refused(Version::HTTP_11, "/", &headers), reason, "{all:?}");
        }
    }

    #[test]
    fn framings() {
        let te = |values: &[&str]| {
            let mut headers = vec![("host", "t")];
            headers.extend(values.iter().map(|v| ("transfer-encoding", *v)));
            refused(Version::HTTP_11, "/", &headers)
        };
        assert_eq!(te(&["chunked"]), None);
        assert_eq!(te(&["Chunked "]), None);
        let wrong: [&[&str]; 10] = [
            &["gzip, chunked"],
            &["chunked, chunked"],
            &["chunked,"],
            &["gzip"],
            &["identity"],
            &[""],
            &["chunked;q=1"],
            &["chunked", "chunked"],
            &["gzip", "chunked"],
            &["xchunked"],
        ];
        for values in wrong {
            assert_eq!(te(values), Some(Reason::Malformed), "{values:?}");
        }
        let old = refused(Version::HTTP_10, "/", &[("transfer-encoding", "chunked")]);
        assert_eq!(old, Some(Reason::Malformed));
    }

    #[test]
    fn heads_have_a_bound() {
        let with = |n: usize| {
            let value = "x".repeat(n);
            refused(Version::HTTP_11, "/", &[("host", "t"), ("x", &value)])
        };
        let rest = "GET / HTTP/1.1\r\nhost: t\r\nx: \r\n\r\n".len();
        assert_eq!(with(MAX_HEAD - rest), None);
        assert_eq!(with(MAX_HEAD - rest + 1), Some(Reason::HeadersTooLarge));
    }
}
