//! Orders kept beside their verdicts until they have their rows: a list of (position, what was
//! asked, sealed bytes) as one value of the database.
//!
//! Form: a version byte, then per order the position, the time (8 bytes each, big endian), the mode
//! (0 full, 1 abort), the length of the payload (4 bytes) and the payload. An order is found by its
//! position in the ledger of the cell.

use bytes::Bytes;

use crate::frame::{Mode, Sealed};

const VERSION: u8 = 1;
const HEAD: usize = 21;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The position of its anchor's verdict.
    pub seq: u64,
    /// What the verdict was asked for: it tells why a rejected order was rejected.
    pub mode: Mode,
    /// The order as it was published.
    pub sealed: Sealed,
}

/// Writes a list.
pub fn pack<'a>(orders: impl IntoIterator<Item = (u64, Mode, &'a Sealed)>) -> Vec<u8> {
    let mut out = vec![VERSION];
    for (seq, mode, sealed) in orders {
        out.extend_from_slice(&seq.to_be_bytes());
        out.extend_from_slice(&sealed.t_ms.to_be_bytes());
        out.push(u8::from(mode == Mode::Abort));
        out.extend_from_slice(&(sealed.payload.len() as u32).to_be_bytes());
        out.extend_from_slice(&sealed.payload);
    }
    out
}

/// How many bytes an order adds to a list.
pub fn size(sealed: &Sealed) -> usize {
    HEAD + sealed.payload.len()
}

/// Reads a list; `None` when it is none, or was written by a later version.
pub fn unpack(bytes: &[u8]) -> Option<Vec<Kept>> {
    let (version, mut rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (seq, after) = rest.split_first_chunk()?;
        let (t_ms, after) = after.split_first_chunk()?;
        let (mode, after) = after.split_first()?;
        let mode = [Mode::Full, Mode::Abort].get(usize::from(*mode)).copied()?;
        let (len, after) = after.split_first_chunk()?;
        let (payload, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        let (t_ms, payload) = (u64::from_be_bytes(*t_ms), Bytes::copy_from_slice(payload));
        out.push(Kept { seq: u64::from_be_bytes(*seq), mode, sealed: Sealed { t_ms, payload } });
        rest = after;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Vec<Kept> {
        let one = |n: u64| {
            let payload = Bytes::from(vec![n as u8; n as usize * 7]);
            let mode = if n.is_multiple_of(2) { Mode::Full } else { Mode::Abort };
            Kept { seq: n * 3, mode, sealed: Sealed { t_ms: u64::MAX - n, payload } }
        };
        (0..5).map(one).collect()
    }

    fn packed() -> Vec<u8> {
        pack(orders().iter().map(|k| (k.seq, k.mode, &k.sealed)))
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        assert_eq!(unpack(&packed()), Some(orders()));
        assert_eq!(unpack(&pack([])), Some(Vec::new()));
        let total: usize = orders().iter().map(|k| size(&k.sealed)).sum();
        assert_eq!(packed().len(), 1 + total);
    }

    #[test]
    fn the_form_stands_still() {
        let one = Sealed { t_ms: 258, payload: Bytes::from_static(b"ab") };
        let golden = [1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 0, 2, b'a', b'b'];
        assert_eq!(pack([(7, Mode::Abort, &one)]), golden);
    }

    #[test]
    fn a_cut_or_foreign_list_is_none() {
        let whole = packed();
        let ends: Vec<usize> =
            (0..whole.len()).filter(|n| unpack(&whole[..*n]).is_some()).collect();
        // Only where an order ends.
        let mut want = vec![1];
        for k in orders() {
            want.push(want[want.len() - 1] + size(&k.sealed));
        }
        want.pop();
        assert_eq!(ends, want);
        assert_eq!(unpack(&[2]), None);
        assert_eq!(unpack(&[]), None);
        let mut odd = pack([(7, Mode::Full, &orders()[2].sealed)]);
        odd[17] = 2;
        assert_eq!(unpack(&odd), None, "a mode that is none");
    }
}
