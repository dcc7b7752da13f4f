//! What the transactions on ledgers decide, from what is known under their locks. Every store calls
//! these, so that there is one rule for each; the code around them locks, reads, appends and
//! commits.

use crate::drift::{is_broken, repaired_flag};
use crate::frame::Mode;
use crate::ids::EntryId;
use crate::ledger::{Class, Draft, Flag, Kind, Totals};

/// An entry that a ledger has under an id of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The id.
    pub id: EntryId,
    /// What it does.
    pub kind: Kind,
    /// Units; for a flag its value.
    pub qty: i64,
    /// The buyer, where the decision needs it.
    pub buyer: String,
}

/// A flag entry, where it stands and what it was written with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFlag {
    /// Its position.
    pub seq: u64,
    /// Its note; empty for an operator's.
    pub note: Vec<u8>,
}

/// What a decision asks to know of ledgers besides the cells' rows. An id is looked for in all
/// cells of the database.
#[derive(Debug, Clone, Copy)]
pub enum Need<'a> {
    /// What an id was used for, as supply or as verdict: for [`supply`] and [`transfer`].
    Use(EntryId),
    /// Whether a flag entry has the id, for [`flag`]; each cell's last one too when the flag
    /// [`FlagWish::looks_at_last_flag`]. A stop sets broken rows right before it decides.
    Flag(EntryId, FlagWish<'a>),
    /// Each cell's last flag entry: for [`restore`].
    LastFlag,
    /// Claims, with their buyers, and what was given back of them: for
    /// [`crate::giveback::give_back`].
    Claims(&'a [EntryId]),
}

/// A cell under its lock.
#[derive(Debug, Clone, Default)]
pub struct LockedCell {
    /// Its row.
    pub now: Totals,
    /// What its ledger has under the ids of the call.
    pub entries: Vec<Entered>,
    /// Its last flag entry, where it was asked for.
    pub last_flag: Option<LastFlag>,
}

impl LockedCell {
    fn entry(&self, id: EntryId, class: Class) -> Option<&Entered> {
        self.entries.iter().find(|e| e.id == id && e.kind.class() == class)
    }
}

/// What is known when a transaction decides.
#[derive(Debug, Clone, Default)]
pub struct LedgerFacts {
    /// The cells, in the order of the call.
    pub cells: Vec<LockedCell>,
    /// True when another cell of the database has an entry under an id of the call.
    pub elsewhere: bool,
}

impl LedgerFacts {
    fn is_known(&self) -> bool {
        self.elsewhere || self.cells.iter().any(|c| !c.entries.is_empty())
    }
}

/// What the caller hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upshot {
    /// It is done, now or by an earlier call.
    Done,
    /// The id was used for something else.
    OtherUnits,
    /// The present flag does not allow it.
    Illegal(Flag),
    /// There are not enough units.
    Refused,
}

/// What a transaction writes and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is appended to which cell of the call; `None` when an earlier call has done it all, or
    /// nothing may be done.
    pub appends: Option<Vec<(usize, Draft)>>,
    /// The answer.
    pub answer: Upshot,
}

impl Decision {
    /// Appends to the first cell of the call.
    pub fn on_first(drafts: Vec<Draft>) -> Self {
        appends(drafts.into_iter().map(|d| (0, d)).collect(), Upshot::Done)
    }
}

fn appends(list: Vec<(usize, Draft)>, answer: Upshot) -> Decision {
    Decision { appends: Some(list), answer }
}

fn nothing(answer: Upshot) -> Decision {
    Decision { appends: None, answer }
}

pub(crate) fn draft(kind: Kind, id: EntryId, qty: i64) -> Draft {
    Draft { kind, id, buyer: String::new(), qty, payload: Vec::new() }
}

/// The two entries that a new cell's ledger begins with.
pub fn opening(units: i64, supply: EntryId, open: EntryId) -> [Draft; 2] {
    [draft(Kind::Supply, supply, units), draft(Kind::Flag, open, Flag::Open as i64)]
}

/// An order's line that has no verdict yet (INV-1): it is claimed when it fits and is not to be
/// aborted.
pub fn verdict(now: &Totals, mode: Mode, id: EntryId, buyer: &str, qty: u32) -> Draft {
    let qty = i64::from(qty);
    let (kind, qty) = match mode {
        Mode::Full if now.fits(qty) => (Kind::Claim, qty),
        Mode::Full | Mode::Abort => (Kind::Reject, 0),
    };
    Draft { buyer: buyer.to_owned(), ..draft(kind, id, qty) }
}

/// Units for cells; `units` has one number per cell of the facts.
pub fn supply(facts: &LedgerFacts, units: &[i64], id: EntryId) -> Decision {
    if facts.is_known() {
        let is_same = |(cell, units): (&LockedCell, &i64)| {
            cell.entry(id, Class::Supply).is_some_and(|e| e.qty == *units)
        };
        let same = facts.cells.iter().zip(units).all(is_same);
        return nothing(if same { Upshot::Done } else { Upshot::OtherUnits });
    }
    let entry = |(cell, units): (usize, &i64)| (cell, draft(Kind::Supply, id, *units));
    appends(units.iter().enumerate().map(entry).collect(), Upshot::Done)
}

/// A flag that is wanted: which, from which, and the note to write it with.
#[derive(Debug, Clone, Copy)]
pub struct FlagWish<'a> {
    /// The flag.
    pub to: Flag,
    /// The flags that it may follow; itself always.
    pub from: &'a [Flag],
    /// Marks a repair or a stop; empty for an operator's.
    pub note: &'a [u8],
}

impl FlagWish<'_> {
    /// True when a cell's last flag entry matters: an operator's pause ends the chain of a
    /// repair's.
    pub fn looks_at_last_flag(&self) -> bool {
        self.note.is_empty() && self.to == Flag::Paused
    }

    /// True when it stops the sale of broken cells: it concerns what is open, and their rows are
    /// set right first.
    pub fn is_stop(&self) -> bool {
        is_broken(self.note)
    }
}

/// A flag on every cell whose flag differs, if the present one allows it.
pub fn flag(facts: &LedgerFacts, id: EntryId, wanted: FlagWish<'_>) -> Decision {
    if facts.is_known() {
        return nothing(Upshot::Done);
    }
    let legal = |open: Flag| open == wanted.to || wanted.from.contains(&open);
    if let Some(cell) = facts.cells.iter().find(|c| !wanted.is_stop() && !legal(c.now.open)) {
        return nothing(Upshot::Illegal(cell.now.open));
    }
    let wants = |cell: &LockedCell| {
        let of_repair = cell.last_flag.as_ref().is_some_and(|f| repaired_flag(&f.note).is_some());
        let overrides = wanted.looks_at_last_flag() && of_repair;
        legal(cell.now.open) && (cell.now.open != wanted.to || overrides)
    };
    let entry = Draft { payload: wanted.note.to_vec(), ..draft(Kind::Flag, id, wanted.to as i64) };
    let cells = facts.cells.iter().enumerate().filter(|(_, cell)| wants(cell));
    appends(cells.map(|(n, _)| (n, entry.clone())).collect(), Upshot::Done)
}

/// The flag that a repair's pause stored, if no flag entry follows the pause.
pub fn restore(facts: &LedgerFacts, id: EntryId, pause_seq: u64) -> Decision {
    let last = facts.cells.first().and_then(|c| c.last_flag.as_ref());
    let stored = last.filter(|f| f.seq == pause_seq).and_then(|f| repaired_flag(&f.note));
    match stored {
        Some(flag) => appends(vec![(0, draft(Kind::Flag, id, flag as i64))], Upshot::Done),
        None => nothing(Upshot::Done),
    }
}

/// Units that leave the first cell and, if there is a second one, enter it.
pub fn transfer(facts: &LedgerFacts, id: EntryId, units: i64) -> Decision {
    let Some(from) = facts.cells.first() else { return nothing(Upshot::OtherUnits) };
    let reject = || draft(Kind::Reject, id, 0);
    match (from.entry(id, Class::Supply), from.entry(id, Class::Verdict)) {
        (None, None) if from.now.supply - units >= from.now.net => {
            let mut list = vec![(0, draft(Kind::TransferOut, id, units))];
            list.extend(facts.cells.get(1).map(|_| (1, draft(Kind::Supply, id, units))));
            appends(list, Upshot::Done)
        }
        (None, None) => appends(vec![(0, reject())], Upshot::Refused),
        (None, Some(e)) if e.kind == Kind::TransferOut && e.qty == units => nothing(Upshot::Done),
        (None, Some(e)) if e.kind == Kind::Reject => nothing(Upshot::Refused),
        // The id added units: without a verdict the hold of this call would stay for ever.
        (Some(_), None) => appends(vec![(0, reject())], Upshot::OtherUnits),
        (_, Some(_)) => nothing(Upshot::OtherUnits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::{broken_note, repair_note};

    const ID: EntryId = EntryId([7; 16]);

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

    /// (cell, kind, units) of what is appended.
    type Brief = Option<Vec<(usize, Kind, i64)>>;

    fn brief(d: &Decision) -> (Brief, Upshot) {
        let list = d.appends.as_ref();
        (list.map(|l| l.iter().map(|(n, d)| (*n, d.kind, d.qty)).collect()), d.answer)
    }

    #[test]
    fn a_line_is_claimed_when_it_fits() {
        let now = Totals { supply: 10, net: 8, ..Totals::default() };
        for (mode, qty, want) in [
            (Mode::Full, 2, (Kind::Claim, 2)),
            (Mode::Full, 3, (Kind::Reject, 0)),
            (Mode::Abort, 1, (Kind::Reject, 0)),
        ] {
            let d = verdict(&now, mode, ID, "ann", qty);
            assert_eq!(((d.kind, d.qty), d.buyer.as_str()), (want, "ann"), "{mode:?} {qty}");
        }
    }

    #[test]
    fn units_are_added_once() {
        let fresh = || cell(0, 0, &[]);
        let had = |qty| cell(0, 0, &[(Kind::Supply, qty)]);
        let both = Some(vec![(0, Kind::Supply, 3), (1, Kind::Supply, 4)]);
        for (cells, elsewhere, want) in [
            (vec![fresh(), fresh()], false, (both, Upshot::Done)),
            (vec![had(3), had(4)], false, (None, Upshot::Done)),
            (vec![had(3), had(5)], false, (None, Upshot::OtherUnits)),
            // Other cells than the first time.
            (vec![had(3), fresh()], false, (None, Upshot::OtherUnits)),
            (vec![fresh(), fresh()], true, (None, Upshot::OtherUnits)),
            // The id took units away.
            (
                vec![cell(9, 0, &[(Kind::TransferOut, 3)]), fresh()],
                false,
                (None, Upshot::OtherUnits),
            ),
        ] {
            let facts = LedgerFacts { cells, elsewhere };
            assert_eq!(brief(&supply(&facts, &[3, 4], ID)), want, "{facts:?}");
        }
    }

    #[test]
    fn flags_follow_what_they_may() {
        let with = |open, last: Option<&[u8]>| {
            let now = Totals { open, ..Totals::default() };
            let last_flag = last.map(|note| LastFlag { seq: 5, note: note.to_vec() });
            LockedCell { now, entries: Vec::new(), last_flag }
        };
        let (open, paused, closed) = (Flag::Open, Flag::Paused, Flag::Closed);
        let repair = repair_note(Flag::Open);
        let stop = broken_note("INV-2");
        let pause = Some(vec![(0, Kind::Flag, paused as i64)]);
        let none = Some(Vec::new());
        let from = [open];
        type Case<'a> = (LockedCell, Flag, &'a [Flag], &'a [u8], Brief, Upshot);
        let table: Vec<Case<'_>> = vec![
            (with(open, None), paused, &from, b"", pause.clone(), Upshot::Done),
            (with(paused, None), paused, &from, b"", none.clone(), Upshot::Done),
            (with(closed, None), paused, &from, b"", None, Upshot::Illegal(closed)),
            // An operator's pause on top of a repair's ends the repair's; a repair's does not.
            (with(paused, Some(&repair)), paused, &from, b"", pause.clone(), Upshot::Done),
            (with(paused, Some(&repair)), paused, &from, &repair, none.clone(), Upshot::Done),
            (with(paused, Some(b"")), paused, &from, b"", none.clone(), Upshot::Done),
            // A stop leaves alone what it does not concern.
            (with(closed, None), paused, &from, &stop, none, Upshot::Done),
            (with(open, None), paused, &from, &stop, pause, Upshot::Done),
        ];
        for (cell, to, from, note, list, answer) in table {
            let text = format!("{cell:?} to {to:?} with {note:?}");
            let decided = flag(&facts(vec![cell]), ID, FlagWish { to, from, note });
            assert_eq!(brief(&decided), (list, answer), "{text}");
        }
        let known = facts(vec![cell(0, 0, &[(Kind::Flag, 1)])]);
        let wanted = FlagWish { to: paused, from: &[open], note: b"" };
        assert_eq!(brief(&flag(&known, ID, wanted)), (None, Upshot::Done));
        let elsewhere = LedgerFacts { elsewhere: true, ..facts(vec![with(open, None)]) };
        assert_eq!(brief(&flag(&elsewhere, ID, wanted)), (None, Upshot::Done));
    }

    #[test]
    fn only_the_last_pause_of_a_repair_is_undone() {
        let at = |seq, note: Vec<u8>| {
            let last_flag = Some(LastFlag { seq, note });
            facts(vec![LockedCell { last_flag, ..LockedCell::default() }])
        };
        let back = Some(vec![(0, Kind::Flag, Flag::Open as i64)]);
        for (facts, want) in [
            (at(5, repair_note(Flag::Open)), back),
            (at(6, repair_note(Flag::Open)), None),
            (at(5, Vec::new()), None),
            (at(5, broken_note("INV-2")), None),
            (facts(vec![LockedCell::default()]), None),
        ] {
            assert_eq!(brief(&restore(&facts, ID, 5)), (want, Upshot::Done), "{facts:?}");
        }
    }

    #[test]
    fn a_transfer_moves_what_is_not_claimed_and_once() {
        let to = || cell(0, 0, &[]);
        let out = (0, Kind::TransferOut, 3);
        let no = Some(vec![(0, Kind::Reject, 0)]);
        for (cells, want) in [
            (vec![cell(5, 2, &[]), to()], (Some(vec![out, (1, Kind::Supply, 3)]), Upshot::Done)),
            (vec![cell(5, 2, &[])], (Some(vec![out]), Upshot::Done)),
            (vec![cell(5, 3, &[]), to()], (no.clone(), Upshot::Refused)),
            (vec![cell(5, 0, &[(Kind::TransferOut, 3)]), to()], (None, Upshot::Done)),
            (vec![cell(5, 0, &[(Kind::TransferOut, 4)]), to()], (None, Upshot::OtherUnits)),
            (vec![cell(5, 0, &[(Kind::Reject, 0)]), to()], (None, Upshot::Refused)),
            (vec![cell(5, 0, &[(Kind::Claim, 3)]), to()], (None, Upshot::OtherUnits)),
            (vec![cell(5, 0, &[(Kind::Supply, 3)]), to()], (no, Upshot::OtherUnits)),
            (
                vec![cell(5, 0, &[(Kind::Supply, 3), (Kind::Reject, 0)]), to()],
                (None, Upshot::OtherUnits),
            ),
        ] {
            let facts = facts(cells);
            assert_eq!(brief(&transfer(&facts, ID, 3)), want, "{facts:?}");
        }
    }
}
