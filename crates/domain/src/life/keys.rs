//! Ids that follow from others under the deployment's secret, so that whoever makes one a second
//! time makes the same.

use mutants::Mutant;

use super::names::{PaymentKey, RefundId};
use super::refund::RefundKey;
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

/// The idempotency key that a provider gets with a part of a refund: never what a client wrote, and
/// the same at every try.
pub fn provider_key(identity: &Identity, order: OrderId, refund: &RefundKey) -> String {
    if mutants::on(Mutant::KeyUnscoped) {
        return refund.refund.as_str().to_owned();
    }
    let payment = refund.payment.to_string();
    let parts = [refund.refund.as_str().as_bytes(), payment.as_bytes()];
    hex(&identity.keyed(&[b"refund-key", &order.0, parts[0], parts[1]])[..16])
}
