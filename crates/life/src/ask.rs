//! What gate, desk and clerk ask of lives: one transaction of one database, as small as it can be.

use domain::OrderId;
use domain::life::{Actor, LifeAnswer, LifeWish, Policies};
use store::port::{LifeCall, MAX_ORDERS};
use store::{LifeWrite, StoreResult};

/// Asks one thing.
pub async fn one<S: LifeWrite + ?Sized>(
    store: &S,
    actor: Actor,
    policies: Policies,
    wish: LifeWish,
) -> StoreResult<LifeAnswer> {
    let db = store.order_db(wish.order());
    let call = LifeCall { db, actor, policies, wishes: vec![wish] };
    let answers = store.live(&call).await?;
    Ok(answers.into_iter().next().unwrap_or(LifeAnswer::Nothing))
}

/// Asks many things of one database, in order; what is done is done also when a later one fails.
/// Those that fail for ever hold up nobody: they are in the log of the process, and nothing came
/// of them.
pub async fn many<S: LifeWrite + ?Sized>(
    store: &S,
    db: u16,
    actor: &Actor,
    policies: &Policies,
    wishes: &[LifeWish],
) -> StoreResult<Vec<LifeAnswer>> {
    let mut answers = Vec::with_capacity(wishes.len());
    for piece in wishes.chunks(MAX_ORDERS) {
        let (actor, policies) = (actor.clone(), policies.clone());
        let call = LifeCall { db, actor, policies, wishes: piece.to_vec() };
        match store.live(&call).await {
            Err(e) if !e.is_transient() => {}
            done => {
                answers.extend(done?);
                continue;
            }
        }
        for wish in piece {
            match one(store, call.actor.clone(), call.policies.clone(), wish.clone()).await {
                Ok(answer) => answers.push(answer),
                Err(e) if e.is_transient() => return Err(e),
                Err(e) => {
                    tracing::error!(order = %wish.order(), error = %e, "its life stands still");
                    answers.push(LifeAnswer::Nothing);
                }
            }
        }
    }
    Ok(answers)
}

/// The refund that a cancellation of a paid order asks for: the same however often it is cancelled.
pub fn cancel_refund() -> domain::life::RefundId {
    "cancel".parse().expect("it is short and visible")
}

/// Orders of one database, each once.
pub fn distinct(orders: impl Iterator<Item = OrderId>) -> Vec<OrderId> {
    let set: std::collections::BTreeSet<OrderId> = orders.collect();
    set.into_iter().collect()
}
