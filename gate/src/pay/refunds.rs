//! Money that a buyer wants back.

use bytes::Bytes;
use contract::buyers::Money;
use contract::paying::{RefundLine, RefundList, RefundShown, RefundTaken, RefundWanted};
use contract::{Problem, Reason};
use domain::life::{AskedRefund, LifeWish, RefundSort};
use store::port::OrderRow;
use view::failed;
use web::{answer as answers, body as read};

use super::{OrderPath, ask, down, unexpected};
use crate::edge::answer::Handled;
use crate::entry::admitted::Admitted;
use crate::metrics::Outcome;
use crate::show::orders;
use crate::state::Gate;

/// `POST /v1/orders/{id}/refund`.
pub(crate) async fn refund(
    gate: &Gate,
    who: &Admitted,
    at: OrderPath<'_>,
    body: &Bytes,
) -> Handled {
    let wanted: RefundWanted<'_> = read::json(body)?;
    if wanted.note.is_some() {
        return Err(Problem::with(Reason::Malformed, "note is for operators"));
    }
    let row = orders::row_of(gate, who, at).await?;
    let asked = life::refunds::ask(&wanted, &row).map_err(|p| p.about(row.order))?;
    let told = ask(gate, LifeWish::AskRefund(row.order, asked)).await?;
    answer(&row, &wanted.refund_id, told.asked().ok_or_else(unexpected)?)
}

/// What a refund that was asked for comes to.
pub(super) fn answer(row: &OrderRow, refund: &str, asked: AskedRefund) -> Handled {
    let (state, amount) = life::refunds::answer(row, asked)?;
    let amount = Money::new(&row.currency, amount);
    let body = RefundTaken { refund_id: refund.into(), state, amount };
    Ok((answers::json(202, &body), Outcome::Answered))
}

/// `GET /v1/orders/{id}/refunds`: those that somebody asked for, then what went back by itself.
pub(crate) async fn list(gate: &Gate, who: &Admitted, at: OrderPath<'_>) -> Handled {
    let row = orders::row_of(gate, who, at).await?;
    let life = gate.ports.store.life(row.order).await.map_err(failed::database).map_err(down)?;
    let shown = |(id, refund): (&domain::life::RefundId, domain::life::GrantedRefund)| {
        let lines = refund.lines.iter().map(|(cell, quantity)| RefundLine {
            offer: cell.offer.name().to_owned().into(),
            quantity: *quantity,
        });
        RefundShown {
            refund_id: id.as_str().to_owned().into(),
            state: refund.state,
            amount: Money::new(&row.currency, refund.amount),
            lines: lines.collect(),
        }
    };
    let by_itself = life.refunds.iter().filter(|(_, r)| r.sort != RefundSort::Granted);
    let by_itself = by_itself.map(|(key, refund)| {
        let currency = life.payments.get(&key.payment).map_or(&row.currency, |p| &p.currency);
        RefundShown {
            refund_id: key.refund.as_str().to_owned().into(),
            state: refund.state,
            amount: Money::new(currency, refund.amount),
            lines: Vec::new(),
        }
    });
    let refunds = life.granted_refunds().into_iter().map(shown).chain(by_itself).collect();
    Ok((answers::json(200, &RefundList { refunds }), Outcome::Answered))
}
