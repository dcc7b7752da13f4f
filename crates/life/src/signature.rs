//! HMAC-SHA256 over what a provider signs, compared in constant time.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::callback::WINDOW_S;

/// What was signed, and with what it is said to be.
pub(crate) struct Signed<'a> {
    /// When, unix seconds.
    pub at_s: u64,
    /// The bytes, in parts that are signed one after the other.
    pub parts: Vec<&'a [u8]>,
    /// Signatures, of which one has to fit; at most a few are looked at.
    pub signatures: Vec<Vec<u8>>,
}

/// More signatures than a provider that changes its secret sends.
pub(crate) const MAX_SIGNATURES: usize = 8;

impl Signed<'_> {
    /// True within the window on either side of our clock.
    pub(crate) fn is_fresh(&self, now_s: u64) -> bool {
        self.at_s.abs_diff(now_s) <= WINDOW_S
    }

    /// True when a signature is one by any of the keys. All are looked at, whatever the first says.
    pub(crate) fn is_by_any(&self, keys: impl Iterator<Item = Vec<u8>>) -> bool {
        let mut found = false;
        for key in keys {
            for signature in self.signatures.iter().take(MAX_SIGNATURES) {
                found |= mac(&key, &self.parts).verify_slice(signature).is_ok();
            }
        }
        found
    }
}

/// The header of the generic scheme, for what we send.
pub(crate) fn sign(secret: &str, at_s: u64, body: &[u8]) -> String {
    use std::fmt::Write;
    let at = at_s.to_string();
    let digest = mac(secret.as_bytes(), &[at.as_bytes(), b".", body]).finalize().into_bytes();
    digest.iter().fold(format!("t={at},v1="), |mut out, byte| {
        // Text that grows takes everything.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// The header of the generic scheme and of Stripe's: `t=<unix seconds>,v1=<hex>[,v1=<hex>]`; other
/// versions are left alone. `None` where it is none.
pub(crate) fn timed<'a>(header: &'a str, body: &'a [u8]) -> Option<Signed<'a>> {
    let mut at = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=')? {
            ("t", t) if at.is_none() => at = Some(t),
            ("t", _) => return None,
            ("v1", hex) => signatures.push(unhex(hex)?),
            _ => {}
        }
    }
    let at = at?;
    Some(Signed { at_s: seconds(at)?, parts: vec![at.as_bytes(), b".", body], signatures })
}

/// Seconds as they are signed: digits alone.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
