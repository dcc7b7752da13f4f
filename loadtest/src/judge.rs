//! The verdict: every promise against every fact. Pure, built on `domain::invariant`.
//!
//! Lost, doubled and oversold are counted apart, because they are what the product promises never
//! to do; any violation breaks the verdict. An accepted order that ended `rejected` with
//! `sold_out` or `limit_reached` is not a violation (Redis lost data, INV-13's exception) but is
//! counted. A run that never became quiet is not conserved: its end was not seen.

use std::collections::HashMap;

use domain::invariant::{self, Violation};
use domain::order::RejectReason;
use domain::{OrderId, RowStatus, Totals};

use crate::evidence::{CellFacts, Facts, View};
use crate::live::Live;
use crate::setup::Names;
use crate::track::Track;
use crate::verdict::{RunVerdict, Table};

/// Judges a run.
pub(crate) fn judge(tracks: &[Track], names: &Names, facts: &Facts) -> RunVerdict {
    let mut v = RunVerdict::default();
    if !facts.quiet {
        v.bad("INV-11", "not quiet before the deadline: orders may still be on their way".into());
    }
    for cell in &facts.cells {
        judge_cell(cell, facts, &mut v);
    }
    judge_units(facts, &mut v);
    let live = Live::of(tracks, names, facts);
    live.judge(facts, &mut v);
    for (track, number) in tracks.iter().zip(0u32..) {
        judge_track(track, &names.key(number), facts, &mut v);
        judge_refusals(track, number, names, &live, &mut v);
    }
    for order in &facts.double_rows {
        v.table.doubled += 1;
        v.bad("INV-8", format!("{order} has rows in two databases"));
    }
    v.table.lost = v.lost.len() as u64;
    v
}

fn judge_cell(cell: &CellFacts, facts: &Facts, v: &mut RunVerdict) {
    let name = &cell.cell;
    let mut found = Vec::new();
    let over = (cell.head.net - cell.head.supply).max(0);
    v.table.oversold += over;
    if over > 0 || cell.head.net < 0 {
        v.bad("INV-1", format!("{name}: net {} of supply {}", cell.head.net, cell.head.supply));
    }
    v.table.supply += cell.head.supply;
    v.table.net += cell.head.net;
    if let Some(ledger) = &cell.ledger {
        found.extend(invariant::ledger(&ledger.entries, cell.head));
        *v.table.claimed.get_or_insert(0) += ledger.claims.iter().map(|c| c.qty).sum::<i64>();
        let released = ledger.claims.iter().filter(|c| c.released);
        *v.table.released.get_or_insert(0) += released.map(|c| c.qty).sum::<i64>();
    }
    match &cell.view {
        Some(view) => found.extend(judge_view(cell, view, facts.quiet, &mut v.table)),
        None => v.bad("INV-11", format!("{name} is missing in Redis")),
    }
    v.violations.extend(
        found.into_iter().map(|x| Violation { detail: format!("{name}: {}", x.detail), ..x }),
    );
}

fn judge_view(cell: &CellFacts, view: &View, quiet: bool, table: &mut Table) -> Vec<Violation> {
    table.held += view.held;
    table.available += view.available;
    let mut found = Vec::new();
    let at_w = match &cell.ledger {
        Some(ledger) => ledger.at_w,
        // Without the ledger only its end is known.
        None => (view.watermark == cell.head.seq).then_some(cell.head),
    };
    // What the listener does not show is taken from the ledger.
    let base = at_w.unwrap_or(cell.head);
    let (tok, open) = view.deep.unwrap_or((base.tok, base.open));
    let (supply, net) = (view.supply, view.net);
    let seen = Totals { supply, net, seq: view.watermark, open, tok };
    if cell.ledger.is_some() || at_w.is_some() {
        found.extend(invariant::view(seen, at_w, cell.head));
    }
    if let Some(holds) = &view.all_holds {
        found.extend(invariant::held(view.held, holds));
    }
    if let (Some(b), Some(ledger)) = (&view.buyers, &cell.ledger) {
        let prefix = ledger.entries.partition_point(|e| e.seq <= view.watermark);
        let sums = invariant::buyer_sums(&ledger.entries[..prefix]);
        found.extend(invariant::buyers(b, &sums, view.all_holds.as_deref().unwrap_or(&[])));
    }
    if quiet {
        found.extend(invariant::quiet(seen, cell.head, view.held, view.holds));
    }
    if view.available != supply - net - view.held {
        let detail = format!("available {} of {supply} - {net} - {}", view.available, view.held);
        found.push(Violation { id: "INV-11", detail });
    }
    found
}

/// INV-11: the units of live rows are the net.
fn judge_units(facts: &Facts, v: &mut RunVerdict) {
    let claims: HashMap<OrderId, (i64, bool)> = facts
        .cells
        .iter()
        .filter_map(|c| c.ledger.as_ref())
        .flat_map(|l| l.claims.iter().map(|c| (c.order, (c.qty - c.returned, c.released))))
        .collect();
    let mut live_units = 0;
    for (order, row) in &facts.rows {
        v.table.rows_pending += u64::from(row.status == RowStatus::Pending);
        v.table.rows_rejected += u64::from(row.status == RowStatus::Rejected);
        let live = row.status.is_live();
        v.table.rows_live += u64::from(live);
        v.table.rows_dead += u64::from(!live && row.status != RowStatus::Rejected);
        let claim = claims.get(order).copied();
        if live {
            live_units += claim.map_or(facts.quantity, |c| c.0);
        }
        if live && facts.complete && claim.is_none_or(|c| c.1) {
            v.bad("INV-5", format!("{order} is {} without a claim", row.status.as_str()));
        }
        if !live && facts.quiet && claim.is_some_and(|c| !c.1) {
            v.bad("INV-6", format!("{order} is {}, not released", row.status.as_str()));
        }
    }
    for (order, (_, released)) in &claims {
        if !released && !facts.rows.contains_key(order) {
            v.lost.insert(*order);
            v.bad("INV-7", format!("{order} is claimed in the ledger and has no row"));
        }
    }
    let known = facts.complete || facts.own_offer;
    if known && live_units != v.table.net {
        let text = format!("live rows are {live_units} units, net is {}", v.table.net);
        v.bad("INV-11", text);
    }
}

/// INV-7 and INV-13 for what was promised under one key.
fn judge_track(track: &Track, key: &str, facts: &Facts, v: &mut RunVerdict) {
    v.table.accepted += u64::from(!track.promised.is_empty());
    if track.promised.len() > 1 {
        v.table.doubled += track.promised.len() as u64 - 1;
        v.bad("INV-8", format!("{key}: two orders were accepted: {:?}", track.promised));
    }
    for order in &track.promised {
        let Some(row) = facts.rows.get(order) else {
            v.lost.insert(*order);
            v.bad("INV-7", format!("{key}: {order} was accepted and has no row"));
            continue;
        };
        if row.status == RowStatus::Rejected {
            let reason = row.reason.map_or("none", RejectReason::as_str);
            match row.reason {
                Some(RejectReason::SoldOut | RejectReason::LimitReached) => {}
                Some(RejectReason::KeyConflict | RejectReason::Aborted) | None => {
                    v.bad("INV-13", format!("{key}: {order} was accepted, then rejected: {reason}"))
                }
            }
            *v.accepted_rejected.entry(reason.to_owned()).or_insert(0) += 1;
        }
    }
    if (track.unknown || track.unconfirmed) && track.promised.is_empty() {
        let fate = track.fate.as_ref().map_or("not_asked", |f| f.label());
        *v.fates.entry(fate.to_owned()).or_insert(0) += 1;
    }
}

/// A refusal stores nothing; a dead order stays dead.
fn judge_refusals(track: &Track, number: u32, names: &Names, live: &Live, v: &mut RunVerdict) {
    let none = Vec::new();
    let orders = live.by_track.get(&number).unwrap_or(&none);
    if let Some(order) = orders.first()
        && track.sent
        && track.forbids_order()
    {
        let why = track.refused.map_or("told that it is dead", |r| r.as_str());
        v.bad("INV-8", format!("{}: only refused ({why}), but {order} lives", names.key(number)));
    }
    for order in track.told_dead.iter().filter(|o| orders.contains(o)) {
        v.bad("INV-9", format!("{order} was shown dead and is live"));
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
