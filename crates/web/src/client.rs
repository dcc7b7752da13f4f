//! Whose request it is behind proxies: `X-Forwarded-For` and `Forwarded` (RFC 7239), pure.
//!
//! What a proxy appends stands on the right, so the way goes from the right to the first address
//! that is no trusted proxy; what stands left of it is only what the client said. What cannot be
//! read ends the way at the proxy that passed it on: nobody gains an address of choice by nonsense.
//! A proxy writes one of the two headers and may pass the other one on as it came, so where both
//! are there and differ, neither is believed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::network::Network;

/// The lines of both headers, in the order in which they came.
#[derive(Default)]
pub struct ForwardedFor<'a> {
    /// `X-Forwarded-For`.
    pub x_forwarded_for: Vec<&'a [u8]>,
    /// `Forwarded`.
    pub forwarded: Vec<&'a [u8]>,
}

/// True when what this address says about others is believed.
pub fn is_trusted(trusted: &[Network], ip: IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(ip))
}

/// Who counts as one address: an IPv4 address as it is, an IPv6 address by its /64.
pub fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The address of the client of a request that came from `peer`.
pub fn client(trusted: &[Network], peer: IpAddr, said: &ForwardedFor<'_>) -> IpAddr {
    if !is_trusted(trusted, peer) {
        return peer;
    }
    let x = said.x_forwarded_for.iter().rev();
    let x = walk(trusted, peer, x.flat_map(|line| line.rsplit(|b| *b == b',')).filter_map(plain));
    let lines = said.forwarded.iter().rev();
    let forwarded = walk(trusted, peer, lines.flat_map(|line| elements(line).into_iter().rev()));
    match (said.x_forwarded_for.is_empty(), said.forwarded.is_empty()) {
        (_, true) => x,
        (true, false) => forwarded,
        (false, false) if x == forwarded => x,
        (false, false) => peer,
    }
}

fn walk(
    trusted: &[Network],
    peer: IpAddr,
    from_right: impl Iterator<Item = Option<IpAddr>>,
) -> IpAddr {
    let mut client = peer;
    for hop in from_right {
        let Some(ip) = hop else { break };
        client = ip;
        if !is_trusted(trusted, ip) {
            break;
        }
    }
    client
}

/// An element of `X-Forwarded-For`: nothing for an empty one, `Some(None)` for no address.
fn plain(element: &[u8]) -> Option<Option<IpAddr>> {
    let element = element.trim_ascii();
    (!element.is_empty()).then(|| node(std::str::from_utf8(element).ok()?))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; a port of
/// RFC 7239 may be a name (`_x`). `unknown` and names are no addresses.
fn node(text: &str) -> Option<IpAddr> {
    let is_port = |port: &str| {
        let name = port.strip_prefix('_').is_some_and(|n| {
            !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        });
        name || (port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
    };
    let ip: IpAddr = if let Some(rest) = text.strip_prefix('[') {
        let (ip, after) = rest.split_once(']')?;
        if !after.is_empty() && !after.strip_prefix(':').is_some_and(is_port) {
            return None;
        }
        ip.parse::<Ipv6Addr>().ok()?.into()
    } else if let Ok(ip) = text.parse::<IpAddr>() {
        ip
    } else if let Ok(address) = text.parse::<SocketAddr>() {
        address.ip()
    } else {
        let (ip, port) = text.split_once(':')?;
        ip.parse::<std::net::Ipv4Addr>().ok().filter(|_| is_port(port))?.into()
    };
    Some(ip.to_canonical())
}

/// The elements of a line of `Forwarded`, each the address of its `for`. A line that cannot be
/// taken apart is one element without an address.
fn elements(line: &[u8]) -> Vec<Option<IpAddr>> {
    let parse = || {
        let text = std::str::from_utf8(line).ok()?;
        let parts = split(text, ',')?;
        let parts = parts.into_iter().map(str::trim).filter(|e| !e.is_empty());
        Some(parts.map(element).collect())
    };
    parse().unwrap_or_else(|| vec![None])
}

fn element(text: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split(text, ';')?.into_iter().map(str::trim).filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case("for") && found.replace(unquoted(value)?).is_some() {
            return None;
        }
    }
    node(&found?)
}

/// Splits outside of quotes; `None` when a quote does not end.
fn split(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (n, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == at && !quoted => {
                parts.push(&text[from..n]);
                from = n + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    (!quoted).then_some(parts)
}

/// A token, or what a quoted string says.
fn unquoted(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.contains(['"', ' ', '\t', '\\'])).then(|| value.to_owned());
    };
    let (mut out, mut chars) = (String::new(), rest.chars());
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(out),
            '\\' => out.push(chars.next()?),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proxies are 10.0.0.0/8 and 2001:db8:ffff::/48; the peer is 10.0.0.1.
    fn found(peer: &str, x: &[&str], forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|n| n.parse().unwrap());
        let said = ForwardedFor {
            x_forwarded_for: x.iter().map(|l| l.as_bytes()).collect(),
            forwarded: forwarded.iter().map(|l| l.as_bytes()).collect(),
        };
        client(&trusted, peer.parse().unwrap(), &said).to_string()
    }

    #[test]
    fn x_forwarded_for_from_the_right() {
        let cases: [(&[&str], &str); 26] = [
            (&[], "10.0.0.1"),
            (&["203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (&["192.0.2.1, 203.0.113.9"], "203.0.113.9"),
            (&["192.0.2.1", "203.0.113.9"], "203.0.113.9"),
            (&["192.0.2.1", "203.0.113.9", "10.0.0.3,10.0.0.2"], "203.0.113.9"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["2001:db8::7, 2001:db8:ffff::1"], "2001:db8::7"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            (&["[::ffff:203.0.113.9]:80"], "203.0.113.9"),
            (&["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
            (&["203.0.113.9,,  ,"], "203.0.113.9"),
            (&[""], "10.0.0.1"),
            // What cannot be read is never passed by.
            (&["203.0.113.9, unknown"], "10.0.0.1"),
            (&["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
            (&["nonsense, 203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9:99999"], "10.0.0.1"),
            (&["203.0.113.256"], "10.0.0.1"),
            (&["[203.0.113.9]"], "10.0.0.1"),
            (&["[2001:db8::7"], "10.0.0.1"),
            (&["fe80::1%eth0"], "10.0.0.1"),
            (&["\u{e9}"], "10.0.0.1"),
        ];
        for (lines, client) in cases {
            assert_eq!(found("10.0.0.1", lines, &[]), client, "{lines:?}");
            // A stranger says what it likes.
            assert_eq!(found("198.51.100.1", lines, &[]), "198.51.100.1", "{lines:?}");
        }
        assert_eq!(found("::ffff:10.0.0.1", &["203.0.113.9"], &[]), "203.0.113.9");
    }

    #[test]
    fn forwarded_from_the_right() {
        let cases: [(&[&str], &str); 24] = [
            (&["for=203.0.113.9"], "203.0.113.9"),
            (&["For=203.0.113.9;proto=https;by=10.0.0.1"], "203.0.113.9"),
            (&["proto=https;FOR=\"203.0.113.9\""], "203.0.113.9"),
            (&["for=\"203.0.113.9:4711\""], "203.0.113.9"),
            (&["for=\"[2001:db8::7]\""], "2001:db8::7"),
            (&["for=\"[2001:db8::7]:_port\""], "2001:db8::7"),
            (&["for=192.0.2.1, for=203.0.113.9, for=10.0.0.2"], "203.0.113.9"),
            (&["for=192.0.2.1", "for=203.0.113.9"], "203.0.113.9"),
            (&["for=203.0.113.9;host=\"a,b;c\", for=10.0.0.2"], "203.0.113.9"),
            (&["for=\"2\\03.0.113.9\""], "203.0.113.9"),
            (&["for=203.0.113.9, "], "203.0.113.9"),
            (&["for=\"nonsense, for=203.0.113.9"], "10.0.0.1"),
            (&["for=\"nonsense", "for=203.0.113.9"], "203.0.113.9"),
            (&["for=203.0.113.9, for=unknown"], "10.0.0.1"),
            (&["for=203.0.113.9, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["proto=https"], "10.0.0.1"),
            (&["203.0.113.9"], "10.0.0.1"),
            (&["for=203.0.113.9;for=192.0.2.1"], "10.0.0.1"),
            (&["for="], "10.0.0.1"),
            (&["for"], "10.0.0.1"),
            (&["for=\"\""], "10.0.0.1"),
            (&["for=203.0.113.9\""], "10.0.0.1"),
            (&["for= 203.0.113.9"], "10.0.0.1"),
            (&["for=\"203.0.113.9\"x"], "10.0.0.1"),
        ];
        for (lines, client) in cases {
            assert_eq!(found("10.0.0.1", &[], lines), client, "{lines:?}");
            assert_eq!(found("198.51.100.1", &[], lines), "198.51.100.1", "{lines:?}");
        }
    }

    #[test]
    fn both_headers_have_to_agree() {
        let both = |x, f| found("10.0.0.1", &[x], &[f]);
        assert_eq!(both("203.0.113.9", "for=203.0.113.9"), "203.0.113.9");
        assert_eq!(both("192.0.2.1, 203.0.113.9", "for=203.0.113.9"), "203.0.113.9");
        assert_eq!(both("203.0.113.9", "for=192.0.2.1"), "10.0.0.1");
        assert_eq!(both("203.0.113.9", "nonsense"), "10.0.0.1");
    }
}
