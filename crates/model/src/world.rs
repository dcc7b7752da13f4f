//! Everything that can happen next, and one step of it.

use crate::ledger::Ledger;
use crate::ops::{Answer, Op, Reply};
use crate::redis::{Ask, View};
use crate::state::{
    ATTEMPTS, Attempt, CELLS, Frames, Gate, Left, Mutant, ORDERS, REBUILDERS, Rebuilder, Relay,
    Row, Scope, State, WRITERS, Writer,
};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An attempt sends its command and hears the answer.
    Gate(u8),
    /// The command runs, the answer is lost.
    GateDeaf(u8),
    /// The command will run later; nobody answers.
    GateLate(u8),
    /// The command runs and is answered; it will run once more later.
    GateTwice(u8),
    /// The attempt dies, or gives up.
    GateDies(u8),
    /// A late command of an attempt runs: 1 line, 2 anchor, 4 cancel.
    Ghost(u8, u8),
    /// A writer takes a copy of an order's frame.
    Take(u8, u8, u8),
    /// A writer's next step.
    Writer(u8),
    /// A writer's next call to Redis is lost; it goes on.
    WriterSkips(u8),
    /// A writer dies.
    WriterDies(u8),
    /// The relay picks up the hold of an order in a cell.
    Scan(u8, u8),
    /// The relay's next step.
    Relay,
    /// The relay dies, or gives up.
    RelayDies,
    /// The reconciler brings a cell to the ledger's head.
    Follow(u8),
    /// The sweeper looks at an order.
    Sweep(u8),
    /// A rebuilder's next step.
    Build(u8),
    /// A rebuilder dies.
    BuildDies(u8),
    /// Guess: a coming failover falls back to now.
    Save,
    /// The failover.
    Failover,
    /// A cell is lost.
    Lose(u8),
    /// An acked copy of a frame comes again.
    Redeliver(u8, u8),
    /// The log loses a copy of a frame.
    LoseFrame(u8, u8),
}

/// A scope and the list of what may happen in it.
pub struct World {
    /// The scope.
    pub scope: Scope,
    /// Every action; most are not possible in a given state.
    pub actions: Vec<Action>,
}

/// One step under way: the state it changes, and what it does to the outside.
pub struct Run<'a> {
    /// The state.
    pub s: State,
    /// The scope.
    pub scope: &'a Scope,
    /// Operations and replies, when somebody wants them.
    pub ops: Option<Vec<(Op, Reply)>>,
}

/// The bit of the `abort` copy.
pub const ABORT: u8 = 2;

impl World {
    /// All actions of a scope.
    pub fn new(scope: Scope) -> Self {
        let mut actions = Vec::new();
        for a in 0..scope.attempts.len() as u8 {
            let each = [
                Action::Gate(a),
                Action::GateDeaf(a),
                Action::GateLate(a),
                Action::GateTwice(a),
                Action::GateDies(a),
            ];
            actions.extend(each);
            actions.extend([1, 2, 4].map(|g| Action::Ghost(a, g)));
        }
        let orders = 0..scope.orders.len() as u8;
        for w in 0..scope.writers as u8 {
            actions.extend([Action::Writer(w), Action::WriterDies(w)]);
            if scope.tries > 0 {
                actions.push(Action::WriterSkips(w));
            }
            let copies = |o| (0..3).map(move |c| Action::Take(w, o, c));
            actions.extend(orders.clone().flat_map(copies));
        }
        if scope.relay {
            actions.extend([Action::Relay, Action::RelayDies]);
        }
        for cell in 0..scope.units.len() as u8 {
            actions.push(Action::Follow(cell));
            actions.push(Action::Lose(cell));
            if scope.relay {
                actions.extend(orders.clone().map(|o| Action::Scan(cell, o)));
            }
        }
        for o in orders {
            actions.push(Action::Sweep(o));
            actions.extend((0..3).map(|c| Action::Redeliver(o, c)));
            actions.extend((0..3).map(|c| Action::LoseFrame(o, c)));
        }
        for r in 0..scope.rebuilders as u8 {
            actions.extend([Action::Build(r), Action::BuildDies(r)]);
        }
        actions.extend([Action::Save, Action::Failover]);
        Self { scope, actions }
    }

    /// The first state: every cell is loaded at its first position, nobody has begun.
    pub fn start(&self) -> State {
        let mut ledger = [Ledger::default(); CELLS];
        let mut redis = [View::default(); CELLS];
        for (cell, units) in self.scope.units.iter().enumerate() {
            ledger[cell] = Ledger::new(*units);
            redis[cell] = ledger[cell].view(&self.scope, ledger[cell].seq());
        }
        let mut attempts = [Attempt { at: Gate::Done, ..Attempt::default() }; ATTEMPTS];
        for (attempt, order) in attempts.iter_mut().zip(&self.scope.attempts) {
            let is_cart = self.scope.order(*order).line().is_some();
            attempt.at = if is_cart { Gate::Line } else { Gate::Anchor };
        }
        let sc = &self.scope;
        State {
            redis,
            saved: None,
            ledger,
            unrowed: 0,
            rows: [Row::None; ORDERS],
            log: [Frames::default(); ORDERS],
            attempts,
            writers: [Writer::default(); WRITERS],
            relay: Relay::default(),
            rebuilders: [Rebuilder::default(); REBUILDERS],
            accepted: 0,
            left: Left {
                ghosts: sc.ghosts,
                redeliveries: sc.redeliveries,
                failovers: sc.failovers,
                losses: sc.losses,
                lost_frames: sc.lost_frames,
            },
            broken: 0,
        }
    }

    /// The state after an action, or nothing when it is not possible.
    pub fn next(&self, s: &State, action: Action) -> Option<State> {
        let mut run = Run { s: *s, scope: &self.scope, ops: None };
        let done = run.act(action);
        // Writers are alike: who is called the first does not matter.
        if run.s.writers[1] < run.s.writers[0] {
            run.s.writers.swap(0, 1);
        }
        done.then_some(run.s)
    }

    /// The same, with the operations it does outside.
    pub fn trace(&self, s: &State, action: Action) -> Option<(State, Vec<(Op, Reply)>)> {
        let mut run = Run { s: *s, scope: &self.scope, ops: Some(Vec::new()) };
        let done = run.act(action);
        done.then(|| (run.s, run.ops.unwrap_or_default()))
    }
}

impl Run<'_> {
    /// Does an action; false when it is not possible.
    pub fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Gate(a) => self.gate(a.into(), Default::default()),
            Action::GateDeaf(a) => self.gate(a.into(), Answer::Lost),
            Action::GateLate(a) => self.gate(a.into(), Answer::Late),
            Action::GateTwice(a) => self.gate(a.into(), Answer::Twice),
            Action::GateDies(a) => self.gate_dies(a.into()),
            Action::Ghost(a, which) => self.ghost(a.into(), which),
            Action::Take(w, o, c) => self.take(w.into(), o, c),
            Action::Writer(w) => self.writer(w.into(), true),
            Action::WriterSkips(w) => self.writer(w.into(), false),
            Action::WriterDies(w) => self.writer_dies(w.into()),
            Action::Scan(cell, o) => self.scan(cell, o),
            Action::Relay => self.relay(),
            Action::RelayDies => self.relay_dies(),
            Action::Follow(cell) => self.follow(cell.into()),
            Action::Sweep(o) => self.sweep(o.into()),
            Action::Build(r) => self.build(r.into()),
            Action::BuildDies(r) => self.build_dies(r.into()),
            Action::Save => self.save(),
            Action::Failover => self.failover(),
            Action::Lose(cell) => self.lose(cell.into()),
            Action::Redeliver(o, c) => self.redeliver(o.into(), c),
            Action::LoseFrame(o, c) => self.lose_frame(o.into(), c),
        }
    }

    /// Notes an operation and its reply.
    pub fn note(&mut self, op: Op, reply: Reply) -> Reply {
        if let Some(ops) = &mut self.ops {
            ops.push((op, reply));
        }
        reply
    }

    /// An invariant is broken; the first one counts.
    pub fn broke(&mut self, invariant: u8) {
        if self.s.broken == 0 {
            self.s.broken = invariant;
        }
    }

    /// The buyer of an order.
    pub fn buyer(&self, order: usize) -> usize {
        usize::from(self.scope.orders[order].buyer)
    }

    /// reserve on a cell.
    pub fn reserve(&mut self, cell: usize, order: usize, state: u8, nonce: u8) -> Reply {
        let buyer = self.buyer(order);
        let overwrite = self.scope.broken(Mutant::NonceOverwritten);
        let ask = Ask { order, buyer, state, nonce, overwrite };
        let reply = self.s.redis[cell].reserve(ask);
        let relay = nonce == crate::state::RELAY_NONCE;
        self.note(Op::Reserve(cell as u8, order as u8, state, nonce, relay), reply)
    }

    /// apply up to a position: what is folded in already is skipped, a gap is read and filled.
    pub fn apply(&mut self, cell: usize, upto: u8) {
        let (view, ledger) = (&mut self.s.redis[cell], &self.s.ledger[cell]);
        if !view.exists {
            self.note(Op::Apply(cell as u8, upto), Reply::Missing);
            return;
        }
        for (seq, kind, order) in ledger.entries().filter(|e| e.0 <= upto) {
            if seq > view.w {
                view.fold(kind, order, usize::from(self.scope.orders[order].buyer));
            }
        }
        let w = view.w;
        self.note(Op::Apply(cell as u8, upto), Reply::Count(w));
    }

    /// resolve on a cell.
    pub fn resolve(&mut self, cell: usize, order: usize, seq: u8) {
        let buyer = self.buyer(order);
        let unchecked = self.scope.broken(Mutant::ResolveUnchecked);
        let dropped = self.s.redis[cell].resolve(order, buyer, seq, unchecked);
        self.note(Op::Resolve(cell as u8, order as u8, seq), Reply::Count(dropped.into()));
    }

    /// A line that loses its hold under a published frame must have its verdict (INV-14).
    pub fn dropped(&mut self, cell: usize, order: usize) {
        let decided = self.s.ledger[cell].verdict(order).is_some();
        if self.s.log[order].published && !decided && self.scope.coverage {
            self.broke(14);
        }
    }

    /// Puts a `full` frame of an order into the log (INV-14).
    pub fn publish_full(&mut self, order: usize) {
        let def = self.scope.orders[order];
        for cell in (0..CELLS).filter(|c| def.has(*c)) {
            let held = self.s.redis[cell].hold[order].state != 0;
            let decided = self.s.ledger[cell].verdict(order).is_some();
            if !held && !decided && self.scope.coverage {
                self.broke(14);
            }
        }
        let frames = &mut self.s.log[order];
        frames.published = self.scope.coverage;
        // A third copy adds nothing: two are one that is taken and one that comes later.
        let second = frames.there & 1 != 0 && self.scope.copies > 1;
        frames.there |= if second { 2 } else { 1 };
    }

    /// Puts an `abort` frame of an order into the log.
    pub fn publish_abort(&mut self, order: usize) {
        self.s.log[order].there |= 1 << ABORT;
    }
}
