//! Tasks of orders' lives: what a person does about them.

use contract::desk::{TaskOutcome, TaskResolution};
use contract::operators::Task;
use contract::{Problem, Reason};
use domain::OrderId;
use domain::life::{
    LifeAnswer, LifeWish, Parcel, Refund, RefundAnswer, RefundKey, RefundState, TaskDraft,
};
use store::port::{TaskEnd, TaskRow};
use web::answer::{self, Answer};

use super::named::{Id, of_life};
use super::orders::{self, MAX_NOTE};
use super::{Shop, input};

async fn known(
    shop: &Shop<'_>,
    db: u16,
    kind: i8,
    subject: &str,
) -> Result<(TaskRow, TaskDraft), Problem> {
    let unknown = || Problem::new(Reason::UnknownTask);
    if db >= shop.ports.store.databases() {
        return Err(unknown());
    }
    let found = shop.ports.store.task(db, kind, subject).await.map_err(input::down)?;
    let row = found.ok_or_else(unknown)?;
    let draft = TaskDraft::stored(row.kind, &row.subject).ok_or_else(unknown)?;
    Ok((row, draft))
}

/// Sends a refund once more, or looks again whether an order has come for a payment.
pub(super) async fn retry(
    shop: &Shop<'_>,
    db: u16,
    kind: i8,
    subject: &str,
) -> Result<Task<'static>, Problem> {
    let (row, draft) = known(shop, db, kind, subject).await?;
    let wish = match draft {
        TaskDraft::Refund(key) => LifeWish::RetryRefund(row.order, key),
        TaskDraft::Orphan(_) => LifeWish::Settle(row.order),
        TaskDraft::OtherOrder(..)
        | TaskDraft::OtherCurrency(_)
        | TaskDraft::Asked(_)
        | TaskDraft::Bounced(_)
        | TaskDraft::TakenBack(..)
        | TaskDraft::Parcel(_)
        | TaskDraft::Restock(_)
        | TaskDraft::Unreadable(..)
        | TaskDraft::Giveback(..) => {
            let text = "nothing of it can be tried again; resolve it";
            return Err(Problem::with(Reason::IllegalTransition, text));
        }
    };
    if orders::ask(shop, wish).await? == LifeAnswer::Nothing {
        let text = "it does not wait for a person any more, or its payment has less";
        return Err(Problem::with(Reason::IllegalTransition, text));
    }
    Ok(of_life(db, row))
}

/// `POST /admin/tasks/{id}/resolve`.
pub(super) async fn resolve(shop: &Shop<'_>, id: &str, bytes: &[u8]) -> Result<Answer, Problem> {
    let wire: TaskResolution<'_> = web::body::json(bytes)?;
    if !(1..=MAX_NOTE).contains(&wire.note.chars().count()) {
        return Err(input::malformed(format!("note is 1 to {MAX_NOTE} characters")));
    }
    let (db, kind, subject) = match Id::parse(id) {
        Some(Id::Life { db, kind, subject }) => (db, kind, subject),
        Some(Id::Order(_) | Id::Frame(_)) => {
            let text = "what is parked is retried, never dropped";
            return Err(Problem::with(Reason::IllegalTransition, text));
        }
        None => return Err(Problem::new(Reason::UnknownTask)),
    };
    let (row, draft) = known(shop, db, kind, &subject).await?;
    if row.is_open {
        for wish in follows(shop, row.order, &draft, wire.outcome).await? {
            if orders::ask(shop, wish).await? == LifeAnswer::Nothing {
                let text = "it is not as the task says any more";
                return Err(Problem::with(Reason::IllegalTransition, text));
            }
        }
    }
    let end = TaskEnd { by: shop.name.to_owned(), note: wire.note.into_owned() };
    let store = &shop.ports.store;
    if row.is_open {
        store.end_task(db, kind, &subject, &end).await.map_err(input::down)?;
        tracing::info!(id, operator = shop.name, note = end.note, "a task was resolved");
    }
    let (row, _) = known(shop, db, kind, &subject).await?;
    Ok(answer::json(200, &of_life(db, row)))
}

/// What follows from the outcome.
async fn follows(
    shop: &Shop<'_>,
    order: OrderId,
    draft: &TaskDraft,
    outcome: TaskOutcome,
) -> Result<Vec<LifeWish>, Problem> {
    Ok(match (draft, outcome) {
        (TaskDraft::Asked(refund), TaskOutcome::Done) => {
            vec![LifeWish::Grant(order, refund.clone())]
        }
        (TaskDraft::Asked(refund), TaskOutcome::Failed | TaskOutcome::Ignored) => {
            let life = shop.ports.store.life(order).await.map_err(input::down)?;
            let asked = |(key, part): &(&RefundKey, &Refund)| {
                key.refund == *refund && part.state == RefundState::Asked
            };
            let parts = life.refunds.iter().filter(asked);
            parts.map(|(key, _)| LifeWish::GiveUp(order, key.clone())).collect()
        }
        (TaskDraft::Refund(key), TaskOutcome::Done) => {
            vec![LifeWish::AnswerRefund(order, key.clone(), RefundAnswer::Succeeded)]
        }
        (TaskDraft::Refund(key), TaskOutcome::Failed) => {
            vec![LifeWish::GiveUp(order, key.clone())]
        }
        (TaskDraft::Refund(_), TaskOutcome::Ignored) => {
            let text = "a refund is done or failed: say which";
            return Err(Problem::with(Reason::IllegalTransition, text));
        }
        (TaskDraft::Restock(refund), TaskOutcome::Done) => {
            vec![LifeWish::Parcel(order, Parcel::Returned(refund.clone()))]
        }
        (
            TaskDraft::Restock(_)
            | TaskDraft::Orphan(_)
            | TaskDraft::OtherOrder(..)
            | TaskDraft::OtherCurrency(_)
            | TaskDraft::Bounced(_)
            | TaskDraft::TakenBack(..)
            | TaskDraft::Parcel(_)
            | TaskDraft::Unreadable(..)
            | TaskDraft::Giveback(..),
            _,
        ) => Vec::new(),
    })
}
