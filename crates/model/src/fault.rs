//! Faults of Redis and of the log, and the repairs that are one step: the reconciler's apply and
//! the sweeper.

use crate::ops::{Op, Reply};
use crate::redis::View;
use crate::state::Mutant;
use crate::world::Run;

impl Run<'_> {
    pub(crate) fn follow(&mut self, cell: usize) -> bool {
        let (view, head) = (&self.s.redis[cell], self.s.ledger[cell].seq());
        if !view.exists || view.w == head {
            return false;
        }
        self.apply(cell, head);
        true
    }

    /// The sweeper: a verdict without a row whose frame may be gone.
    pub(crate) fn sweep(&mut self, order: usize) -> bool {
        let done = self.s.unrowed & (1 << order) == 0 || self.s.log[order].there != 0;
        if done || self.scope.broken(Mutant::NoSweeper) {
            return false;
        }
        let anchor = self.scope.orders[order].anchor();
        match self.s.ledger[anchor].verdict(order) {
            Some((_, b'C')) => self.publish_full(order),
            _ => self.publish_abort(order),
        }
        true
    }

    pub(crate) fn save(&mut self) -> bool {
        if self.s.left.failovers == 0 || self.s.saved.is_some() {
            return false;
        }
        self.s.saved = Some(self.s.redis);
        self.note(Op::Save, Reply::Ok);
        true
    }

    pub(crate) fn failover(&mut self) -> bool {
        // A failover that loses nothing is no step.
        let Some(saved) = self.s.saved.filter(|s| *s != self.s.redis) else { return false };
        (self.s.redis, self.s.saved) = (saved, None);
        self.s.left.failovers -= 1;
        self.note(Op::Restore, Reply::Ok);
        true
    }

    pub(crate) fn lose(&mut self, cell: usize) -> bool {
        if self.s.left.losses == 0 || self.s.redis[cell] == View::default() {
            return false;
        }
        self.s.left.losses -= 1;
        self.s.redis[cell] = View::default();
        self.note(Op::Lose(cell as u8), Reply::Ok);
        true
    }

    pub(crate) fn redeliver(&mut self, order: usize, copy: u8) -> bool {
        let (bit, frames) = (1 << copy, &mut self.s.log[order]);
        if self.s.left.redeliveries == 0 || frames.acked & bit == 0 || frames.there & bit != 0 {
            return false;
        }
        self.s.left.redeliveries -= 1;
        frames.there |= bit;
        if self.s.left.redeliveries == 0 {
            self.s.log.iter_mut().for_each(|f| f.acked = 0);
        }
        true
    }

    pub(crate) fn lose_frame(&mut self, order: usize, copy: u8) -> bool {
        let bit = 1 << copy;
        if self.s.left.lost_frames == 0 || self.s.log[order].there & bit == 0 {
            return false;
        }
        self.s.left.lost_frames -= 1;
        self.s.log[order].there &= !bit;
        self.gone(order, bit);
        true
    }

    /// A copy left the log: no barrier waits for it any more.
    pub fn gone(&mut self, order: usize, bit: u8) {
        for r in &mut self.s.rebuilders {
            r.before[order] &= !bit;
        }
    }
}
