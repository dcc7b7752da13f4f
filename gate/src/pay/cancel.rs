//! A buyer does not want an order any more.

use contract::paying::{OrderHistory, Transition};
use contract::{Problem, Reason, show_time};
use domain::life::{Cancelled, LifeWish};
use view::failed;
use web::answer;

use super::{OrderPath, ask, down, refunds, unexpected};
use crate::edge::answer::Handled;
use crate::entry::admitted::Admitted;
use crate::metrics::Outcome;
use crate::show::orders;
use crate::state::Gate;

/// `POST /v1/orders/{id}/cancel`.
pub(crate) async fn cancel(gate: &Gate, who: &Admitted, at: OrderPath<'_>) -> Handled {
    let row = orders::row_of(gate, who, at).await?;
    let wish = LifeWish::Cancel(row.order, life::ask::cancel_refund());
    match ask(gate, wish).await?.cancelled().ok_or_else(unexpected)? {
        Cancelled::Done => orders::again(gate, row.order).await,
        Cancelled::Refunds(asked) => {
            refunds::answer(&row, life::ask::cancel_refund().as_str(), asked)
        }
        Cancelled::Illegal => {
            let text = format!("the order is {}", row.status.as_str());
            Err(Problem::with(Reason::IllegalTransition, text).about(row.order))
        }
        Cancelled::NoRow => Err(Problem::new(Reason::NotYet).about(row.order)),
    }
}

/// `GET /v1/orders/{id}/history`.
pub(crate) async fn history(gate: &Gate, who: &Admitted, at: OrderPath<'_>) -> Handled {
    let row = orders::row_of(gate, who, at).await?;
    let all = gate.ports.store.history(row.order).await.map_err(failed::database).map_err(down)?;
    let transition = |h: &store::port::HistoryRow| Transition {
        version: h.version,
        from: h.from.as_str().into(),
        to: h.to.as_str().into(),
        at: show_time(h.at_ms),
        cause: h.cause.as_str().into(),
        actor: h.actor.clone().into(),
    };
    let body = OrderHistory { transitions: all.iter().map(transition).collect() };
    Ok((answer::json(200, &body), Outcome::Answered))
}
