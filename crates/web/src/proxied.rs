//! The PROXY protocol, versions 1 and 2, of connections that come from trusted proxies.
//!
//! The header is taken out of what was read ahead, so that not a byte of what follows it is lost. A
//! trusted proxy's connection without one is closed, as the protocol demands: nothing is guessed.

use std::net::IpAddr;

use bytes::Buf;
use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::time::{Instant, timeout_at};

use crate::stream::Conn;

/// The longest header that is taken, with its extensions.
const MOST: usize = 2048;
/// The longest line of version 1, as its protocol says.
const LONGEST_LINE: usize = 107;

/// From where a connection comes.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// Its proxy speaks for itself, or for something that has no address.
    Proxy,
    /// An address.
    Client(IpAddr),
}

/// Takes the header; `None` when there is none, it is malformed, or it does not come in time.
pub(crate) async fn source(conn: &mut Conn, proxy: IpAddr, until: Instant) -> Option<IpAddr> {
    loop {
        let bytes = &conn.ahead[..conn.ahead.len().min(MOST)];
        if let Some((length, source)) = header(bytes) {
            conn.ahead.advance(length);
            return Some(match source {
                Source::Proxy => proxy,
                Source::Client(ip) => ip.to_canonical(),
            });
        }
        if bytes.len() == MOST || !may_become_one(bytes) {
            return None;
        }
        if timeout_at(until, conn.look_ahead()).await.ok()?.ok()? == 0 {
            return None;
        }
    }
}

/// What version 2 has before its addresses, bytes.
const BEFORE_ADDRESSES: usize = 16;
/// Version 2, command LOCAL.
const LOCAL: u8 = 0x20;

/// How long a header of version 2 is whose proxy speaks for itself. Its family and its addresses
/// are not looked at, as its protocol demands, whatever they are.
fn local(bytes: &[u8]) -> Option<usize> {
    let (start, _) = bytes.split_at_checked(BEFORE_ADDRESSES)?;
    let is_local = start.starts_with(v2::PROTOCOL_PREFIX) && start[12] == LOCAL;
    is_local.then(|| BEFORE_ADDRESSES + usize::from(u16::from_be_bytes([start[14], start[15]])))
}

/// Length and source of a whole header.
fn header(bytes: &[u8]) -> Option<(usize, Source)> {
    if let Some(length) = local(bytes) {
        return (length <= bytes.len()).then_some((length, Source::Proxy));
    }
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => {
            let source = match header.addresses {
                v1::Addresses::Unknown => Source::Proxy,
                v1::Addresses::Tcp4(a) => Source::Client(a.source_address.into()),
                v1::Addresses::Tcp6(a) => Source::Client(a.source_address.into()),
            };
            Some((header.header.len(), source))
        }
        HeaderResult::V2(Ok(header)) => {
            let source = match header.addresses {
                v2::Addresses::IPv4(a) => Source::Client(a.source_address.into()),
                v2::Addresses::IPv6(a) => Source::Client(a.source_address.into()),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => Source::Proxy,
            };
            Some((header.len(), source))
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => None,
    }
}

/// True while more bytes may make a header of these.
fn may_become_one(bytes: &[u8]) -> bool {
    let begins = |with: &[u8]| {
        let n = with.len().min(bytes.len());
        with[..n] == bytes[..n]
    };
    // The library takes some beginnings of a line for a whole one.
    let line = begins(v1::PROTOCOL_PREFIX.as_bytes())
        && bytes.len() < LONGEST_LINE
        && !bytes.contains(&b'\n');
    let speaks_for_itself = bytes.get(v2::PROTOCOL_PREFIX.len()) == Some(&LOCAL);
    let open = match local(bytes) {
        Some(length) => bytes.len() < length,
        None => speaks_for_itself || HeaderResult::parse(bytes).is_incomplete(),
    };
    line || (begins(v2::PROTOCOL_PREFIX) && open)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2: command and version, family, what follows.
    fn two(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
    }

    #[test]
    fn headers_and_their_beginnings() {
        let four = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0x1f, 0x90];
        let six = [[0x20, 1, 13, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]; 2].concat();
        let six = [&six[..], &[0x12, 0x67, 0x1f, 0x90]].concat();
        let with_more = [&four[..], &[4, 0, 1, 42]].concat();
        let client = |ip: &str| Source::Client(ip.parse().unwrap());
        let fine = [
            (two(0x21, 0x11, &four), client("203.0.113.9")),
            (two(0x21, 0x21, &six), client("2001:db8::7")),
            (two(0x21, 0x11, &with_more), client("203.0.113.9")),
            (two(0x20, 0x00, &[]), Source::Proxy),
            (two(0x20, 0x11, &four), Source::Proxy),
            (two(0x20, 0x11, b"zz"), Source::Proxy),
            (two(0x20, 0xff, &six), Source::Proxy),
            (two(0x20, 0x00, &[7; 1000]), Source::Proxy),
            (two(0x21, 0x00, &[]), Source::Proxy),
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec(), client("203.0.113.9")),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n".to_vec(), client("2001:db8::7")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Source::Proxy),
        ];
        for (bytes, source) in fine {
            let length = bytes.len();
            let followed = [&bytes[..], b"GET / HTTP/1.1\r\n\xff"].concat();
            assert_eq!(header(&followed), Some((length, source)), "{bytes:?}");
            for n in 1..length {
                assert!(header(&bytes[..n]).is_none() && may_become_one(&bytes[..n]), "{n}");
            }
        }
        let wrong = [
            two(0x31, 0x11, &four),
            two(0x22, 0x11, &four),
            two(0x21, 0x11, &four[..4]),
            two(0x21, 0x41, &four),
            b"PROXY TCP4 203.0.113.999 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP9 203.0.113.9 10.0.0.1 1 2\r\n".to_vec(),
            [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat(),
            b"GET / HTTP/1.1\r\nhost: t\r\n\r\n".to_vec(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            b"\r\n\r\nGET".to_vec(),
        ];
        for bytes in wrong {
            assert!(header(&bytes).is_none() && !may_become_one(&bytes), "{bytes:?}");
        }
    }
}
