//! The invariants as functions: tests, the load test's verdict and the live metrics all call
//! these, so that "conserved" means the same thing everywhere.
//!
//! Each check takes plain values and answers the violations it found, with the invariant's id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::hold::Hold;
use crate::ids::{EntryId, OrderId};
use crate::ledger::{Class, Entry, Kind, Totals, refold};
use crate::order::RowStatus;

/// One broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `INV-1` ...
    pub id: &'static str,
    /// What was found.
    pub detail: String,
}

fn bad(id: &'static str, detail: impl Into<String>) -> Violation {
    Violation { id, detail: detail.into() }
}

/// INV-1, INV-2 and INV-15 over a whole ledger: bounds at every entry, gap-free, chained, one
/// verdict and one release per order, a release only after a claim; returns of no more than the
/// claim, and none beside a release.
pub fn ledger(entries: &[Entry], head: Totals) -> Vec<Violation> {
    LedgerWatch::default().fold(entries, head)
}

/// The same, entry by entry: who watches a ledger grow looks at each entry once.
#[derive(Debug, Clone, Default)]
pub struct LedgerWatch {
    totals: Totals,
    seen: BTreeMap<(EntryId, Class), (Kind, i64)>,
    /// Units that came back by returns.
    returned: BTreeMap<EntryId, i64>,
}

impl LedgerWatch {
    /// Folds in what was appended since the last look; `head` is the cell row now.
    pub fn fold(&mut self, entries: &[Entry], head: Totals) -> Vec<Violation> {
        let mut out = Vec::new();
        match refold(self.totals, entries) {
            Err(e) => out.push(bad("INV-1", e)),
            Ok(t) if t != head => out.push(bad("INV-2", format!("cell row {head:?}, fold {t:?}"))),
            Ok(_) => {}
        }
        self.totals = head;
        for e in entries {
            let class = e.kind.class();
            if self.seen.insert((e.id, class), (e.kind, e.qty)).is_some() {
                out.push(bad("INV-2", format!("second {class:?} of {}", e.id)));
            }
            match e.kind {
                Kind::Release => out.extend(self.release(e)),
                Kind::Return(_) => out.extend(self.returns(e)),
                Kind::Supply | Kind::Claim | Kind::Reject | Kind::TransferOut | Kind::Flag => {}
            }
        }
        out
    }

    fn release(&self, e: &Entry) -> Option<Violation> {
        if self.kind(e.id, Class::Verdict) != Some(Kind::Claim) {
            return Some(bad("INV-2", format!("release without claim of {}", e.id)));
        }
        let has_returns = self.returned.contains_key(&e.id);
        has_returns.then(|| bad("INV-15", format!("release beside returns of {}", e.id)))
    }

    fn returns(&mut self, e: &Entry) -> Option<Violation> {
        let returned = self.returned.entry(e.id).or_default();
        *returned += e.qty;
        let claim = self.seen.get(&(e.id, Class::Verdict)).filter(|v| v.0 == Kind::Claim);
        let wrong = match claim {
            None => "a return without a claim".to_owned(),
            Some((_, claim)) if *returned > *claim => format!("{returned} of {claim} returned"),
            Some(_) if self.seen.contains_key(&(e.id, Class::Release)) => {
                "a return beside a release".to_owned()
            }
            Some(_) => return None,
        };
        Some(bad("INV-15", format!("{}: {wrong}", e.id)))
    }

    /// Units of an order that came back by returns.
    pub fn returned(&self, id: impl Into<EntryId>) -> i64 {
        self.returned.get(&id.into()).copied().unwrap_or(0)
    }

    /// The entry under an id in a class.
    pub fn kind(&self, id: impl Into<EntryId>, class: Class) -> Option<Kind> {
        self.seen.get(&(id.into(), class)).map(|s| s.0)
    }

    /// The claims with their units, by order.
    pub fn claims(&self) -> impl Iterator<Item = (OrderId, i64)> {
        // Only an order has a claim.
        let claim = |(k, v): (&(EntryId, Class), &(Kind, i64))| {
            (v.0 == Kind::Claim).then_some((OrderId(k.0.0), v.1))
        };
        self.seen.iter().filter_map(claim)
    }
}

/// INV-3: the view's counters are the ledger's at W.
pub fn view(view: Totals, at_w: Option<Totals>, head: Totals) -> Vec<Violation> {
    match crate::drift::compare(view, at_w, head) {
        None | Some(crate::drift::DriftKind::Behind) => Vec::new(),
        Some(kind) => {
            vec![bad("INV-3", format!("{}: view {view:?}, ledger {at_w:?}", kind.as_str()))]
        }
    }
}

/// INV-4: `held` is the sum of the holds.
pub fn held(held: i64, holds: &[Hold]) -> Vec<Violation> {
    let sum: i64 = holds.iter().map(|h| i64::from(h.qty)).sum();
    if sum == held { Vec::new() } else { vec![bad("INV-4", format!("held {held}, holds {sum}"))] }
}

/// INV-4 for buyers: b is ledger (up to W) plus holds, for every buyer with a field.
pub fn buyers(
    b: &HashMap<String, i64>,
    ledger_at_w: &HashMap<String, i64>,
    holds: &[Hold],
) -> Vec<Violation> {
    let mut want = ledger_at_w.clone();
    for h in holds {
        if let Some(buyer) = &h.buyer {
            *want.entry(buyer.as_str().to_owned()).or_default() += i64::from(h.qty);
        }
    }
    let zero = |m: &HashMap<String, i64>, k: &String| m.get(k).copied().unwrap_or(0);
    let names: BTreeSet<&String> = b.keys().chain(want.keys()).collect();
    names
        .into_iter()
        .filter(|k| zero(b, k) != zero(&want, k))
        .map(|k: &String| {
            bad("INV-4", format!("buyer {k:?}: b {}, want {}", zero(b, k), zero(&want, k)))
        })
        .collect()
}

/// Units per buyer of a ledger prefix: what was claimed and did not come back.
pub fn buyer_sums(entries: &[Entry]) -> HashMap<String, i64> {
    let mut sums = HashMap::new();
    for e in entries.iter().filter(|e| e.moves_buyer()) {
        *sums.entry(e.buyer.clone()).or_insert(0) += e.kind.moves(e.qty);
    }
    sums
}

/// INV-5 for one order: what the row says against the verdicts of its lines.
/// `verdicts`: per line the verdict (if any) and whether it was released.
pub fn row(order: OrderId, status: RowStatus, verdicts: &[(Option<Kind>, bool)]) -> Vec<Violation> {
    let all_claimed = verdicts.iter().all(|(v, released)| *v == Some(Kind::Claim) && !released);
    if status.is_live() && !all_claimed {
        return vec![bad("INV-5", format!("{order} is {} without claims", status.as_str()))];
    }
    Vec::new()
}

/// INV-11 for one cell after quiescence: nothing held, everything applied.
pub fn quiet(view: Totals, head: Totals, held: i64, holds: u64) -> Vec<Violation> {
    let mut out = Vec::new();
    if view.seq != head.seq {
        out.push(bad("INV-11", format!("W {} of {}", view.seq, head.seq)));
    }
    if held != 0 || holds != 0 {
        out.push(bad("INV-11", format!("{holds} holds of {held} units remain")));
    }
    out
}
