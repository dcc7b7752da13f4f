//! Units that an order gives back to a cell: what an order's life asks of a ledger, and what the
//! ledger makes of it.

use std::collections::BTreeMap;

use mutants::Mutant;

use crate::decide::{LedgerFacts, LockedCell, draft};
use crate::ids::{EntryId, OrderId};
use crate::ledger::{Class, Draft, Kind, Ordinal};

/// One order's units on their way back to a cell. Idempotent: the same one again finds its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Giveback {
    /// The order.
    pub order: OrderId,
    /// Which of its units, and why.
    pub gives: Gives,
}

/// What is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gives {
    /// All that it had claimed: it died before it was paid (INV-6).
    Release,
    /// What a refund of it brought back (INV-15).
    Return {
        /// Which refund.
        ordinal: Ordinal,
        /// Units, at least 1.
        units: u32,
        /// The buyer may buy them again: the offer's limit counts what is kept, not what was ever
        /// bought.
        frees_limit: bool,
    },
}

impl Gives {
    /// The class of its entry.
    pub fn class(self) -> Class {
        match self {
            Gives::Release => Class::Release,
            Gives::Return { ordinal, .. } => Class::Return(ordinal),
        }
    }
}

impl Giveback {
    /// All of a dead order's units.
    pub fn release(order: OrderId) -> Self {
        Self { order, gives: Gives::Release }
    }

    /// The id of its entry.
    pub fn entry(&self) -> EntryId {
        self.order.into()
    }
}

/// What becomes of givebacks to a cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GivebackPlan {
    /// Entries of those that had none yet.
    pub drafts: Vec<Draft>,
    /// Those that the ledger does not bear out.
    pub refused: Vec<Giveback>,
}

/// Each of these once: a release of a claim that has none (INV-6), a return of units that a claim
/// still has (INV-15). A return needs a claim without a release, a release a claim without returns.
/// Nothing is to be released where nothing was claimed.
pub fn give_back(facts: &LedgerFacts, all: &[Giveback]) -> GivebackPlan {
    let mut out = GivebackPlan::default();
    let Some(cell) = facts.cells.first() else { return out };
    let mut states = BTreeMap::<EntryId, ClaimState>::new();
    for give in all {
        let id = give.entry();
        let claimed = states.entry(id).or_insert_with(|| ClaimState::of(cell, id));
        match claimed.give(give.gives) {
            GiveStep::Already => {}
            GiveStep::Refused => out.refused.push(*give),
            GiveStep::Now { kind, qty, buyer } => {
                out.drafts.push(Draft { buyer, ..draft(kind, id, qty) });
            }
        }
    }
    out
}

/// INV-15: no more is returned than was claimed.
fn is_left(claim: i64, returned: i64, units: i64) -> bool {
    if mutants::on(Mutant::ReturnNoGuard) {
        return true;
    }
    returned + units <= claim
}

/// What a ledger says of one order's claim.
struct ClaimState {
    /// Its units and its buyer.
    claim: Option<(i64, String)>,
    is_released: bool,
    returns: BTreeMap<Ordinal, i64>,
}

enum GiveStep {
    Already,
    Refused,
    Now { kind: Kind, qty: i64, buyer: String },
}

impl ClaimState {
    fn of(cell: &LockedCell, id: EntryId) -> Self {
        let mut out = Self { claim: None, is_released: false, returns: BTreeMap::new() };
        for entry in cell.entries.iter().filter(|e| e.id == id) {
            match entry.kind {
                Kind::Claim => out.claim = Some((entry.qty, entry.buyer.clone())),
                Kind::Release => out.is_released = true,
                Kind::Return(ordinal) => drop(out.returns.insert(ordinal, entry.qty)),
                Kind::Supply | Kind::Reject | Kind::TransferOut | Kind::Flag => {}
            }
        }
        out
    }

    fn give(&mut self, gives: Gives) -> GiveStep {
        let returned: i64 = self.returns.values().sum();
        match (gives, &self.claim) {
            (Gives::Release, None) => GiveStep::Already,
            (Gives::Release, Some(_)) if self.is_released => GiveStep::Already,
            (Gives::Release, Some(_)) if returned > 0 => GiveStep::Refused,
            (Gives::Release, Some((qty, buyer))) => {
                self.is_released = true;
                GiveStep::Now { kind: Kind::Release, qty: *qty, buyer: buyer.clone() }
            }
            (Gives::Return { .. }, None) => GiveStep::Refused,
            (Gives::Return { ordinal, units, frees_limit }, Some((claim, buyer))) => {
                let units = i64::from(units);
                match self.returns.get(&ordinal) {
                    Some(known) if *known == units => return GiveStep::Already,
                    Some(_) => return GiveStep::Refused,
                    None if units == 0 || self.is_released => return GiveStep::Refused,
                    None if !is_left(*claim, returned, units) => return GiveStep::Refused,
                    None => {}
                }
                let buyer = if frees_limit { buyer.clone() } else { String::new() };
                self.returns.insert(ordinal, units);
                GiveStep::Now { kind: Kind::Return(ordinal), qty: units, buyer }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Entered;
    use crate::ledger::{Flag, Totals};

    const ID: EntryId = EntryId([7; 16]);
    const OTHER: EntryId = EntryId([8; 16]);
    const GIVER: OrderId = OrderId([7; 16]);

    fn back(ordinal: u8, units: u32) -> Gives {
        let ordinal = Ordinal::new(ordinal).unwrap();
        Gives::Return { ordinal, units, frees_limit: true }
    }

    /// The entries that givebacks make of a ledger, and how many are refused.
    fn given(entries: &[(Kind, i64)], gives: &[Gives]) -> (Vec<(Kind, i64)>, usize) {
        let all: Vec<Giveback> =
            gives.iter().map(|gives| Giveback { order: GIVER, gives: *gives }).collect();
        let out = give_back(&facts(vec![cell(9, 5, entries)]), &all);
        assert!(out.drafts.iter().all(|d| d.id == ID && d.buyer == "ann"));
        (out.drafts.iter().map(|d| (d.kind, d.qty)).collect(), out.refused.len())
    }

    #[test]
    fn a_claim_is_given_back_once() {
        let claim = (Kind::Claim, 5);
        let released = (Kind::Release, 5);
        let nth = |n| Kind::Return(Ordinal::new(n).unwrap());
        let release = Gives::Release;
        type Case<'a> = (&'a [(Kind, i64)], &'a [Gives], (Vec<(Kind, i64)>, usize));
        let table: &[Case<'_>] = &[
            (&[claim], &[release], (vec![released], 0)),
            (&[claim], &[release, release], (vec![released], 0)),
            (&[claim, released], &[release], (vec![], 0)),
            (&[(Kind::Reject, 0)], &[release], (vec![], 0)),
            (&[(Kind::TransferOut, 2)], &[release], (vec![], 0)),
            (&[], &[release], (vec![], 0)),
            // INV-15.
            (&[claim], &[back(0, 5)], (vec![(nth(0), 5)], 0)),
            (&[claim], &[back(0, 2), back(1, 3)], (vec![(nth(0), 2), (nth(1), 3)], 0)),
            (&[claim], &[back(0, 2), back(0, 2)], (vec![(nth(0), 2)], 0)),
            (&[claim], &[back(0, 2), back(0, 3)], (vec![(nth(0), 2)], 1)),
            (&[claim], &[back(0, 3), back(1, 3)], (vec![(nth(0), 3)], 1)),
            (&[claim], &[back(0, 6), back(1, 3)], (vec![(nth(1), 3)], 1)),
            (&[claim], &[back(0, 0)], (vec![], 1)),
            (&[claim, (nth(3), 2)], &[back(3, 2)], (vec![], 0)),
            (&[claim, (nth(3), 2)], &[back(3, 1)], (vec![], 1)),
            (&[claim, (nth(3), 2)], &[back(111, 3)], (vec![(nth(111), 3)], 0)),
            (&[claim, (nth(3), 2)], &[back(4, 4)], (vec![], 1)),
            (&[(Kind::Reject, 0)], &[back(0, 1)], (vec![], 1)),
            (&[], &[back(0, 1)], (vec![], 1)),
            // The two exclude each other, in either order.
            (&[claim, released], &[back(0, 1)], (vec![], 1)),
            (&[claim, (nth(0), 1)], &[release], (vec![], 1)),
            (&[claim], &[release, back(0, 1)], (vec![released], 1)),
            (&[claim], &[back(0, 1), release], (vec![(nth(0), 1)], 1)),
        ];
        for (entries, gives, want) in table {
            assert_eq!(given(entries, gives), *want, "{entries:?} {gives:?}");
        }
    }

    #[test]
    fn a_return_frees_the_limit_where_the_offer_says_so() {
        let of = |frees_limit| {
            let gives = Gives::Return { ordinal: Ordinal::FIRST, units: 2, frees_limit };
            let ledger = facts(vec![cell(9, 5, &[(Kind::Claim, 5)])]);
            give_back(&ledger, &[Giveback { order: GIVER, gives }]).drafts[0].buyer.clone()
        };
        assert_eq!((of(true).as_str(), of(false).as_str()), ("ann", ""));
    }

    #[test]
    fn one_order_is_refused_and_the_others_are_not() {
        let all = [Giveback::release(OrderId([8; 16])), Giveback::release(GIVER)];
        let mut ledger = cell(9, 5, &[(Kind::Claim, 5)]);
        let other = |kind, qty| Entered { id: OTHER, kind, qty, buyer: "ben".to_owned() };
        ledger.entries.push(other(Kind::Claim, 2));
        ledger.entries.push(other(Kind::Return(Ordinal::FIRST), 1));
        let out = give_back(&facts(vec![ledger]), &all);
        assert_eq!(out.refused, all[..1]);
        assert_eq!(out.drafts.iter().map(|d| d.id).collect::<Vec<_>>(), [ID]);
        assert_eq!(give_back(&LedgerFacts::default(), &all), GivebackPlan::default());
    }

    fn cell(supply: i64, net: i64, entries: &[(Kind, i64)]) -> LockedCell {
        let known = |(kind, qty): &(Kind, i64)| Entered {
            id: ID,
            kind: *kind,
            qty: *qty,
            buyer: "ann".to_owned(),
        };
        let now = Totals { supply, net, open: Flag::Open, ..Totals::default() };
        LockedCell { now, entries: entries.iter().map(known).collect(), last_flag: None }
    }

    fn facts(cells: Vec<LockedCell>) -> LedgerFacts {
        LedgerFacts { cells, elsewhere: false }
    }
}
