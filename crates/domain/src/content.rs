//! The content of an order as bytes: what makes two requests under one key the same request.
//!
//! The content part of every order id hangs on these bytes (INV-8), so their form never changes:
//! the lines by their offers, each an offer, a newline, its quantity in decimal and a newline, then
//! the canonical metadata. A name never has a newline or a `{`, so no two contents have the same
//! bytes. Prices and buckets are no content: a retry after a change of price is the same request,
//! and the bucket follows from the buyer.

use std::fmt::Write;

use crate::names::OfferId;

/// The bytes of lines (offer, units) and canonical metadata (a JSON object, or empty for none).
///
/// The order in which a client names its lines does not count.
pub fn content(lines: &[(&OfferId, u32)], metadata: &str) -> Vec<u8> {
    let mut sorted = lines.to_vec();
    sorted.sort();
    let mut out = String::with_capacity(metadata.len() + 80 * lines.len());
    for (offer, qty) in sorted {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{offer}\n{qty}");
    }
    out.push_str(metadata);
    out.into_bytes()
}
