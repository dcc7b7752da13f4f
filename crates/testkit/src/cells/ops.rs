//! The operations of a random sequence and how they are drawn.
//!
//! Names, units and nonces come from small sets, so that they meet often.

use domain::{CampaignNo, OrderId};
use proptest::prelude::*;

/// Which order: (buyer 0..4, key 0..3, content 0..2); buyer 4 is nobody, a transfer.
pub type Who = (u8, u8, u8);

/// One item of a reserve: who, nonce, state 0..2, checked, relay.
pub type Item = (Who, u8, u8, bool, bool);

/// One operation.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of the port and of the ledger's kinds")]
pub enum Op {
    Reserve { items: Vec<Item>, late: bool, window: u8 },
    Ledger { kind: u8, who: Who, units: u8 },
    Apply { back: u8, take: u8, fork: bool },
    Resolve(Vec<(Who, u8)>),
    Cancel(Who, u8),
    Fence(Who),
    Unseal(Who, bool),
    Ticket(bool),
    Load { ticket: u8, short: bool },
    Mend { full: bool, stale: bool },
    Drop { stale: bool, fork: bool },
    Wait(u8),
}

fn who() -> impl Strategy<Value = Who> {
    (0u8..5, 0u8..3, 0u8..2)
}

fn op() -> impl Strategy<Value = Op> {
    let item = (who(), 0u8..4, 0u8..2, any::<bool>(), proptest::bool::weighted(0.2));
    let items = prop::collection::vec(item, 1..7);
    let rare = proptest::bool::weighted(0.1);
    prop_oneof![
        12 => (items, rare, 0u8..10).prop_map(|(items, late, window)| Op::Reserve {
            items, late, window
        }),
        10 => (0u8..10, who(), 0u8..4).prop_map(|(kind, who, units)| Op::Ledger {
            kind, who, units
        }),
        8 => (0u8..4, 0u8..6, proptest::bool::weighted(0.1))
            .prop_map(|(back, take, fork)| Op::Apply { back, take, fork }),
        2 => prop::collection::vec((who(), 0u8..30), 1..5).prop_map(Op::Resolve),
        2 => (who(), 0u8..4).prop_map(|(w, n)| Op::Cancel(w, n)),
        2 => who().prop_map(Op::Fence),
        2 => (who(), proptest::bool::weighted(0.8)).prop_map(|(w, same)| Op::Unseal(w, same)),
        1 => any::<bool>().prop_map(Op::Ticket),
        2 => (0u8..3, proptest::bool::weighted(0.1))
            .prop_map(|(ticket, short)| Op::Load { ticket, short }),
        1 => (any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(full, stale)| Op::Mend { full, stale }),
        1 => (proptest::bool::weighted(0.3), any::<bool>())
            .prop_map(|(stale, fork)| Op::Drop { stale, fork }),
        3 => (0u8..4).prop_map(Op::Wait),
    ]
}

/// Sequences of up to `most` operations, each with "the offer has a limit".
pub fn sequences(most: usize) -> impl Strategy<Value = (bool, Vec<Op>)> {
    (any::<bool>(), prop::collection::vec(op(), 1..most))
}

/// The id of an order.
pub fn id(who: Who) -> OrderId {
    let (buyer, key, content) = who;
    OrderId::compose(CampaignNo(1), u16::from(buyer), u64::from(key) << 30, u32::from(content) + 7)
}

/// The buyer of an order; nobody for a transfer.
pub(super) fn buyer(who: Who) -> Option<String> {
    (who.0 < 4).then(|| format!("buyer \0{}", who.0))
}

/// A stable hash of a buyer.
pub(super) fn hash(buyer: &str) -> u64 {
    buyer.bytes().fold(7, |h, b| (h * 8_191 + u64::from(b)) % (1 << 45))
}

/// The units of an order: a function of its content.
pub(super) fn units(who: Who) -> u32 {
    u32::from(who.2) + 1
}
