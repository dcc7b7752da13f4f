//! An order row against the ledger of its lines (INV-5, INV-6). This module decides, it never acts.
//!
//! A row is written after its verdicts, so a row that the ledger does not bear out says that a
//! database lost commits: the ledger's, or the row's.

use std::collections::HashMap;

use crate::cell::CellId;
use crate::drift::DriftKind;
use crate::ids::OrderId;
use crate::ledger::Kind;
use crate::order::RowStatus;

/// What a ledger says of one line of an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trace {
    /// The verdict: `Some(true)` for a claim.
    pub claimed: Option<bool>,
    /// The claim was given back: the order died.
    pub released: bool,
    /// Units came back by a refund.
    pub returned: bool,
}

/// Traces by order and cell; what is not in it has none.
pub type Traces = HashMap<(OrderId, CellId), Trace>;

impl Trace {
    /// Takes an entry of the order in.
    pub fn note(&mut self, kind: Kind) {
        match kind {
            Kind::Claim => self.claimed = Some(true),
            Kind::Reject | Kind::TransferOut => self.claimed = Some(false),
            Kind::Release => self.released = true,
            Kind::Return(_) => self.returned = true,
            Kind::Supply | Kind::Flag => {}
        }
    }
}

/// What is wrong with a row, if anything. `lines`: one per line.
///
/// A dead row whose goods came back by a refund was paid once: its database has lost that, and a
/// release must not follow (INV-15).
pub fn compare(status: RowStatus, lines: &[Trace]) -> Option<DriftKind> {
    let is_refused = |t: &Trace| t.claimed == Some(false) || t.released;
    let is_kept = |t: &Trace| t.claimed == Some(true) && !t.released;
    if !status.is_live() {
        if lines.iter().any(|t| t.returned) {
            return Some(DriftKind::RowReturned);
        }
        return lines.iter().any(is_kept).then_some(DriftKind::RowUnreleased);
    }
    if lines.iter().any(is_refused) {
        // Its units were sold again, and its money is back: nothing is owed.
        let is_over = status == RowStatus::Refunded;
        return (!is_over).then_some(DriftKind::RowRefused);
    }
    lines.iter().any(|t| t.claimed.is_none()).then_some(DriftKind::RowUnclaimed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ordinal;

    const NONE: Trace = Trace { claimed: None, released: false, returned: false };
    const KEPT: Trace = Trace { claimed: Some(true), ..NONE };
    const BACK: Trace = Trace { claimed: Some(true), released: true, ..NONE };
    const PART: Trace = Trace { claimed: Some(true), returned: true, ..NONE };
    const NO: Trace = Trace { claimed: Some(false), ..NONE };

    #[test]
    fn every_status_against_every_pair_of_lines() {
        for status in RowStatus::ALL {
            for a in [NONE, KEPT, BACK, PART, NO] {
                for b in [NONE, KEPT, BACK, PART, NO] {
                    let pair = [a, b];
                    let has = |t: Trace| pair.contains(&t);
                    let expected = match status.is_live() {
                        false if has(PART) => Some(DriftKind::RowReturned),
                        false if has(KEPT) => Some(DriftKind::RowUnreleased),
                        false => None,
                        true if has(NO) || has(BACK) => {
                            (status != RowStatus::Refunded).then_some(DriftKind::RowRefused)
                        }
                        true if has(NONE) => Some(DriftKind::RowUnclaimed),
                        true => None,
                    };
                    assert_eq!(compare(status, &pair), expected, "{status:?} {pair:?}");
                }
            }
        }
    }

    #[test]
    fn entries_make_a_trace() {
        let of = |kinds: &[Kind]| {
            let mut t = Trace::default();
            kinds.iter().for_each(|k| t.note(*k));
            t
        };
        assert_eq!(of(&[Kind::Supply, Kind::Flag]), NONE);
        assert_eq!(of(&[Kind::Claim]), KEPT);
        assert_eq!(of(&[Kind::Release, Kind::Claim]), BACK);
        assert_eq!(of(&[Kind::Claim, Kind::Return(Ordinal::FIRST)]), PART);
        assert_eq!(of(&[Kind::Reject]), NO);
        assert_eq!(of(&[Kind::TransferOut]), NO);
    }
}
