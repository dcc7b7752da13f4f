//! A rebuilder of a lost cell (PROTOCOL 6.9): ticket, grace, barrier, read, load.
//!
//! The grace is the one place where time enters: when it is over, no gate and no relay publishes a
//! hold that it took before the ticket (`publish.max_age`).

use crate::ops::{Op, Reply};
use crate::state::{Build, Gate, Mutant, Rebuilder, Relay};
use crate::world::Run;

impl Run<'_> {
    /// The next step.
    pub fn build(&mut self, r: usize) -> bool {
        let b = self.s.rebuilders[r];
        let cell = usize::from(b.cell);
        let next = match b.at {
            Build::Idle => return self.begin(r),
            Build::Ticket => {
                self.grace();
                self.s.rebuilders[r].before = self.s.log.map(|f| f.there);
                Build::Barrier
            }
            Build::Barrier => {
                let waits = b.before.iter().any(|f| *f != 0);
                if waits && !self.scope.broken(Mutant::NoBarrier) {
                    return false;
                }
                self.s.rebuilders[r].before = Default::default();
                Build::Loaded(self.s.ledger[cell].seq())
            }
            Build::Loaded(seq) => {
                let fresh = self.s.ledger[cell].view(self.scope, seq);
                let unchecked = self.scope.broken(Mutant::NoTicket);
                let reply = self.s.redis[cell].load(fresh, b.ticket, unchecked);
                self.note(Op::Load(b.cell, seq, b.ticket), reply);
                Build::Idle
            }
        };
        self.s.rebuilders[r].at = next;
        if next == Build::Idle {
            self.s.rebuilders[r] = Rebuilder::default();
        }
        true
    }

    fn begin(&mut self, r: usize) -> bool {
        let cells = 0..self.scope.units.len();
        let Some(cell) = cells.into_iter().find(|c| !self.s.redis[*c].exists) else {
            return false;
        };
        let ticket = self.unused_ticket();
        self.s.redis[cell].ticket = ticket;
        self.note(Op::Ticket(cell as u8, ticket), Reply::Ok);
        let cell = cell as u8;
        self.s.rebuilders[r] =
            Rebuilder { at: Build::Ticket, cell, ticket, ..Rebuilder::default() };
        true
    }

    /// A number that no slot and no rebuilder knows: as good as one never used before.
    fn unused_ticket(&self) -> u8 {
        let saved = self.s.saved.iter().flatten();
        let slots = self.s.redis.iter().chain(saved).map(|v| v.ticket);
        let known = || slots.clone().chain(self.s.rebuilders.iter().map(|r| r.ticket));
        (1..u8::MAX).find(|t| known().all(|k| k != *t)).unwrap_or(u8::MAX)
    }

    fn grace(&mut self) {
        if self.scope.broken(Mutant::NoMaxAge) {
            return;
        }
        for a in 0..self.s.attempts.len() {
            if self.s.attempts[a].at == Gate::Publish {
                self.gate_ends(a);
            }
        }
        // The relay counts from its scan.
        self.s.relay = Relay::default();
    }

    /// The rebuilder dies.
    pub fn build_dies(&mut self, r: usize) -> bool {
        let alive = self.s.rebuilders[r].at != Build::Idle;
        self.s.rebuilders[r] = Rebuilder::default();
        alive
    }
}
