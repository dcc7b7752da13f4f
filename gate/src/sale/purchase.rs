//! What a one-line purchase does next: PROTOCOL 6.3 in one place, without IO.
//!
//! "No" is said only when no attempt of this request has an unknown outcome and, to a buyer who has
//! or had something here, only when the database knows neither a row nor a verdict; everything else
//! is `unconfirmed`. A hold is never taken back.

use cells::port::Refusal;
use mutants::Mutant;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The script answered, or did not; `unknown` when an attempt of this call may have run without
    /// an answer.
    Reserve { reply: ScriptSays, unknown: bool },
    /// Whether the log gave its receipt for the hold that was there.
    Receipt(bool),
    /// The order's row was looked for.
    Row(RowFound),
    /// The row under the buyer's key was looked for.
    Key(RowFound),
    /// The ledger was asked.
    Ledger(LedgerSays),
}

/// The script's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScriptSays {
    /// A new hold, which is published; whether the log gave its receipt.
    New { receipt: bool },
    /// The hold was there. Only one that the replicas have may be published: a failover could lose
    /// it, and its units could be promised again before the ledger decides.
    Held { replicated: bool },
    /// The buyer has or had something here, and the database was not asked yet.
    Returning,
    /// The order has its verdict.
    Verdict,
    /// The order may be in the log of before a loss.
    Fenced,
    /// The key has a hold of other content.
    Conflict,
    /// The answer to a buyer who has nothing here, or (`known`) has or had something.
    Refused { why: Refusal, known: bool },
    /// The sale has not begun.
    NotOpen,
    /// The cell is not there.
    Missing,
    /// The script came too late to do anything.
    Late,
    /// There is no room in the cell's queue: nothing was sent.
    NoRoom,
    /// No answer.
    Silence,
}

/// What a look-up of a row found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowFound {
    /// This order's.
    This,
    /// Another order's.
    Other,
    /// None.
    Nothing,
    /// No answer.
    Down,
}

/// What the ledger says of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LedgerSays {
    /// It was claimed.
    Claimed,
    /// It was rejected.
    Rejected,
    /// It has its row by now.
    Row,
    /// It has a verdict, and nobody has its bytes at the moment.
    Unreadable,
    /// It has none.
    Nothing,
    /// No answer.
    Down,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask the script; `checked` when the database knows nothing of the buyer's key.
    Reserve { checked: bool },
    /// Publish the hold that was there.
    Publish,
    /// Look for the order's row.
    LookForRow,
    /// Look for the row under the buyer's key.
    LookForKey,
    /// Ask the ledger.
    AskLedger,
    /// Answer.
    Ending(Ending),
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// 202: it will have its row.
    Accepted,
    /// 202: whether it will is not known yet.
    Unconfirmed,
    /// The row, as it is.
    Row,
    /// 200: it was rejected, and has no row yet.
    Rejected,
    /// The key was used with other content.
    Conflict,
    /// Nothing was taken, and nothing will be.
    Denial(Denial),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The script refused.
    Refused(Refusal),
    /// The sale has not begun.
    NotOpen,
    /// The cell is being rebuilt.
    Rebuilding,
    /// No answer within the time budget.
    Late,
    /// Too many wait for this cell.
    NoRoom,
    /// Redis does not answer.
    Silence,
    /// The buyer's orders cannot be read.
    NoRows,
    /// The ledger cannot be read.
    NoLedger,
}

/// Why something is looked up, which says what its absence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The script wants to know of the key before it takes a hold.
    Returning,
    /// There is a verdict.
    Verdict,
    /// The order may be in an old log.
    Fenced,
    /// The key has another hold.
    Conflict,
    /// A "no" to somebody who has or had something here: this very order may have fallen out of
    /// what the script remembers.
    Refused(Refusal),
}

/// What is known of a purchase.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buying {
    /// An attempt of this request may have run without an answer.
    unknown: bool,
    /// The database knew nothing of the buyer's key.
    checked: bool,
    why: Option<Why>,
}

impl Buying {
    /// The first thing to do.
    pub(crate) fn begin() -> (Self, Next) {
        (Self::default(), Next::Reserve { checked: false })
    }

    /// What to do after an event; the answer to every event that was not asked for is that nothing
    /// is known.
    pub(crate) fn next(&mut self, event: Happened) -> Next {
        match (event, self.why) {
            (Happened::Reserve { reply, unknown }, _) => {
                self.unknown |= unknown;
                self.reserved(reply)
            }
            (Happened::Receipt(receipt), _) => published(receipt),
            (Happened::Row(found), Some(why)) => self.row(found, why),
            (Happened::Key(found), Some(why)) => self.key(found, why),
            (Happened::Ledger(said), Some(why)) => self.ledger(said, why),
            (Happened::Row(_) | Happened::Key(_) | Happened::Ledger(_), None) => UNCONFIRMED,
        }
    }

    fn reserved(&mut self, reply: ScriptSays) -> Next {
        match reply {
            ScriptSays::New { receipt } => published(receipt),
            ScriptSays::Held { replicated: true } => Next::Publish,
            ScriptSays::Held { replicated: false } => UNCONFIRMED,
            ScriptSays::Returning if self.checked => UNCONFIRMED,
            ScriptSays::Returning => self.look(Why::Returning, Next::LookForKey),
            ScriptSays::Verdict => self.look(Why::Verdict, Next::LookForRow),
            ScriptSays::Fenced => self.look(Why::Fenced, Next::LookForRow),
            ScriptSays::Conflict => self.look(Why::Conflict, Next::LookForKey),
            ScriptSays::Refused { why, known } => self.refused(why, known),
            ScriptSays::NotOpen => self.no(Denial::NotOpen),
            ScriptSays::Missing => self.no(Denial::Rebuilding),
            ScriptSays::Late => self.no(Denial::Late),
            ScriptSays::NoRoom => self.no(Denial::NoRoom),
            ScriptSays::Silence => self.no(Denial::Silence),
        }
    }

    fn refused(&mut self, why: Refusal, known: bool) -> Next {
        if !must_be_looked_up(known) {
            return self.no(Denial::Refused(why));
        }
        self.look(Why::Refused(why), Next::LookForRow)
    }

    fn look(&mut self, why: Why, step: Next) -> Next {
        self.why = Some(why);
        step
    }

    fn row(&self, found: RowFound, why: Why) -> Next {
        match (found, why) {
            (RowFound::This | RowFound::Other, _) => Next::Ending(Ending::Row),
            (RowFound::Nothing, Why::Refused(_)) => Next::LookForKey,
            (RowFound::Nothing | RowFound::Down, Why::Verdict) => Next::AskLedger,
            (RowFound::Nothing, Why::Returning | Why::Fenced | Why::Conflict)
            | (RowFound::Down, _) => UNCONFIRMED,
        }
    }

    fn key(&mut self, found: RowFound, why: Why) -> Next {
        match (found, why) {
            (RowFound::This, _) => Next::Ending(Ending::Row),
            (RowFound::Other, _) => Next::Ending(Ending::Conflict),
            (RowFound::Nothing, Why::Returning) => self.unless_decided(),
            (RowFound::Nothing, Why::Refused(_)) => Next::AskLedger,
            (RowFound::Down, Why::Returning) => self.no(Denial::NoRows),
            (RowFound::Nothing, Why::Verdict | Why::Fenced | Why::Conflict)
            | (RowFound::Down, _) => UNCONFIRMED,
        }
    }

    /// A decided order whose row is still to come must not take a second hold, with the price of
    /// today.
    fn unless_decided(&mut self) -> Next {
        if mutants::on(Mutant::ReturningBlind) {
            return self.again();
        }
        Next::AskLedger
    }

    fn again(&mut self) -> Next {
        self.checked = true;
        Next::Reserve { checked: true }
    }

    fn ledger(&mut self, said: LedgerSays, why: Why) -> Next {
        match (said, why) {
            (LedgerSays::Claimed, _) => Next::Ending(Ending::Accepted),
            (LedgerSays::Rejected, _) => Next::Ending(Ending::Rejected),
            (LedgerSays::Row, _) => Next::Ending(Ending::Row),
            (LedgerSays::Nothing, Why::Returning) => self.again(),
            (LedgerSays::Nothing, Why::Refused(refusal)) => self.no(Denial::Refused(refusal)),
            (LedgerSays::Down, Why::Returning) => self.no(Denial::NoLedger),
            (LedgerSays::Nothing, Why::Verdict | Why::Fenced | Why::Conflict)
            | (LedgerSays::Unreadable | LedgerSays::Down, _) => UNCONFIRMED,
        }
    }

    /// A definitive answer, unless an attempt of this request may still become an order.
    fn no(&self, no: Denial) -> Next {
        if may_say_no(self.unknown) { Next::Ending(Ending::Denial(no)) } else { UNCONFIRMED }
    }
}

const UNCONFIRMED: Next = Next::Ending(Ending::Unconfirmed);

/// An order is accepted once the log has said that it has it.
fn published(receipt: bool) -> Next {
    if mutants::on(Mutant::AcceptWithoutReceipt) {
        return Next::Ending(Ending::Accepted);
    }
    if receipt { Next::Ending(Ending::Accepted) } else { UNCONFIRMED }
}

/// The script knows the buyer: the refusal may be of the buyer's own earlier attempt.
fn must_be_looked_up(known: bool) -> bool {
    if mutants::on(Mutant::NoLookup) {
        return false;
    }
    known
}

/// An attempt whose outcome is unknown may still become an order.
fn may_say_no(unknown: bool) -> bool {
    if mutants::on(Mutant::Indefinite) {
        return true;
    }
    !unknown
}

#[cfg(test)]
mod tests;
