//! Every way that a purchase can go, and the table of rule 6.3.

use super::*;

const REFUSALS: [Refusal; 4] = [Refusal::Closed, Refusal::Paused, Refusal::Limit, Refusal::SoldOut];
const FOUND: [RowFound; 4] = [RowFound::This, RowFound::Other, RowFound::Nothing, RowFound::Down];
const SAID: [LedgerSays; 6] = [
    LedgerSays::Claimed,
    LedgerSays::Rejected,
    LedgerSays::Row,
    LedgerSays::Unreadable,
    LedgerSays::Nothing,
    LedgerSays::Down,
];

fn replies() -> Vec<ScriptSays> {
    let mut all = vec![
        ScriptSays::New { receipt: true },
        ScriptSays::New { receipt: false },
        ScriptSays::Held { replicated: true },
        ScriptSays::Held { replicated: false },
        ScriptSays::Returning,
        ScriptSays::Verdict,
        ScriptSays::Fenced,
        ScriptSays::Conflict,
        ScriptSays::NotOpen,
        ScriptSays::Missing,
        ScriptSays::Late,
        ScriptSays::NoRoom,
        ScriptSays::Silence,
    ];
    for why in REFUSALS {
        all.extend([false, true].map(|known| ScriptSays::Refused { why, known }));
    }
    all
}

/// Every way that a purchase can go, with what happened on it.
fn all_ways() -> Vec<(Vec<Happened>, Ending)> {
    let mut ends = Vec::new();
    let (purchase, step) = Buying::begin();
    let mut open = vec![(purchase, step, Vec::new())];
    while let Some((purchase, step, way)) = open.pop() {
        assert!(way.len() < 9, "{way:?} does not end");
        let events: Vec<Happened> = match step {
            Next::Ending(end) => {
                ends.push((way, end));
                continue;
            }
            Next::Reserve { .. } => {
                let both =
                    |reply| [false, true].map(|unknown| Happened::Reserve { reply, unknown });
                replies().into_iter().flat_map(both).collect()
            }
            Next::Publish => [false, true].map(Happened::Receipt).to_vec(),
            Next::LookForRow => FOUND.map(Happened::Row).to_vec(),
            Next::LookForKey => FOUND.map(Happened::Key).to_vec(),
            Next::AskLedger => SAID.map(Happened::Ledger).to_vec(),
        };
        for event in events {
            let mut purchase = purchase;
            let step = purchase.next(event);
            open.push((purchase, step, [&way[..], &[event]].concat()));
        }
    }
    ends
}

#[test]
fn of_all_ways_none_breaks_a_rule() {
    let ways = all_ways();
    assert!(ways.len() > 500, "{}", ways.len());
    for (way, end) in ways {
        let any = |f: &dyn Fn(&Happened) -> bool| way.iter().any(f);
        let reserves = way.iter().filter(|e| matches!(e, Happened::Reserve { .. })).count();
        assert!(reserves <= 2, "{way:?}: a third reserve");
        match end {
            // Only what the log or the ledger has is accepted.
            Ending::Accepted => {
                let told = matches!(
                    way.last(),
                    Some(
                        Happened::Receipt(true)
                            | Happened::Reserve { reply: ScriptSays::New { receipt: true }, .. }
                            | Happened::Ledger(LedgerSays::Claimed)
                    )
                );
                assert!(told, "{way:?}");
            }
            Ending::Unconfirmed => {}
            Ending::Row | Ending::Conflict => {
                let seen = |e: &Happened| {
                    let found = [RowFound::This, RowFound::Other];
                    matches!(e, Happened::Row(f) | Happened::Key(f) if found.contains(f))
                        || *e == Happened::Ledger(LedgerSays::Row)
                };
                assert!(any(&seen), "{way:?}");
            }
            Ending::Rejected => {
                assert!(any(&|e| *e == Happened::Ledger(LedgerSays::Rejected)), "{way:?}")
            }
            Ending::Denial(no) => denied_rightly(&way, no),
        }
    }
}

/// "No" is said to nobody whose order may be somewhere.
fn denied_rightly(way: &[Happened], no: Denial) {
    let any = |f: &dyn Fn(&Happened) -> bool| way.iter().any(f);
    let unknown = any(&|e| matches!(e, Happened::Reserve { unknown: true, .. }));
    assert!(!unknown, "{way:?}: {no:?}, and an attempt may have run");
    let hold = any(&|e| {
        let held = |r: &ScriptSays| matches!(r, ScriptSays::New { .. } | ScriptSays::Held { .. });
        matches!(e, Happened::Reserve { reply, .. } if held(reply))
    });
    assert!(!hold, "{way:?}: {no:?}, and there is a hold");
    // Somebody who has or had something is refused only when nobody knows the order.
    let last = way.iter().rev().find_map(|e| match e {
        Happened::Reserve { reply, .. } => Some(*reply),
        Happened::Receipt(_) | Happened::Row(_) | Happened::Key(_) | Happened::Ledger(_) => None,
    });
    // And nobody whose order may be somewhere.
    let nowhere = match last {
        Some(
            ScriptSays::Refused { .. }
            | ScriptSays::NotOpen
            | ScriptSays::Missing
            | ScriptSays::Late
            | ScriptSays::NoRoom
            | ScriptSays::Silence,
        ) => true,
        Some(ScriptSays::Returning) => {
            let down = [Happened::Key(RowFound::Down), Happened::Ledger(LedgerSays::Down)];
            way.last().is_some_and(|e| down.contains(e))
        }
        Some(
            ScriptSays::New { .. }
            | ScriptSays::Held { .. }
            | ScriptSays::Verdict
            | ScriptSays::Fenced
            | ScriptSays::Conflict,
        )
        | None => false,
    };
    assert!(nowhere, "{way:?}: {no:?}");
    if let Some(ScriptSays::Refused { known: true, .. }) = last {
        let three = [
            Happened::Row(RowFound::Nothing),
            Happened::Key(RowFound::Nothing),
            Happened::Ledger(LedgerSays::Nothing),
        ];
        assert!(way.ends_with(&three), "{way:?}: {no:?}");
    }
}

fn row(found: RowFound) -> Happened {
    Happened::Row(found)
}
fn key(found: RowFound) -> Happened {
    Happened::Key(found)
}
fn ledger(said: LedgerSays) -> Happened {
    Happened::Ledger(said)
}
fn said(reply: ScriptSays) -> Happened {
    Happened::Reserve { reply, unknown: false }
}
/// The same, after an attempt without an answer.
fn late(reply: ScriptSays) -> Happened {
    Happened::Reserve { reply, unknown: true }
}
fn sold_out(known: bool) -> ScriptSays {
    ScriptSays::Refused { why: Refusal::SoldOut, known }
}

fn each_ends_as(table: &[(&[Happened], Ending)]) {
    let ways = all_ways();
    for (way, end) in table {
        let found = ways.iter().find(|(w, _)| w == way);
        assert_eq!(found.map(|(_, end)| end), Some(end), "{way:?}");
    }
}

/// Rule 6.3 where nothing has to be looked up.
#[test]
fn answers_of_the_script() {
    use Ending::{Accepted, Unconfirmed};
    let no = Ending::Denial;
    let held = said(ScriptSays::Held { replicated: true });
    each_ends_as(&[
        (&[said(ScriptSays::New { receipt: true })], Accepted),
        (&[said(ScriptSays::New { receipt: false })], Unconfirmed),
        (&[held, Happened::Receipt(true)], Accepted),
        (&[held, Happened::Receipt(false)], Unconfirmed),
        (&[said(ScriptSays::Held { replicated: false })], Unconfirmed),
        (&[said(sold_out(false))], no(Denial::Refused(Refusal::SoldOut))),
        (&[late(sold_out(false))], Unconfirmed),
        (&[said(ScriptSays::NotOpen)], no(Denial::NotOpen)),
        (&[said(ScriptSays::Missing)], no(Denial::Rebuilding)),
        (&[said(ScriptSays::Late)], no(Denial::Late)),
        (&[said(ScriptSays::NoRoom)], no(Denial::NoRoom)),
        (&[said(ScriptSays::Silence)], no(Denial::Silence)),
        (&[late(ScriptSays::Silence)], Unconfirmed),
    ]);
}

/// Rule 6.3 where the database has the word.
#[test]
fn answers_of_the_database() {
    use Ending::{Accepted, Conflict, Rejected, Row, Unconfirmed};
    use RowFound::{Down, Nothing, Other, This};
    let no = Ending::Denial;
    let returning = said(ScriptSays::Returning);
    let (verdict, fenced) = (said(ScriptSays::Verdict), said(ScriptSays::Fenced));
    let (conflict, known) = (said(ScriptSays::Conflict), said(sold_out(true)));
    let new = said(ScriptSays::New { receipt: true });
    let nobody = ledger(LedgerSays::Nothing);
    let claimed = ledger(LedgerSays::Claimed);
    each_ends_as(&[
        (&[known, row(This)], Row),
        (&[known, row(Down)], Unconfirmed),
        (&[known, row(Nothing), key(Other)], Conflict),
        (&[known, row(Nothing), key(Down)], Unconfirmed),
        (&[known, row(Nothing), key(Nothing), claimed], Accepted),
        (&[known, row(Nothing), key(Nothing), ledger(LedgerSays::Down)], Unconfirmed),
        (&[known, row(Nothing), key(Nothing), nobody], no(Denial::Refused(Refusal::SoldOut))),
        (&[returning, key(This)], Row),
        (&[returning, key(Other)], Conflict),
        (&[returning, key(Down)], no(Denial::NoRows)),
        (&[late(ScriptSays::Returning), key(Down)], Unconfirmed),
        (&[returning, key(Nothing), ledger(LedgerSays::Rejected)], Rejected),
        (&[returning, key(Nothing), ledger(LedgerSays::Down)], no(Denial::NoLedger)),
        (&[returning, key(Nothing), nobody, new], Accepted),
        (&[late(ScriptSays::Returning), key(Nothing), nobody, said(sold_out(false))], Unconfirmed),
        (&[returning, key(Nothing), nobody, returning], Unconfirmed),
        (&[verdict, row(This)], Row),
        (&[verdict, row(Down), claimed], Accepted),
        (&[verdict, row(Nothing), ledger(LedgerSays::Unreadable)], Unconfirmed),
        (&[verdict, row(Nothing), nobody], Unconfirmed),
        (&[fenced, row(This)], Row),
        (&[fenced, row(Nothing)], Unconfirmed),
        (&[conflict, key(Other)], Conflict),
        (&[conflict, key(Nothing)], Unconfirmed),
    ]);
}
