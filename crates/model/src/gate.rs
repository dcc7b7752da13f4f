//! One attempt of a gate (PROTOCOL 6.1, 6.2), and its commands that run late.
//!
//! The answer to the client is one step with the receipt: a gate that dies in between has promised
//! nothing, which is the lost receipt.

use crate::ops::{Answer, Op, Reply};
use crate::state::{Attempt, Gate, Mutant};
use crate::world::Run;

const LINE: u8 = 1;
const ANCHOR: u8 = 2;
const CANCEL: u8 = 4;

impl Run<'_> {
    /// The attempt's next command.
    pub fn gate(&mut self, a: usize, answer: Answer) -> bool {
        let at = self.s.attempts[a].at;
        let which = match at {
            Gate::Line => LINE,
            Gate::Anchor => ANCHOR,
            Gate::Cancel => CANCEL,
            Gate::Publish => return self.gate_publish(a, answer),
            Gate::Done => return false,
        };
        let attempt = &mut self.s.attempts[a];
        if attempt.tries >= self.scope.tries && answer != Answer::Heard && answer != Answer::Twice {
            return false;
        }
        if matches!(answer, Answer::Late | Answer::Twice) {
            if self.s.left.ghosts == 0 || attempt.ghosts & which != 0 {
                return false;
            }
            self.s.left.ghosts -= 1;
            attempt.ghosts |= which;
        }
        if answer == Answer::Late {
            attempt.unheard();
            return true;
        }
        let reply = self.command(a, which);
        if answer == Answer::Lost {
            self.s.attempts[a].unheard();
            return true;
        }
        self.heard(a, reply);
        true
    }

    fn command(&mut self, a: usize, which: u8) -> Reply {
        let order = usize::from(self.scope.attempts[a]);
        let (def, nonce) = (self.scope.orders[order], a as u8);
        let Some(cell) = def.line().filter(|_| which != ANCHOR) else {
            return self.reserve(def.anchor(), order, b'S', nonce);
        };
        if which == LINE {
            return self.reserve(cell, order, b'L', nonce);
        }
        let (buyer, anyone) = (self.buyer(order), self.scope.broken(Mutant::CancelWithoutNonce));
        let reply = self.s.redis[cell].cancel(order, buyer, nonce, anyone);
        if reply == Reply::Ok {
            self.dropped(cell, order);
        }
        self.note(Op::Cancel(cell as u8, order as u8, nonce), reply)
    }

    fn heard(&mut self, a: usize, reply: Reply) {
        let order = usize::from(self.scope.attempts[a]);
        let takes_over = self.scope.broken(Mutant::NonceOverwritten);
        let attempt = &mut self.s.attempts[a];
        let next = match (attempt.at, reply) {
            (Gate::Line, Reply::New | Reply::Held | Reply::Claimed) => {
                attempt.made = reply == Reply::New || (takes_over && reply == Reply::Held);
                Gate::Anchor
            }
            (Gate::Anchor, Reply::New | Reply::Held) => Gate::Publish,
            (Gate::Anchor, Reply::Claimed) => {
                self.s.accepted |= 1 << order;
                Gate::Done
            }
            // Only what this attempt made, and only when it knows what its tries did.
            (Gate::Anchor, Reply::Limit | Reply::SoldOut) if attempt.made && !attempt.unknown => {
                Gate::Cancel
            }
            _ => Gate::Done,
        };
        let Attempt { made, ghosts, .. } = *attempt;
        *attempt = Attempt { at: next, made, ghosts, ..Attempt::default() };
        if matches!(next, Gate::Done | Gate::Publish) {
            attempt.made = false;
        }
    }

    fn gate_publish(&mut self, a: usize, answer: Answer) -> bool {
        let order = usize::from(self.scope.attempts[a]);
        match answer {
            Answer::Heard => self.s.accepted |= 1 << order,
            Answer::Lost => {}
            Answer::Late | Answer::Twice => return false,
        }
        self.publish_full(order);
        self.gate_ends(a);
        true
    }

    /// The attempt is over; what it sent may still run.
    pub fn gate_ends(&mut self, a: usize) {
        let ghosts = self.s.attempts[a].ghosts;
        self.s.attempts[a] = Attempt { at: Gate::Done, ghosts, ..Attempt::default() };
    }

    /// The gate dies.
    pub fn gate_dies(&mut self, a: usize) -> bool {
        let alive = self.s.attempts[a].at != Gate::Done;
        self.gate_ends(a);
        alive
    }

    /// A late command runs.
    pub fn ghost(&mut self, a: usize, which: u8) -> bool {
        if self.s.attempts[a].ghosts & which == 0 {
            return false;
        }
        self.s.attempts[a].ghosts &= !which;
        self.command(a, which);
        true
    }
}

impl Attempt {
    fn unheard(&mut self) {
        self.tries += 1;
        self.unknown = true;
    }
}
