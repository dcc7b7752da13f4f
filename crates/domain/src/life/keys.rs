//! Ids that follow from others under the deployment's secret, so that whoever makes one a second
//! time makes the same.

use mutants::Mutant;

use super::names::{PaymentKey, RefundId};
use super::refund::{Refund, RefundKey};
use crate::identity::{Identity, hex};
use crate::ids::OrderId;

/// The order that a late payment of an expired one buys: of the same campaign and the same shard,
/// one for each expired order.
pub fn successor(identity: &Identity, old: OrderId) -> OrderId {
    let mac = identity.keyed(&[b"late", &old.0]);
    let key_part =
        u64::from_be_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], mac[6], mac[7]]);
    let content = u32::from_be_bytes([mac[8], mac[9], mac[10], mac[11]]);
    OrderId::compose(old.campaign(), old.shard(), key_part >> 10, content)
}

/// The name of the n-th refund that a payment gets by itself.
pub(super) fn automatic_refund(identity: &Identity, payment: &PaymentKey, n: u32) -> RefundId {
    let text = payment.to_string();
    let mac = identity.keyed(&[b"refund", text.as_bytes(), &n.to_be_bytes()]);
    format!("auto-{}", hex(&mac[..16])).parse().expect("it is short and visible")
}

/// Refunds that one payment gets by itself, at most: each needs news of another capture.
const AUTOMATIC: u32 = 16;

/// True for a key of a refund of this amount that a payment got by itself, whether or not it is
/// still known here.
pub(super) fn is_automatic(
    identity: &Identity,
    order: OrderId,
    payment: &PaymentKey,
    given: &str,
    amount: i64,
) -> bool {
    (0..AUTOMATIC).any(|n| {
        let refund = automatic_refund(identity, payment, n);
        let key = RefundKey { refund, payment: payment.clone() };
        provider_key(identity, order, &key, amount) == given
    })
}

/// What the names of refunds begin with that were lost and found again.
const LOST: &str = "lost-";

impl RefundKey {
    /// True for a refund that a database lost and its provider still knew.
    pub(super) fn is_found(&self) -> bool {
        self.refund.as_str().starts_with(LOST)
    }
}

/// What a refund is called of which only the provider's key is known; `None` for what is none.
pub(super) fn lost_refund(given: &str) -> Option<RefundId> {
    format!("{LOST}{given}").parse().ok()
}

/// Bytes of a provider's key that name the refund, and of those that prove whose it is.
const NAMES: usize = 12;
const PROVES: usize = 4;

/// The idempotency key that a provider gets with a part of a refund, minor units: never what a
/// client wrote, and the same at every try. Another amount is another refund: who has lost what was
/// sent may not ask for more or less under the same key.
pub fn provider_key(
    identity: &Identity,
    order: OrderId,
    refund: &RefundKey,
    amount: i64,
) -> String {
    if mutants::on(Mutant::KeyUnscoped) {
        return refund.refund.as_str().to_owned();
    }
    let payment = refund.payment.to_string();
    let parts =
        [refund.refund.as_str().as_bytes(), payment.as_bytes(), &keyed(amount).to_be_bytes()];
    let of = [b"refund-key".as_slice(), &order.0, parts[0], parts[1], parts[2]];
    let name = hex(&identity.keyed(&of)[..NAMES]);
    format!("{name}{}", proof(identity, order, &name))
}

/// A refund of another amount is another one.
fn keyed(amount: i64) -> i64 {
    if mutants::on(Mutant::KeyAmountless) {
        return 0;
    }
    amount
}

fn proof(identity: &Identity, order: OrderId, name: &str) -> String {
    hex(&identity.keyed(&[b"refund-proof", &order.0, name.as_bytes()])[..PROVES])
}

/// What its provider calls a refund of ours: of one that was lost and found again that is all that
/// is known.
pub fn refund_at_provider(
    identity: &Identity,
    order: OrderId,
    key: &RefundKey,
    refund: &Refund,
) -> String {
    let lost = key.refund.as_str().strip_prefix(LOST);
    lost.map_or_else(|| provider_key(identity, order, key, refund.amount), str::to_owned)
}

/// True for a key that [`provider_key`] made for a refund of this order, whichever it was.
pub(super) fn is_own_key(identity: &Identity, order: OrderId, given: &str) -> bool {
    given
        .split_at_checked(2 * NAMES)
        .is_some_and(|(name, rest)| rest == proof(identity, order, name))
}
