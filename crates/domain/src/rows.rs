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
    /// The claim was given back.
    pub released: bool,
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
            Kind::Supply | Kind::Flag => {}
        }
    }
}

/// What is wrong with a row, if anything. `lines`: one per line.
pub fn compare(status: RowStatus, lines: &[Trace]) -> Option<DriftKind> {
    let is_refused = |t: &Trace| t.claimed == Some(false) || t.released;
    let is_kept = |t: &Trace| t.claimed == Some(true) && !t.released;
    if !status.is_live() {
        return lines.iter().any(is_kept).then_some(DriftKind::RowUnreleased);
    }
    // An order whose money is on its way back keeps its units until that is done, or not.
    if status == RowStatus::Refunding {
        return None;
    }
    if lines.iter().any(is_refused) {
        return Some(DriftKind::RowRefused);
    }
    lines.iter().any(|t| t.claimed.is_none()).then_some(DriftKind::RowUnclaimed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Trace = Trace { claimed: None, released: false };
    const KEPT: Trace = Trace { claimed: Some(true), released: false };
    const BACK: Trace = Trace { claimed: Some(true), released: true };
    const NO: Trace = Trace { claimed: Some(false), released: false };

    #[test]
    fn every_status_against_every_pair_of_lines() {
        for status in RowStatus::ALL {
            for a in [NONE, KEPT, BACK, NO] {
                for b in [NONE, KEPT, BACK, NO] {
                    let pair = [a, b];
                    let has = |t: Trace| pair.contains(&t);
                    let expected = match (status.is_live(), status) {
                        (false, _) if has(KEPT) => Some(DriftKind::RowUnreleased),
                        (false, _) | (true, RowStatus::Refunding) => None,
                        (true, _) if has(NO) || has(BACK) => Some(DriftKind::RowRefused),
                        (true, _) if has(NONE) => Some(DriftKind::RowUnclaimed),
                        (true, _) => None,
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
        assert_eq!(of(&[Kind::Reject]), NO);
        assert_eq!(of(&[Kind::TransferOut]), NO);
    }
}
