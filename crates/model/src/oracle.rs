//! What must be true of a state, and of what recovery makes of it.
//!
//! Cells, ledgers and rows repeat all over the state space, so each different one is asked about
//! once. Recovery: everybody is dead, no more faults; writers, relay, sweeper, reconciler and
//! rebuilder run round after round until nothing is left to do.

use std::collections::HashSet;

use domain::invariant::{self, Violation};
use domain::{Hold, HoldState, Kind, RowStatus};

use crate::ledger::{Ledger, buyer, id};
use crate::redis::View;
use crate::seen::{Seen, fingerprint};
use crate::state::{
    ATTEMPTS, Attempt, CELLS, Gate, Left, ORDERS, Pass, REBUILDERS, Rebuilder, Relay, Row, Scope,
    State, Step, WRITERS, Writer,
};
use crate::world::{Run, World};

/// Rounds of recovery after which everything must be quiet.
const ROUNDS: usize = 8;

/// Remembers what was asked about.
#[derive(Default)]
pub struct Oracle {
    cells: HashSet<(View, Ledger)>,
    rows: HashSet<([Ledger; CELLS], [Row; ORDERS], u8)>,
    recovered: Seen,
}

fn broken(id: &'static str, detail: impl Into<String>) -> Violation {
    Violation { id, detail: detail.into() }
}

impl Oracle {
    /// Different states from which recovery was run.
    pub fn recoveries(&self) -> usize {
        self.recovered.len()
    }

    /// The first thing that is wrong.
    pub fn check(&mut self, world: &World, s: &State) -> Option<Violation> {
        self.now(world, s).or_else(|| self.later(world, s))
    }

    fn now(&mut self, world: &World, s: &State) -> Option<Violation> {
        let scope = &world.scope;
        match s.broken {
            0 => {}
            1 => return Some(broken("INV-1", "the domain refused an entry")),
            _ => return Some(broken("INV-14", "a line without hold or verdict under a frame")),
        }
        for cell in 0..scope.units.len() {
            if self.cells.insert((s.redis[cell], s.ledger[cell]))
                && let Some(v) = check_cell(scope, &s.redis[cell], &s.ledger[cell])
            {
                return Some(v);
            }
        }
        let fresh = self.rows.insert((s.ledger, s.rows, s.accepted));
        if fresh { check_rows(scope, s) } else { None }
    }

    /// INV-7 and INV-11: what recovery alone makes of it.
    fn later(&mut self, world: &World, s: &State) -> Option<Violation> {
        let dead = everybody_dead(s);
        if !self.recovered.insert(fingerprint(&dead)) {
            return None;
        }
        let mut run = Run { s: dead, scope: &world.scope, ops: None };
        for _ in 0..ROUNDS {
            recover(&mut run);
            if let Some(v) = self.now(world, &run.s) {
                return Some(Violation { detail: format!("in recovery: {}", v.detail), ..v });
            }
            if is_quiet(&world.scope, &run.s) {
                return check_end(&world.scope, &run.s);
            }
        }
        Some(broken("INV-11", format!("not quiet after {ROUNDS} rounds: {:?}", run.s)))
    }
}

/// The same state with everything that lives in a process gone, and no faults to come.
pub fn everybody_dead(s: &State) -> State {
    let mut log = s.log;
    log.iter_mut().for_each(|f| f.acked = 0);
    State {
        saved: None,
        log,
        attempts: [Attempt { at: Gate::Done, ..Attempt::default() }; ATTEMPTS],
        writers: [Writer::default(); WRITERS],
        relay: Relay::default(),
        rebuilders: [Rebuilder::default(); REBUILDERS],
        left: Left::default(),
        ..*s
    }
}

/// One round of everybody who repairs.
fn recover(run: &mut Run<'_>) {
    let (cells, orders) = (run.scope.units.len(), run.scope.orders.len());
    let missing = run.s.redis[..cells].iter().any(|v| !v.exists);
    if missing {
        // Ticket, barrier.
        run.build(0);
        run.build(0);
    }
    for order in 0..orders as u8 {
        for copy in 0..3 {
            if run.take(0, order, copy) {
                while run.s.writers[0].at != Step::Idle {
                    run.writer(0, true);
                }
            }
        }
    }
    if missing {
        // Read, load.
        run.build(0);
        run.build(0);
    }
    for cell in 0..cells {
        run.follow(cell);
        for order in 0..orders as u8 {
            if run.scan(cell as u8, order) {
                while run.s.relay.at != Pass::Idle {
                    run.relay();
                }
            }
        }
    }
    for order in 0..orders {
        run.sweep(order);
    }
}

fn is_quiet(scope: &Scope, s: &State) -> bool {
    let cells = 0..scope.units.len();
    let still = |c: usize| {
        let v = &s.redis[c];
        v.exists && v.w == s.ledger[c].seq() && (0..scope.orders.len()).all(|o| !v.in_h(o))
    };
    cells.into_iter().all(still) && s.unrowed == 0 && s.log.iter().all(|f| f.there == 0)
}

fn holds(scope: &Scope, v: &View) -> Vec<Hold> {
    let held = (0..scope.orders.len()).filter(|o| v.hold[*o].state != 0);
    held.map(|o| Hold {
        id: id(o).into(),
        qty: 1,
        buyer: buyer(scope.orders[o].buyer).parse().ok(),
        att: String::new(),
        state: HoldState::Sealed,
        payload: Vec::new(),
        t_ms: 0,
    })
    .collect()
}

/// INV-1 to INV-4 of one cell.
fn check_cell(scope: &Scope, v: &View, ledger: &Ledger) -> Option<Violation> {
    let (entries, head) = ledger.full(scope);
    let mut out = invariant::ledger(&entries, head);
    if v.exists {
        let seen = domain::Totals {
            supply: v.supply.into(),
            net: v.net.into(),
            seq: v.w.into(),
            ..ledger.at(v.w)
        };
        let at_w = (v.w <= ledger.seq()).then(|| ledger.at(v.w));
        out.extend(invariant::view(seen, at_w, ledger.at(ledger.seq())));
        let holds = holds(scope, v);
        out.extend(invariant::held(v.held.into(), &holds));
        let prefix: Vec<_> = entries.into_iter().filter(|e| e.seq <= v.w.into()).collect();
        let b = (0u8..).zip(v.b).map(|(n, q)| (buyer(n), i64::from(q))).collect();
        out.extend(invariant::buyers(&b, &invariant::buyer_sums(&prefix), &holds));
    }
    out.into_iter().next()
}

fn status(row: Row) -> Option<RowStatus> {
    match row {
        Row::None => None,
        Row::Pending => Some(RowStatus::Pending),
        Row::Rejected | Row::KeyConflict => Some(RowStatus::Rejected),
    }
}

/// INV-5, INV-6 (first half), INV-8, INV-13.
fn check_rows(scope: &Scope, s: &State) -> Option<Violation> {
    for (o, def) in scope.orders.iter().enumerate() {
        let lines: Vec<(Option<Kind>, bool)> = (0..CELLS)
            .filter(|c| def.has(*c))
            .map(|c| {
                let kind = s.ledger[c].verdict(o).and_then(|v| Kind::from_code(v.1.into()));
                (kind, s.ledger[c].released(o))
            })
            .collect();
        if let Some(status) = status(s.rows[o])
            && let Some(v) = invariant::row(id(o), status, &lines).into_iter().next()
        {
            return Some(v);
        }
        let dead = matches!(s.rows[o], Row::Rejected | Row::KeyConflict);
        if !dead && lines.iter().any(|l| l.1) {
            return Some(broken("INV-6", format!("order {o} released, row {:?}", s.rows[o])));
        }
        if s.rows[o] == Row::Rejected && lines.iter().all(|l| l.0 != Some(Kind::Reject)) {
            return Some(broken("INV-5", format!("order {o} rejected without a reject")));
        }
        let accepted = s.accepted & (1 << o) != 0;
        let rejected = lines.iter().any(|l| l.0 == Some(Kind::Reject));
        if scope.no_rejection && accepted && (rejected || s.rows[o] == Row::Rejected) {
            return Some(broken("INV-13", format!("order {o} was accepted and is rejected")));
        }
        let same_key = |p: &usize| scope.orders[*p].buyer == def.buyer && *p > o;
        let live = |p: usize| s.rows[p] == Row::Pending;
        if live(o) && (0..scope.orders.len()).filter(same_key).any(live) {
            return Some(broken("INV-8", "two live orders of one key"));
        }
    }
    None
}

/// INV-6 (second half), INV-7, INV-11.
fn check_end(scope: &Scope, s: &State) -> Option<Violation> {
    let orders = || scope.orders.iter().enumerate();
    for (o, def) in orders() {
        if s.accepted & (1 << o) != 0 && s.rows[o] == Row::None {
            return Some(broken("INV-7", format!("order {o} was accepted and has no row")));
        }
        let dead = matches!(s.rows[o], Row::Rejected | Row::KeyConflict);
        let kept = |c: usize| {
            let claimed = s.ledger[c].verdict(o).is_some_and(|v| v.1 == b'C');
            claimed && !s.ledger[c].released(o)
        };
        if dead && (0..CELLS).filter(|c| def.has(*c)).any(kept) {
            return Some(broken("INV-6", format!("order {o} is dead and keeps a unit")));
        }
    }
    for cell in 0..scope.units.len() {
        let (v, ledger) = (&s.redis[cell], &s.ledger[cell]);
        let seen = domain::Totals { seq: v.w.into(), ..ledger.at(v.w) };
        let held = v.held.into();
        let quiet = invariant::quiet(seen, ledger.at(ledger.seq()), held, 0);
        if let Some(v) = quiet.into_iter().next() {
            return Some(v);
        }
        let live = orders().filter(|(o, d)| s.rows[*o] == Row::Pending && d.has(cell)).count();
        if ledger.at(ledger.seq()).net != live as i64 {
            return Some(broken("INV-11", format!("cell {cell}: net is not what lives")));
        }
    }
    None
}
