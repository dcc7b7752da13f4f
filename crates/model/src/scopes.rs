//! The scopes that are explored to exhaustion, and the broken ones that must be found.

use crate::state::{Mutant, OrderDef, Scope};

fn single(cell: u8, buyer: u8) -> OrderDef {
    OrderDef { lines: 1 << cell, anchor: cell, buyer }
}

fn cart(anchor: u8, buyer: u8) -> OrderDef {
    OrderDef { lines: 3, anchor, buyer }
}

fn base() -> Scope {
    Scope {
        name: "",
        units: vec![1],
        orders: vec![single(0, 0), single(0, 1)],
        attempts: vec![0, 1],
        writers: 2,
        rebuilders: 0,
        relay: true,
        tries: 1,
        copies: 2,
        ghosts: 1,
        redeliveries: 1,
        failovers: 0,
        losses: 0,
        lost_frames: 0,
        no_rejection: true,
        coverage: true,
        mutant: None,
    }
}

/// Two gates, two writers, a relay, two orders of two buyers, one unit; no data is lost.
pub fn sale() -> Scope {
    Scope { name: "sale", ..base() }
}

/// As [`sale`]; a client asks again through another gate.
pub fn retry() -> Scope {
    Scope { name: "retry", attempts: vec![0, 0, 1], writers: 1, redeliveries: 0, ..base() }
}

/// As [`sale`]; Redis fails over once and loses any suffix of its writes.
pub fn failover() -> Scope {
    Scope {
        name: "failover",
        failovers: 1,
        copies: 1,
        redeliveries: 0,
        no_rejection: false,
        coverage: false,
        ..base()
    }
}

/// As [`failover`] with one writer and a second copy of each frame.
pub fn failover_copies() -> Scope {
    Scope { name: "failover, copies", writers: 1, copies: 2, ..failover() }
}

/// As [`sale`]; the log loses a frame.
pub fn frame_lost() -> Scope {
    Scope { name: "frame lost", lost_frames: 1, redeliveries: 0, ..base() }
}

/// As [`sale`] with one writer; Redis is lost twice and rebuilt.
pub fn rebuild() -> Scope {
    Scope {
        name: "rebuild",
        writers: 1,
        rebuilders: 1,
        losses: 2,
        redeliveries: 0,
        coverage: false,
        ..base()
    }
}

/// As [`rebuild`] with two rebuilders and one copy of each frame.
pub fn rebuild_twice() -> Scope {
    Scope { name: "two rebuilders", rebuilders: 2, copies: 1, ..rebuild() }
}

/// One cart on two cells with one unit each, asked for twice, and another buyer of its line.
pub fn cart_retry() -> Scope {
    Scope {
        name: "cart, retry",
        units: vec![1, 1],
        orders: vec![cart(1, 0), single(0, 1)],
        attempts: vec![0, 0, 1],
        writers: 1,
        tries: 0,
        copies: 1,
        ghosts: 0,
        redeliveries: 0,
        ..base()
    }
}

/// As [`cart_retry`], asked for once; answers are lost and a command runs late.
pub fn cart_late() -> Scope {
    let orders = vec![cart(1, 0), single(1, 1)];
    Scope { name: "cart, late", orders, attempts: vec![0, 1], tries: 1, ghosts: 1, ..cart_retry() }
}

/// Two carts on the same cells, each with the other's line as its anchor.
pub fn crossed() -> Scope {
    let orders = vec![cart(1, 0), cart(0, 1)];
    Scope { name: "crossed carts", orders, attempts: vec![0, 1], ..cart_retry() }
}

/// As [`crossed`], one of them asked for twice, answers are lost and a command runs late; the
/// writer works in recovery only.
pub fn crossed_retry() -> Scope {
    let attempts = vec![0, 0, 1];
    Scope { name: "crossed carts, retry", attempts, writers: 0, tries: 1, ghosts: 1, ..crossed() }
}

/// As [`crossed`], with a third cart and one of them asked for twice; a command runs late. The
/// writer works in recovery only.
pub fn three_carts() -> Scope {
    let orders = vec![cart(1, 0), cart(0, 1), cart(1, 2)];
    let attempts = vec![0, 0, 1, 2];
    Scope { name: "three carts", orders, attempts, writers: 0, ghosts: 1, ..crossed() }
}

/// As [`cart_retry`], asked for once; Redis fails over once.
pub fn cart_failover() -> Scope {
    Scope {
        name: "cart, failover",
        attempts: vec![0, 1],
        failovers: 1,
        no_rejection: false,
        coverage: false,
        ..cart_retry()
    }
}

/// One buyer uses one key for two offers.
pub fn one_key() -> Scope {
    Scope {
        name: "one key",
        units: vec![1, 1],
        orders: vec![single(0, 0), single(1, 0)],
        writers: 1,
        tries: 0,
        ghosts: 0,
        ..base()
    }
}

/// Every scope.
pub fn all() -> Vec<Scope> {
    vec![
        sale(),
        retry(),
        failover(),
        failover_copies(),
        frame_lost(),
        rebuild(),
        rebuild_twice(),
        cart_retry(),
        cart_late(),
        crossed(),
        crossed_retry(),
        three_carts(),
        cart_failover(),
        one_key(),
    ]
}

/// Broken scopes and the invariant that tells.
pub fn mutants() -> Vec<(Scope, &'static str)> {
    vec![
        (failover().with(Mutant::NoGuard), "INV-1"),
        (sale().with(Mutant::ResolveUnchecked), "INV-13"),
        (failover().with(Mutant::AckBeforeCommit), "INV-7"),
        (crossed_retry().with(Mutant::CancelWithoutNonce), "INV-14"),
        (crossed_retry().with(Mutant::NonceOverwritten), "INV-14"),
        (three_carts().with(Mutant::UnsealUnchecked), "INV-14"),
        (crossed_retry().with(Mutant::NoCompletion), "INV-14"),
        (cart_retry().with(Mutant::RelayFullCart), "INV-14"),
        (cart_retry().with(Mutant::NoFence), "INV-13"),
        (rebuild().with(Mutant::NoBarrier), "INV-13"),
        (rebuild().with(Mutant::NoMaxAge), "INV-13"),
        (rebuild_twice().with(Mutant::NoTicket), "INV-13"),
        (one_key().with(Mutant::NoRelease), "INV-6"),
        (frame_lost().with(Mutant::NoSweeper), "INV-11"),
    ]
}
