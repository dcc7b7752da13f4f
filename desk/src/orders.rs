//! What operators do to orders: the same transactions as everybody's, under their names.

use contract::buyers::Money;
use contract::desk::{OrderNote, OrderStanding, RefundOrdered};
use contract::paying::RefundWanted;
use contract::{Problem, Reason};
use domain::OrderId;
use domain::life::{
    Actor, AskedRefund, Cancelled, LifeAnswer, LifeWish, Parcel, Portion, RefundAsk,
};
use store::port::OrderRow;
use web::answer::{self, Answer};

use super::{Shop, input};

/// The longest note, characters.
pub(super) const MAX_NOTE: usize = 500;

/// An order of the operator's tenant.
async fn row_of(shop: &Shop<'_>, id: &str) -> Result<OrderRow, Problem> {
    let unknown = || Problem::new(Reason::UnknownOrder);
    let order: OrderId = id.parse().map_err(|_| unknown())?;
    let row = shop.ports.store.order(order).await.map_err(input::down)?.ok_or_else(unknown)?;
    if row.buyer.tenant() == shop.tenant { Ok(row) } else { Err(unknown()) }
}

pub(super) async fn ask(shop: &Shop<'_>, wish: LifeWish) -> Result<LifeAnswer, Problem> {
    let actor = Actor::Operator(shop.name.to_owned());
    let policies = shop.catalog.policies();
    life::ask::one(&*shop.ports.store, actor, policies, wish).await.map_err(input::down)
}

fn note(text: Option<&str>, order: OrderId, name: &str) -> Result<(), Problem> {
    let text = text.unwrap_or("");
    if text.chars().count() > MAX_NOTE {
        return Err(input::malformed(format!("note is at most {MAX_NOTE} characters")));
    }
    if !text.is_empty() {
        tracing::info!(%order, operator = name, note = text, "an operator's note");
    }
    Ok(())
}

fn body_of<'a>(bytes: &'a [u8]) -> Result<OrderNote<'a>, Problem> {
    if bytes.is_empty() { Ok(OrderNote::default()) } else { Ok(web::body::json(bytes)?) }
}

/// An answer to another question: a bug.
fn unexpected() -> Problem {
    Problem::new(Reason::Internal)
}

fn illegal(row: &OrderRow) -> Problem {
    let text = format!("the order is {}", row.status.as_str());
    Problem::with(Reason::IllegalTransition, text).about(row.order)
}

async fn standing(shop: &Shop<'_>, order: OrderId) -> Result<Answer, Problem> {
    let found = shop.ports.store.order(order).await.map_err(input::down)?;
    let row = found.ok_or_else(|| Problem::new(Reason::UnknownOrder))?;
    let money = |minor| Money::new(&row.currency, minor);
    let body = OrderStanding {
        order_id: row.order,
        status: row.status,
        version: row.version,
        amount: money(row.amount),
        captured: money(row.captured),
        refunded: money(row.refunded),
    };
    Ok(answer::json(200, &body))
}

fn ordered(row: &OrderRow, refund: &str, asked: AskedRefund) -> Result<Answer, Problem> {
    let (state, amount) = life::refunds::answer(row, asked)?;
    let amount = Money::new(&row.currency, amount);
    Ok(answer::json(202, &RefundOrdered { refund_id: refund.into(), state, amount }))
}

/// `POST /admin/orders/{id}/refund`.
pub(super) async fn refund(shop: &Shop<'_>, id: &str, bytes: &[u8]) -> Result<Answer, Problem> {
    let wanted: RefundWanted<'_> = web::body::json(bytes)?;
    let row = row_of(shop, id).await?;
    note(wanted.note.as_deref(), row.order, shop.name)?;
    let asked = life::refunds::ask(&wanted, &row).map_err(|p| p.about(row.order))?;
    let told = ask(shop, LifeWish::AskRefund(row.order, asked)).await?;
    ordered(&row, &wanted.refund_id, told.asked().ok_or_else(unexpected)?)
}

/// `POST /admin/orders/{id}/cancel`: a paid order is refunded, whatever its offer says to buyers.
pub(super) async fn cancel(shop: &Shop<'_>, id: &str, bytes: &[u8]) -> Result<Answer, Problem> {
    let wire = body_of(bytes)?;
    let row = row_of(shop, id).await?;
    note(wire.note.as_deref(), row.order, shop.name)?;
    let refund = life::ask::cancel_refund();
    let told = ask(shop, LifeWish::Cancel(row.order, refund.clone())).await?;
    let asked = match told.cancelled().ok_or_else(unexpected)? {
        Cancelled::Done => return standing(shop, row.order).await,
        Cancelled::Refunds(asked) => asked,
        Cancelled::Illegal | Cancelled::NoRow => {
            let whole = RefundAsk { refund, portion: Portion::Whole };
            let told = ask(shop, LifeWish::AskRefund(row.order, whole)).await?;
            told.asked().ok_or_else(unexpected)?
        }
    };
    life::refunds::answer(&row, asked)?;
    standing(shop, row.order).await
}

/// `POST /admin/orders/{id}/ship` and `/complete`.
pub(super) async fn goods(
    shop: &Shop<'_>,
    id: &str,
    bytes: &[u8],
    news: Parcel,
) -> Result<Answer, Problem> {
    let wire = body_of(bytes)?;
    let row = row_of(shop, id).await?;
    note(wire.note.as_deref(), row.order, shop.name)?;
    if ask(shop, LifeWish::Parcel(row.order, news)).await? == LifeAnswer::Done {
        return standing(shop, row.order).await;
    }
    Err(illegal(&row))
}
