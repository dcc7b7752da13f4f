//! The home of an order: the partition of the log in which its frames are published.
//!
//! An order of one line lives with its offer, so that one cell's orders meet in one batch; an order
//! of several lines goes by its id. Progress and barriers are read per partition: whoever publishes
//! an order (gate, relay, sweeper, operator) must choose the same one.

use crate::identity::Identity;
use crate::order::Payload;

/// The home of an order among `partitions` main partitions.
pub fn home(payload: &Payload, identity: &Identity, partitions: u16) -> u16 {
    match payload.lines.as_slice() {
        [line] => identity.offer_home(&line.cell.offer, partitions),
        _ => identity.order_home(payload.order, partitions),
    }
}
