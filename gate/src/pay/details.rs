//! What a checkout keeps of a person with an order.

use bytes::Bytes;
use contract::paying::OrderDetails;
use contract::{Problem, Reason};
use serde_json::{Map, Value};
use view::failed;
use web::answer;

use super::{OrderPath, down};
use crate::edge::answer::Handled;
use crate::entry::admitted::Admitted;
use crate::metrics::Outcome;
use crate::show::orders;
use crate::state::Gate;

/// `PUT /v1/orders/{id}/details`.
pub(crate) async fn put(gate: &Gate, who: &Admitted, at: OrderPath<'_>, body: &Bytes) -> Handled {
    let wrong = |e: serde_json::Error| Problem::with(Reason::Malformed, e.to_string());
    let OrderDetails(given) = serde_json::from_slice(body).map_err(wrong)?;
    // What is kept as it came is read once all the same, so that its depth has the usual bound.
    serde_json::from_str::<Map<String, Value>>(given.get()).map_err(wrong)?;
    let row = orders::row_of(gate, who, at).await?;
    let put = gate.ports.store.put_details(row.order, &row.buyer, given.get());
    put.await.map_err(failed::database).map_err(down)?;
    Ok(shown(given.get().to_owned()))
}

/// `GET /v1/orders/{id}/details`.
pub(crate) async fn show(gate: &Gate, who: &Admitted, at: OrderPath<'_>) -> Handled {
    let row = orders::row_of(gate, who, at).await?;
    let found = gate.ports.store.details(row.order).await;
    let found = found.map_err(failed::database).map_err(down)?;
    Ok(shown(found.unwrap_or_else(|| "{}".to_owned())))
}

fn shown(object: String) -> (answer::Answer, Outcome) {
    (answer::raw(200, "application/json", object.into()), Outcome::Answered)
}
