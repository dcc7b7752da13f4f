//! A writer and one frame (PROTOCOL 6.4). A transaction whose commit is unknown is run again,
//! which is a writer that died after it and took the frame again.

use crate::ops::{Op, Reply};
use crate::state::{CELLS, Mutant, Row, Step, Writer};
use crate::world::{ABORT, Run};

impl Run<'_> {
    /// Takes a copy of a frame; another writer may have it too.
    pub fn take(&mut self, w: usize, order: u8, copy: u8) -> bool {
        let there = self.s.log[usize::from(order)].there & (1 << copy) != 0;
        if !there || self.s.writers[w].at != Step::Idle {
            return false;
        }
        self.s.writers[w] = Writer { at: Step::Anchor, order, copy, ..Writer::default() };
        if self.scope.broken(Mutant::AckBeforeCommit) {
            self.ack(w);
        }
        true
    }

    /// The writer dies; what it committed stays.
    pub fn writer_dies(&mut self, w: usize) -> bool {
        let alive = self.s.writers[w].at != Step::Idle;
        self.s.writers[w] = Writer::default();
        alive
    }

    /// The next step; `reached` is false when a call to Redis is lost.
    pub fn writer(&mut self, w: usize, reached: bool) -> bool {
        let at = self.s.writers[w].at;
        if !reached && !matches!(at, Step::Apply(_) | Step::Resolve(_)) {
            return false;
        }
        let next = match at {
            Step::Idle => return false,
            Step::Anchor => self.decide_anchor(w),
            Step::Line => self.decide_line(w),
            Step::Row => self.write_row(w),
            Step::Release(cell) => self.release(w, cell),
            Step::Unrowed => {
                self.s.unrowed &= !(1 << self.s.writers[w].order);
                self.next_apply(w, 0)
            }
            Step::Apply(cell) => {
                // What no later step reads is forgotten: states that differ in it are one.
                let upto = std::mem::take(&mut self.s.writers[w].upto[usize::from(cell)]);
                if reached {
                    self.apply(cell.into(), upto);
                }
                self.next_apply(w, cell + 1)
            }
            Step::Resolve(cell) => {
                let writer = &mut self.s.writers[w];
                let (order, seq) =
                    (writer.order, std::mem::take(&mut writer.old[usize::from(cell)]));
                if reached {
                    self.resolve(cell.into(), order.into(), seq);
                }
                self.next_resolve(w, cell + 1)
            }
            Step::Ack => {
                self.ack(w);
                Step::Idle
            }
        };
        self.s.writers[w].at = next;
        if next == Step::Idle {
            self.s.writers[w] = Writer::default();
        }
        true
    }

    fn verdict(&mut self, w: usize, cell: usize, full: bool, anchor: bool) -> Option<bool> {
        let order = usize::from(self.s.writers[w].order);
        let guard = !self.scope.broken(Mutant::NoGuard);
        let Some((seq, kind, fresh)) = self.s.ledger[cell].decide(order, full, guard) else {
            self.broke(1);
            return None;
        };
        let claim = kind == b'C';
        let writer = &mut self.s.writers[w];
        writer.verdict[cell] = if claim { 1 } else { 2 };
        if fresh {
            writer.upto[cell] = seq;
        } else {
            writer.old[cell] = seq;
        }
        if anchor && fresh {
            self.s.unrowed |= 1 << order;
        }
        let op = Op::Verdict(cell as u8, order as u8, full, anchor);
        self.note(op, Reply::Verdict(seq, claim, fresh));
        Some(claim)
    }

    fn decide_anchor(&mut self, w: usize) -> Step {
        let (order, copy) = (self.s.writers[w].order, self.s.writers[w].copy);
        let def = *self.scope.order(order);
        self.verdict(w, def.anchor(), copy != ABORT, true);
        if def.line().is_some() { Step::Line } else { Step::Row }
    }

    fn decide_line(&mut self, w: usize) -> Step {
        let writer = self.s.writers[w];
        let def = *self.scope.order(writer.order);
        // An abort is void once the anchor is claimed.
        let full = writer.verdict[def.anchor()] == 1;
        if let Some(cell) = def.line() {
            self.verdict(w, cell, full, false);
        }
        Step::Row
    }

    fn write_row(&mut self, w: usize) -> Step {
        let writer = self.s.writers[w];
        let order = usize::from(writer.order);
        let rejected = writer.verdict.contains(&2);
        let fresh = self.s.rows[order] == Row::None;
        if fresh {
            let taken = self.key_is_taken(order);
            self.s.rows[order] = match (taken, rejected) {
                (true, _) => Row::KeyConflict,
                (false, true) => Row::Rejected,
                (false, false) => Row::Pending,
            };
        }
        let live = self.s.rows[order] == Row::Pending;
        self.note(Op::Row(writer.order, rejected), Reply::Row(live, fresh));
        if live || self.scope.broken(Mutant::NoRelease) {
            self.s.writers[w].verdict = Default::default();
            return Step::Unrowed;
        }
        self.next_release(w, 0)
    }

    fn key_is_taken(&self, order: usize) -> bool {
        let owner = |o: usize| self.buyer(o) == self.buyer(order) && o != order;
        let others = (0..self.scope.orders.len()).filter(|o| owner(*o));
        // The loser of an earlier conflict does not own the key.
        others.map(|o| self.s.rows[o]).any(|r| matches!(r, Row::Pending | Row::Rejected))
    }

    fn next_release(&mut self, w: usize, from: u8) -> Step {
        let claimed = |c: &u8| self.s.writers[w].verdict[usize::from(*c)] == 1;
        let next = (from..CELLS as u8).find(claimed);
        if next.is_none() {
            self.s.writers[w].verdict = Default::default();
        }
        next.map_or(Step::Unrowed, Step::Release)
    }

    fn release(&mut self, w: usize, cell: u8) -> Step {
        let order = self.s.writers[w].order;
        let ledger = &mut self.s.ledger[usize::from(cell)];
        match ledger.release(order.into()) {
            Some(true) => {
                let seq = ledger.seq();
                self.s.writers[w].upto[usize::from(cell)] = seq;
                self.note(Op::Release(cell, order), Reply::Count(1));
            }
            Some(false) => {
                self.note(Op::Release(cell, order), Reply::Count(0));
            }
            None => self.broke(1),
        }
        self.s.writers[w].verdict[usize::from(cell)] = 2;
        self.next_release(w, cell + 1)
    }

    fn next_apply(&self, w: usize, from: u8) -> Step {
        let has_new = |c: &u8| self.s.writers[w].upto[usize::from(*c)] != 0;
        (from..CELLS as u8).find(has_new).map_or_else(|| self.next_resolve(w, 0), Step::Apply)
    }

    fn next_resolve(&self, w: usize, from: u8) -> Step {
        let was_there = |c: &u8| self.s.writers[w].old[usize::from(*c)] != 0;
        (from..CELLS as u8).find(was_there).map_or(Step::Ack, Step::Resolve)
    }

    fn ack(&mut self, w: usize) {
        let Writer { order, copy, .. } = self.s.writers[w];
        let frames = &mut self.s.log[usize::from(order)];
        let bit = 1 << copy;
        if frames.there & bit != 0 {
            frames.there &= !bit;
            if self.s.left.redeliveries > 0 {
                frames.acked |= bit;
            }
            self.gone(order.into(), bit);
        }
    }
}
